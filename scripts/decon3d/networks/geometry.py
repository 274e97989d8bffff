"""How far a network looks and on which grid it must start: read from its layers.

Along one axis, voxel i of a tensor at stride s depends on the input voxels s·i + low …
s·i + high. Each layer turns (s, low, high) of its inputs into that of its output, the worst over
the phases of the stride.

The other way round, from the output back to the input, it gives the margin of every tensor: how
far beyond a block's inner part it is needed, which is less and less.
"""

import math
from dataclasses import dataclass

from decon3d.blocks.geometry import Triple, triple
from decon3d.networks.backend import keras
from decon3d.networks.layers import ChannelMean, GlobalMean, LastChannel, Product, Ratio

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
            if size > 1 and layer.strides[axis] == size and layer.padding == "valid":
                return self._pooled(size)
            if layer.strides[axis] != 1 or (size > 1 and layer.padding != "same"):
                raise TypeError(
                    f"layer {layer.name}: stride 1 with padding `same`, or stride = size with "
                    "padding `valid` expected"
                )
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
            return self._pooled(size)
        if isinstance(layer, POINTWISE):
            return self
        raise TypeError(f"layer {layer.name}: the reach of {type(layer).__name__} is not known")

    def _pooled(self, size: int) -> "_View":
        """Return the view through a layer whose stride is its size."""
        return _View(self.stride * size, self.low, self.high + self.stride * (size - 1))


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
    halos, strides = zip(*(_axis(model, axis) for axis in range(3)), strict=True)
    return triple(halos), triple(strides)


Margin = tuple[int, int]
"""Voxels of a tensor before and after a block's inner part."""


@dataclass(frozen=True)
class Needs:
    """What of its inputs a layer needs along one axis, and what of its output that makes.

    It may be more than the layers behind need: an upsampling makes whole coarse voxels.
    """

    inputs: Margin
    made: Margin


def needs(model: keras.Model, axis: int) -> dict[str, Needs]:
    """Find what each layer needs if the network's output is wanted without its halo.

    Parameters
    ----------
    axis
        0, 1, 2: Z, Y, X.

    Returns
    -------
    dict
        By the layers' names; layers whose output is the same wherever the block lies (fixed
        global means and what follows from them alone) or does not matter have none.
    """
    views = _views(model, axis)
    wanted: dict[int, Margin] = {id(model.outputs[0]): (0, 0)}  # in voxels of the input
    found: dict[str, Needs] = {}
    for layer in reversed(model.layers):
        kept, view = wanted.get(id(layer.output)), views[id(layer.output)]
        if isinstance(layer, keras.layers.InputLayer) or kept is None or view is None:
            continue
        placed = [t for t in inputs_of(layer) if views[id(t)] is not None]
        stride = views[id(placed[0])].stride  # type: ignore[union-attr]
        if isinstance(layer, keras.layers.Conv3D) and view.stride == stride:
            size = layer.kernel_size[axis]
            before = stride * ((size - 1) // 2)
            needed, made = (kept[0] + before, kept[1] + stride * (size - 1) - before), kept
        else:  # whole voxels of the coarser grid
            coarse = max(stride, view.stride)
            needed = made = (-(-kept[0] // coarse) * coarse, -(-kept[1] // coarse) * coarse)
        found[layer.name] = Needs(_in_steps(needed, stride), _in_steps(made, view.stride))
        for tensor in placed:
            known = wanted.get(id(tensor), (0, 0))
            wanted[id(tensor)] = (max(known[0], needed[0]), max(known[1], needed[1]))
    return found


def _in_steps(margin: Margin, stride: int) -> Margin:
    return margin[0] // stride, margin[1] // stride


def inputs_of(layer: keras.layers.Layer) -> list[keras.KerasTensor]:
    """Return what a layer is called on."""
    if isinstance(layer, keras.layers.InputLayer):
        return []
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _axis(model: keras.Model, axis: int) -> tuple[int, int]:
    views = _views(model, axis)
    result = views[id(model.outputs[0])]
    assert result is not None
    coarsest = max(view.stride for view in views.values() if view is not None)
    reach = max(-result.low, result.high)
    return math.ceil(reach / coarsest) * coarsest, coarsest


def _views(model: keras.Model, axis: int) -> dict[int, _View | None]:
    """Return the view of every tensor.

    None: the same wherever the block lies, once a global mean is fixed (calibrated attention).
    """
    views: dict[int, _View | None] = {id(tensor): _View(1, 0, 0) for tensor in model.inputs}
    for layer in model.layers:  # in an order in which inputs come before what uses them
        if isinstance(layer, keras.layers.InputLayer):
            continue
        views[id(layer.output)] = None
        seen = [view for t in inputs_of(layer) if (view := views[id(t)]) is not None]
        if not seen or isinstance(layer, GlobalMean):
            continue
        if len({view.stride for view in seen}) != 1:
            raise TypeError(f"layer {layer.name}: its inputs lie on different grids")
        joined = _View(seen[0].stride, min(v.low for v in seen), max(v.high for v in seen))
        views[id(layer.output)] = joined.through(layer, axis)
    return views
