"""A trained network as one function for restoring: the same values with fewer operations.

- A batch normalisation is an affine map at inference: it goes into the convolution before it.
- The mean over channels of a + s, with s of one channel, is the mean of a, plus s; and the mean of
  α x + β is α times the mean of x, plus β: one channel is worked on instead of four or eight.
- Global means that were calibrated are constants, and so is all that follows from them alone.
- A block's halo is context for its inner part alone: a layer computes no voxel beyond what the
  layers behind it need. Of RLN's halo of 18 voxels its last convolutions need 3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.networks.backend import keras, tf
from decon3d.networks.geometry import Margin, Triple, halo_and_stride, inputs_of, needs
from decon3d.networks.layers import ChannelMean, GlobalMean, global_means

Function = Callable[[tf.Tensor], tf.Tensor]
Margins = tuple[Margin, Margin, Margin]
"""On each axis (Z, Y, X)."""
NOTHING: Margins = ((0, 0), (0, 0), (0, 0))


@dataclass(frozen=True)
class _Step:
    """What to call, on which tensors of the model, and which one comes out.

    `needed` and `made` are the margins of the tensors that it is called on and of the one that it
    makes; None = they are as large as they are.
    """

    call: Callable[..., tf.Tensor]
    inputs: list[int]
    output: int
    needed: Margins | None
    made: Margins | None


def inference_function(
    model: keras.Model,
    *,
    halo: Triple,
    vectors: Sequence[NDArray[np.float32]] = (),
    precision: tf.DType = tf.float32,
) -> Function:
    """Rewrite a model for restoring.

    Parameters
    ----------
    model
        N Z Y X C to N Z Y X C, float32; its weights are taken as they are now.
    halo
        Of the blocks (Z, Y, X), in voxels; at least the network's own, a multiple of its stride.
    vectors
        A vector for each of its global means, to which they are fixed; empty = they average.
    precision
        Of the factors of the convolutions. Everything else stays in float32.

    Returns
    -------
    callable
        Maps a batch (N Z Y X C, float32) as the model does, to rounding (and to `precision`),
        but without the halo: 2 · `halo` voxels less on each axis.

    Raises
    ------
    ValueError
        If the halo is not enough.
    """
    least, stride = halo_and_stride(model)
    if any(h < n or h % s for h, n, s in zip(halo, least, stride, strict=True)):
        raise ValueError(f"a halo of {halo}; the network needs {least}, multiples of {stride}")
    steps = _steps(model, vectors, precision)
    first, last = id(model.inputs[0]), id(model.outputs[0])
    z, y, x = ((h, h) for h in halo)

    def function(batch: tf.Tensor) -> tf.Tensor:
        found: dict[int, tuple[tf.Tensor, Margins | None]] = {first: (batch, (z, y, x))}
        for step in steps:
            tensors = [_cropped(*found[tensor], step.needed) for tensor in step.inputs]
            found[step.output] = step.call(*tensors), step.made
        restored, margins = found[last]
        return _cropped(restored, margins or (z, y, x), NOTHING)

    return function


def _cropped(values: tf.Tensor, margins: Margins | None, needed: Margins | None) -> tf.Tensor:
    """Cut off what a tensor has more of than is needed."""
    if margins is None or needed is None or margins == needed:
        return values
    cut = [(m[0] - n[0], m[1] - n[1]) for m, n in zip(margins, needed, strict=True)]
    return values[(slice(None), *(slice(low, -high or None) for low, high in cut))]


def _steps(
    model: keras.Model, vectors: Sequence[NDArray[np.float32]], precision: tf.DType
) -> list[_Step]:
    fixed = iter(vectors) if len(vectors) else None
    averages = fixed is None and bool(global_means(model))  # over all of the block
    reach = [{} if averages else needs(model, axis) for axis in range(3)]
    users: dict[int, list[Any]] = {id(tensor): [None] for tensor in model.outputs}
    for layer in model.layers:
        for tensor in inputs_of(layer):
            users.setdefault(id(tensor), []).append(layer)

    def only_user(tensor: Any, kind: type) -> Any:
        found = users.get(id(tensor), [])
        return found[0] if len(found) == 1 and isinstance(found[0], kind) else None

    steps: list[_Step] = []
    merged: set[int] = set()
    for layer in model.layers:  # in an order in which inputs come before what uses them
        if isinstance(layer, keras.layers.InputLayer) or id(layer) in merged:
            continue
        call: Callable[..., tf.Tensor] = _as_it_is(layer)
        inputs, output = inputs_of(layer), layer.output
        margins = [axis[layer.name] for axis in reach if layer.name in axis]
        if isinstance(layer, keras.layers.Conv3D | keras.layers.Conv3DTranspose):
            norm = None
            if layer.activation is keras.activations.linear:
                norm = only_user(output, keras.layers.BatchNormalization)
            call = _convolution(layer, norm, precision, crops=bool(margins))
            if norm is not None:
                merged.add(id(norm))
                output = norm.output
        elif isinstance(layer, keras.layers.BatchNormalization):
            call = _affine(*_scale_and_shift(layer))
        elif isinstance(layer, GlobalMean) and fixed is not None:
            call, inputs = _constant(next(fixed)), []
        elif (mean := only_user(output, ChannelMean)) is not None:
            averaged = _averaged(layer)
            if averaged is not None:
                call, output = averaged, mean.output
                merged.add(id(mean))
        step = _Step(call, [id(tensor) for tensor in inputs], id(output), None, None)
        if margins:
            z, y, x = margins
            step = replace(
                step, needed=(z.inputs, y.inputs, x.inputs), made=(z.made, y.made, x.made)
            )
        steps.append(step)
    return steps


def _as_it_is(layer: Any) -> Callable[..., tf.Tensor]:
    several = isinstance(layer.input, list)
    return lambda *tensors: layer(list(tensors) if several else tensors[0], training=False)


def _constant(vector: NDArray[np.float32]) -> Callable[[], tf.Tensor]:
    value = np.asarray(vector, np.float32).reshape(1, 1, 1, 1, -1)
    return lambda: tf.constant(value)


def _affine(scale: NDArray[np.float32], shift: NDArray[np.float32]) -> Function:
    return lambda x: x * scale + shift


def _scale_and_shift(norm: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what a batch normalisation multiplies by and adds, by channel."""
    values = [np.asarray(w, np.float64) for w in (norm.gamma, norm.beta)]
    mean, variance = (np.asarray(w, np.float64) for w in (norm.moving_mean, norm.moving_variance))
    scale = values[0] / np.sqrt(variance + norm.epsilon)
    return scale.astype(np.float32), (values[1] - mean * scale).astype(np.float32)


def _convolution(layer: Any, norm: Any, precision: tf.DType, *, crops: bool) -> Function:
    """Convolve, with the normalisation behind it (or None) in kernel and bias.

    `crops`: only where the kernel lies inside.
    """
    kernel = np.asarray(layer.kernel, np.float32)
    channels = kernel.shape[3 if isinstance(layer, keras.layers.Conv3DTranspose) else 4]
    bias = np.asarray(layer.bias, np.float32) if layer.use_bias else np.zeros(channels, np.float32)
    if norm is not None:
        scale, shift = _scale_and_shift(norm)
        transposed = isinstance(layer, keras.layers.Conv3DTranspose)
        kernel = kernel * (scale[:, None] if transposed else scale)
        bias = bias * scale + shift
    strides = (1, *layer.strides, 1)
    padding = "VALID" if crops else layer.padding.upper()

    def convolve(x: tf.Tensor) -> tf.Tensor:
        x, factors = tf.cast(x, precision), tf.cast(tf.constant(kernel), precision)
        if isinstance(layer, keras.layers.Conv3DTranspose):
            # Kernel and stride are equal (networks.geometry asserts it), so sizes multiply.
            n, z, y, x_ = tf.unstack(tf.shape(x)[:4])
            dz, dy, dx = layer.strides
            size = tf.stack([n, z * dz, y * dy, x_ * dx, channels])
            result = tf.nn.conv3d_transpose(x, factors, size, strides, padding)
        else:
            result = tf.nn.conv3d(x, factors, strides, padding)
        result = tf.cast(result, tf.float32)
        # Not tf.nn.bias_add: TensorFlow 2.21 fuses that with a convolution and a leaky ReLU behind
        # it into one operation, and loses the slope.
        return layer.activation(result + bias if bias.any() else result)

    return convolve


def _averaged(layer: Any) -> Callable[..., tf.Tensor] | None:
    """Do a layer after the mean over its channels, where that gives the same with less work."""
    if isinstance(layer, keras.layers.Rescaling):
        return lambda x: _mean(x) * layer.scale + layer.offset
    if isinstance(layer, keras.layers.Add):
        return lambda *tensors: tf.add_n([_mean(x) for x in tensors])
    return None


def _mean(x: tf.Tensor) -> tf.Tensor:
    return x if x.shape[-1] == 1 else tf.reduce_mean(x, axis=-1, keepdims=True)
