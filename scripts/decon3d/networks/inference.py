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

from decon3d.blocks.geometry import Triple
from decon3d.networks.backend import keras, tf
from decon3d.networks.geometry import Margin, halo_and_stride, inputs_of, needs
from decon3d.networks.layers import ChannelMean, GlobalMean, global_means

Function = Callable[[tf.Tensor], tf.Tensor]
Margins = tuple[Margin, Margin, Margin]
"""On each axis (Z, Y, X)."""
NOTHING: Margins = ((0, 0), (0, 0), (0, 0))


@dataclass(frozen=True)
class Convolution:
    """A convolution, with the normalisation behind it in kernel and bias.

    Attributes
    ----------
    kernel
        (Z, Y, X, input channels, output channels), float32; of a transposed convolution, whose
        kernel and stride are equal, the channels are the other way round.
    bias
        (output channels,), float32.
    strides, activation
        As in Keras' layer.
    transposed
        Whether the strides go from coarse to fine.
    crops
        Whether only voxels are made around which the kernel lies inside.
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    strides: Triple
    activation: Callable[[Any], Any]
    transposed: bool
    crops: bool


@dataclass(frozen=True)
class Affine:
    """scale · x + shift, by channel."""

    scale: NDArray[np.float32]
    shift: NDArray[np.float32]


@dataclass(frozen=True)
class Constant:
    """A vector, one value per channel, the same for all voxels."""

    vector: NDArray[np.float32]


@dataclass(frozen=True)
class OnMeans:
    """A layer (Add or Rescaling) on the means over the channels of its inputs."""

    layer: Any


@dataclass(frozen=True)
class Unchanged:
    """A layer as it is in the model."""

    layer: Any


Operation = Convolution | Affine | Constant | OnMeans | Unchanged


@dataclass(frozen=True)
class Step:
    """An operation, on which tensors of the model (by `id`), and which one comes out.

    `needed` and `made` are the margins of the tensors that it is called on and of the one that it
    makes; None = they are as large as they are.
    """

    operation: Operation
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
    steps = inference_steps(model, halo=halo, vectors=vectors)
    first, last = id(model.inputs[0]), id(model.outputs[0])
    z, y, x = ((h, h) for h in halo)

    def function(batch: tf.Tensor) -> tf.Tensor:
        found: dict[int, tuple[tf.Tensor, Margins | None]] = {first: (batch, (z, y, x))}
        for step in steps:
            tensors = [_cropped(*found[tensor], step.needed) for tensor in step.inputs]
            found[step.output] = compute(step.operation, *tensors, precision=precision), step.made
        restored, margins = found[last]
        return _cropped(restored, margins or (z, y, x), NOTHING)

    return function


def _cropped(values: tf.Tensor, margins: Margins | None, needed: Margins | None) -> tf.Tensor:
    """Cut off what a tensor has more of than is needed."""
    if margins is None or needed is None or margins == needed:
        return values
    cut = [(m[0] - n[0], m[1] - n[1]) for m, n in zip(margins, needed, strict=True)]
    return values[(slice(None), *(slice(low, -high or None) for low, high in cut))]


def inference_steps(
    model: keras.Model, *, halo: Triple, vectors: Sequence[NDArray[np.float32]] = ()
) -> list[Step]:
    """Rewrite a model as a list of steps; parameters and errors as for `inference_function`."""
    least, stride = halo_and_stride(model)
    if any(h < n or h % s for h, n, s in zip(halo, least, stride, strict=True)):
        raise ValueError(f"a halo of {halo}; the network needs {least}, multiples of {stride}")
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

    steps: list[Step] = []
    merged: set[int] = set()
    for layer in model.layers:  # in an order in which inputs come before what uses them
        if isinstance(layer, keras.layers.InputLayer) or id(layer) in merged:
            continue
        operation: Operation = Unchanged(layer)
        inputs, output = inputs_of(layer), layer.output
        margins = [axis[layer.name] for axis in reach if layer.name in axis]
        if isinstance(layer, keras.layers.Conv3D | keras.layers.Conv3DTranspose):
            norm = None
            if layer.activation is keras.activations.linear:
                norm = only_user(output, keras.layers.BatchNormalization)
            operation = _convolution(layer, norm, crops=bool(margins))
            if norm is not None:
                merged.add(id(norm))
                output = norm.output
        elif isinstance(layer, keras.layers.BatchNormalization):
            operation = Affine(*_scale_and_shift(layer))
        elif isinstance(layer, GlobalMean) and fixed is not None:
            operation, inputs = Constant(np.asarray(next(fixed), np.float32)), []
        elif isinstance(layer, keras.layers.Rescaling | keras.layers.Add):
            mean = only_user(output, ChannelMean)
            if mean is not None:
                operation, output = OnMeans(layer), mean.output
                merged.add(id(mean))
        step = Step(operation, [id(tensor) for tensor in inputs], id(output), None, None)
        if margins:
            z, y, x = margins
            step = replace(
                step, needed=(z.inputs, y.inputs, x.inputs), made=(z.made, y.made, x.made)
            )
        steps.append(step)
    return steps


def _scale_and_shift(norm: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what a batch normalisation multiplies by and adds, by channel."""
    values = [np.asarray(w, np.float64) for w in (norm.gamma, norm.beta)]
    mean, variance = (np.asarray(w, np.float64) for w in (norm.moving_mean, norm.moving_variance))
    scale = values[0] / np.sqrt(variance + norm.epsilon)
    return scale.astype(np.float32), (values[1] - mean * scale).astype(np.float32)


def _convolution(layer: Any, norm: Any, *, crops: bool) -> Convolution:
    """Take a layer's convolution and the normalisation behind it (or None)."""
    transposed = isinstance(layer, keras.layers.Conv3DTranspose)
    kernel = np.asarray(layer.kernel, np.float32)
    channels = kernel.shape[3 if transposed else 4]
    bias = np.asarray(layer.bias, np.float32) if layer.use_bias else np.zeros(channels, np.float32)
    if norm is not None:
        scale, shift = _scale_and_shift(norm)
        kernel = kernel * (scale[:, None] if transposed else scale)
        bias = bias * scale + shift
    crops = crops or layer.padding == "valid"
    return Convolution(kernel, bias, layer.strides, layer.activation, transposed, crops)


def compute(
    operation: Operation, *tensors: tf.Tensor, precision: tf.DType = tf.float32
) -> tf.Tensor:
    """Do an operation in TensorFlow (N Z Y X C, float32)."""
    if isinstance(operation, Convolution):
        return _convolved(operation, tensors[0], precision)
    if isinstance(operation, Affine):
        return tensors[0] * operation.scale + operation.shift
    if isinstance(operation, Constant):
        return tf.constant(operation.vector.reshape(1, 1, 1, 1, -1))
    layer = operation.layer
    if isinstance(operation, OnMeans):
        if isinstance(layer, keras.layers.Rescaling):
            return _mean(tensors[0]) * layer.scale + layer.offset
        return tf.add_n([_mean(x) for x in tensors])
    several = isinstance(layer.input, list)
    return layer(list(tensors) if several else tensors[0], training=False)


def _convolved(operation: Convolution, x: tf.Tensor, precision: tf.DType) -> tf.Tensor:
    x, factors = tf.cast(x, precision), tf.cast(tf.constant(operation.kernel), precision)
    strides = (1, *operation.strides, 1)
    padding = "VALID" if operation.crops else "SAME"
    if operation.transposed:
        # Kernel and stride are equal (networks.geometry asserts it), so sizes multiply.
        n, z, y, x_ = tf.unstack(tf.shape(x)[:4])
        dz, dy, dx = operation.strides
        size = tf.stack([n, z * dz, y * dy, x_ * dx, len(operation.bias)])
        result = tf.nn.conv3d_transpose(x, factors, size, strides, padding)
    else:
        result = tf.nn.conv3d(x, factors, strides, padding)
    result = tf.cast(result, tf.float32)
    # Not tf.nn.bias_add: TensorFlow 2.21 fuses that with a convolution and a leaky ReLU behind
    # it into one operation, and loses the slope.
    return operation.activation(result + operation.bias if operation.bias.any() else result)


def _mean(x: tf.Tensor) -> tf.Tensor:
    return x if x.shape[-1] == 1 else tf.reduce_mean(x, axis=-1, keepdims=True)
