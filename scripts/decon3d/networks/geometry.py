"""How far a network looks and on which grid it must start: read from its layers.

Along one axis, voxel i of a tensor at stride s depends on the input voxels s·i + low …
s·i + high. Each layer turns (s, low, high) of its inputs into that of its output, the worst over
the phases of the stride.
"""

import math
from dataclasses import dataclass

import keras

from decon3d.networks.layers import ChannelMean, GlobalMean, LastChannel, Product, Ratio

Triple = tuple[int, int, int]
POINTWISE = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.BatchNormalization,
    keras.layers.Concatenate,
    keras.layers.LeakyReLU,
    keras.layers.Multiply,
    keras.layers.ReLU,
    keras.layers.Rescaling,
    ChannelMean,
    LastChannel,
    Product,
    Ratio,
)


@dataclass(frozen=True)
class _View:
    stride: int
    low: int
    high: int

    def through(self, layer: keras.layers.Layer, axis: int) -> "_View":
        """Return the view of the layer's output, given that of its input."""
        if isinstance(layer, keras.layers.Conv3DTranspose):
            size = layer.kernel_size[axis]
            if layer.strides[axis] != size or self.stride % size:
                raise TypeError(f"layer {layer.name}: kernel and stride must be equal")
            stride = self.stride // size
            return _View(stride, self.low - stride * (size - 1), self.high)
        if isinstance(layer, keras.layers.Conv3D):
            size = layer.kernel_size[axis]
            if layer.strides[axis] != 1 or (size > 1 and layer.padding != "same"):
                raise TypeError(f"layer {layer.name}: stride 1 and padding `same` expected")
            before = (size - 1) // 2
            after = size - 1 - before
            return _View(
                self.stride, self.low - self.stride * before, self.high + self.stride * after
            )
        if isinstance(layer, keras.layers.UpSampling3D):
            size = layer.size[axis]
            if self.stride % size:
                raise TypeError(f"layer {layer.name}: finer than the input")
            stride = self.stride // size
            return _View(stride, self.low - stride * (size - 1), self.high)
        if isinstance(layer, keras.layers.AveragePooling3D | keras.layers.MaxPooling3D):
            size = layer.pool_size[axis]
            if layer.strides[axis] != size or layer.padding != "valid":
                raise TypeError(f"layer {layer.name}: stride = size and padding `valid` expected")
            return _View(self.stride * size, self.low, self.high + self.stride * (size - 1))
        if isinstance(layer, POINTWISE):
            return self
        raise TypeError(f"layer {layer.name}: the reach of {type(layer).__name__} is not known")


def halo_and_stride(model: keras.Model) -> tuple[Triple, Triple]:
    """Return halo and stride of a network per axis (Z, Y, X), in voxels.

    A block that starts and ends on multiples of `stride` and is surrounded by `halo` voxels of
    real data gives the same voxels as the whole volume does. `halo` is the reach of the network
    rounded up to the stride.

    Raises
    ------
    TypeError
        If a layer's reach is not known here.
    """
    pairs = [_axis(model, axis) for axis in range(3)]
    return tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)  # type: ignore[return-value]


def _axis(model: keras.Model, axis: int) -> tuple[int, int]:
    # None: the same wherever the block lies, once a global mean is fixed (calibrated attention).
    views: dict[int, _View | None] = {id(tensor): _View(1, 0, 0) for tensor in model.inputs}
    coarsest = 1
    for layer in model.layers:  # in an order in which inputs come before what uses them
        if isinstance(layer, keras.layers.InputLayer):
            continue
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        views[id(layer.output)] = None
        seen = [view for tensor in inputs if (view := views[id(tensor)]) is not None]
        if not seen or isinstance(layer, GlobalMean):
            continue
        if len({view.stride for view in seen}) != 1:
            raise TypeError(f"layer {layer.name}: its inputs lie on different grids")
        joined = _View(seen[0].stride, min(v.low for v in seen), max(v.high for v in seen))
        view = joined.through(layer, axis)
        views[id(layer.output)] = view
        coarsest = max(coarsest, view.stride)
    result = views[id(model.outputs[0])]
    assert result is not None
    reach = max(-result.low, result.high)
    return math.ceil(reach / coarsest) * coarsest, coarsest
