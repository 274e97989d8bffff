"""A network as an OpenVINO graph in which neighbouring voxels are folded into channels.

A convolution computes 16 channels at a time (8 without AVX-512). With 8 channels it uses half of
the processor, with 4 a quarter. If 2 neighbours with 8 channels form a cell, the cell is one voxel
with 16 channels: the same numbers, and a kernel that covers cells. This kernel contains zeros, so
that some work is wasted, but less than with unused channels. Besides:

- All voxels of a cell of an upsampled tensor have one value. A convolution of it is one of the
  coarse tensor, with a kernel of 2 cells in place of 3 voxels per axis.
- A transposed convolution whose kernel is its stride makes folded cells from voxels.
- A convolution of a concatenation is the sum of the convolutions of its parts.

All of it is exact but for rounding. Positions are in voxels of a tensor's own grid; 0 is the first
voxel of the block's inner part. Axis order Z, Y, X.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.blocks.geometry import Triple, triple
from decon3d.networks.backend import keras, own_layers
from decon3d.networks.inference import (
    Affine,
    Convolution,
    Margins,
    OnMeans,
    Operation,
    Step,
    Unchanged,
    compute,
)


def _lanes() -> int:
    """Return how many float32 the processor computes at a time: 16 with AVX-512, else 8."""
    try:
        from numpy._core._multiarray_umath import __cpu_features__ as features
    except ImportError:  # NumPy does not promise this name
        return 16
    return 16 if features.get("AVX512F") else 8


LANES = _lanes()
"""Channels that a convolution computes at a time."""
UNFOLDED: Triple = (1, 1, 1)
FOLDS: tuple[Triple, ...] = (UNFOLDED, (1, 1, 2), (1, 2, 2), (2, 2, 2), (2, 2, 4))


class NotFoldableError(Exception):
    """The network contains an operation that this module does not know."""


@dataclass(frozen=True)
class Folded:
    """A tensor of the graph.

    Attributes
    ----------
    node
        OpenVINO's, (1, folded channels, Z, Y, X); the folded channels are ordered as (z, y, x,
        channel), with the place in the cell first.
    channels
        Of a voxel.
    fold
        Voxels of a cell.
    start
        Position of the first voxel.
    inner
        Voxels of the block's inner part.
    repeats
        Whether all voxels of a cell have the same value, which then is there once.
    """

    node: Any
    channels: int
    fold: Triple
    start: Triple
    inner: Triple
    repeats: bool = False

    @property
    def cells(self) -> Triple:
        """Cells on each axis."""
        return triple(int(n) for n in self.node.shape[2:])


Value = Folded | list[Folded] | NDArray[np.float32]
"""A tensor, the parts of a concatenation, or one value per channel for all voxels."""
Region = tuple[tuple[int, int], ...]
"""First position and the one behind the last, on each axis."""


def fold(steps: Sequence[Step], model: keras.Model, shape: Sequence[int], *, halo: Triple) -> Any:
    """Build the OpenVINO model of a network for blocks of one shape.

    Parameters
    ----------
    steps
        From `inference.inference_steps`, with global means fixed.
    model
        The network that the steps are of.
    shape
        Of the blocks with their halo (Z, Y, X).
    halo
        Of the blocks.

    Returns
    -------
    openvino.Model
        (1, channels, Z, Y, X) to the same without the halo, float32.

    Raises
    ------
    NotFoldableError
        If an operation is not known here.
    """
    import openvino
    from openvino import opset13 as ops

    channels = model.input_shape[-1]
    z, y, x = (n - 2 * h for n, h in zip(shape, halo, strict=True))
    given = ops.parameter([1, channels, *shape], np.float32)
    start = triple(-h for h in halo)
    found: dict[int, Value] = {
        id(model.inputs[0]): Folded(given, channels, UNFOLDED, start, (z, y, x))
    }
    builder = _Builder(ops)
    for step in steps:
        found[step.output] = builder.step(step, [found[key] for key in step.inputs])
    restored = builder.joined(found[id(model.outputs[0])])
    restored = builder.laid_out(restored, UNFOLDED, ((0, z), (0, y), (0, x)))
    return openvino.Model([restored.node], [given])


class _Builder:
    """Adds steps to a graph."""

    def __init__(self, ops: Any) -> None:
        self.ops = ops

    def step(self, step: Step, values: list[Value]) -> Value:
        """Add a step on its inputs."""
        operation = step.operation
        if all(isinstance(value, np.ndarray) for value in values):
            return _constant(operation, values)  # type: ignore[arg-type]
        if step.needed is None or step.made is None:
            raise NotFoldableError("an average over the block")
        if isinstance(operation, Convolution):
            if operation.transposed:
                return self.transposed(operation, self.joined(values[0]))
            return self.convolution(operation, _parts(values[0]), step.made)
        if isinstance(operation, Affine):
            return self.affine(self.joined(values[0]), operation.scale, operation.shift)
        if isinstance(operation, OnMeans):
            values = [self.mean(self.joined(value)) for value in values]
        assert isinstance(operation, OnMeans | Unchanged)
        layer = operation.layer
        if isinstance(layer, keras.layers.Concatenate):
            return [part for value in values for part in _parts(value)]
        if isinstance(layer, keras.layers.UpSampling3D):
            return self.upsampled(self.joined(values[0]), layer)
        if isinstance(layer, keras.layers.AveragePooling3D | keras.layers.MaxPooling3D):
            return self.pooled(self.joined(values[0]), layer, step.needed)
        return self.by_voxel(layer, values)

    # Convolutions

    def convolution(self, operation: Convolution, parts: list[Folded], made: Margins) -> Folded:
        """Convolve the parts of a concatenation and add the results."""
        size, strides = operation.kernel.shape[:3], operation.strides
        channels = len(operation.bias)
        inner = triple(n // s for n, s in zip(parts[0].inner, strides, strict=True))
        fold = _choose_fold(channels, size, strides, parts)
        main = max(parts, key=lambda part: part.channels * (part.fold == fold))
        region = tuple(
            (_begin(-m[0], fold[i], size[i], strides[i], main, i), n + m[1])
            for i, (m, n) in enumerate(zip(made, inner, strict=True))
        )
        ends = np.cumsum([part.channels for part in parts])
        kernels = np.split(operation.kernel, ends[:-1], axis=3)
        sums: list[tuple[Folded, NDArray[np.float32], Triple]] = []
        for part, kernel in zip(parts, kernels, strict=True):
            own = part.fold if part.repeats and strides == UNFOLDED else fold
            if part.fold not in (UNFOLDED, own) or (part.repeats and part.fold != own):
                part = self.laid_out(part, UNFOLDED)
            sums.append((part, kernel, own))
        # Parts in the layout of the result come first, so that the others are added to them.
        sums.sort(key=lambda s: s[2] != fold)
        result: Any = None
        for part, kernel, own in sums:
            if own == fold:
                node = self.convolved(part, kernel, strides, fold, region)
            else:
                wide = tuple(
                    (_begin(lo, own[i], size[i], 1, part, i), hi)
                    for i, (lo, hi) in enumerate(region)
                )
                made_here = self.convolved(part, kernel, strides, own, wide)
                folded = Folded(made_here, channels, own, _starts(wide), inner)
                node = self.laid_out(folded, fold, region).node
            if result is None:
                bias = np.tile(operation.bias, prod(fold))
                result = self.ops.add(node, self.vector(bias)) if bias.any() else node
            else:
                result = self.ops.add(result, node)
        result = self.activated(operation.activation, result)
        return Folded(result, channels, fold, _starts(region), inner)

    def convolved(
        self,
        part: Folded,
        kernel: NDArray[np.float32],
        strides: Triple,
        fold: Triple,
        region: Region,
    ) -> Any:
        """Convolve one tensor to cells of a layout that begin with the region.

        Along an axis, voxel p of output cell O is at b + f O + p, f being its fold and b the start
        of the region. Tap t of the kernel sees the input at S (b + f O + p) - c + t, with stride S
        and (c) voxels before the centre. In the input's cells of g voxels that is voxel q of cell
        s O + J + first, with s = S f / g and t = g J + q - r - S p; r voxels of the first cell are
        not needed.
        """
        firsts, counts, selections = [], [], []
        for i, (low, high) in enumerate(region):
            f, g, k, stride = fold[i], part.fold[i], kernel.shape[i], strides[i]
            first, r = divmod(stride * low - (k - 1) // 2 * (stride == 1) - part.start[i], g)
            cells = ceil((r + stride * (f - 1) + k) / g)
            step = stride * f // g
            firsts.append(first)
            counts.append(step * (ceil((high - low) / f) - 1) + cells)
            p, q, cell, t = np.ogrid[:f, :g, :cells, :k]
            selections.append((t == g * cell + q - r - stride * p).astype(np.float32))
        z, y, x = selections
        # p, q, r: places in output cells; a, b, c: in input cells; d, e, f: cells; l, m, n: taps.
        equation = "padl,qbem,rcfn,lmnio->pqroabcidef"
        if part.repeats:
            equation = "padl,qbem,rcfn,lmnio->pqroidef"
        weights = np.einsum(equation, z, y, x, kernel, optimize=True)
        outputs = prod(weights.shape[:4])
        weights = weights.reshape(outputs, -1, *weights.shape[-3:])
        node, before, after = self.cut(part, firsts, counts)
        steps = [s * f // g for s, f, g in zip(strides, fold, part.fold, strict=True)]
        return self.ops.convolution(
            node, self.ops.constant(weights), steps, before, after, [1, 1, 1]
        )

    def cut(
        self, part: Folded, firsts: Sequence[int], counts: Sequence[int]
    ) -> tuple[Any, list[int], list[int]]:
        """Take cells of a tensor; return them and how many are missing before and after."""
        lows = [max(first, 0) for first in firsts]
        highs = [min(f + c, n) for f, c, n in zip(firsts, counts, part.cells, strict=True)]
        before = [max(-first, 0) for first in firsts]
        after = [max(f + c - n, 0) for f, c, n in zip(firsts, counts, part.cells, strict=True)]
        node = part.node
        if any(lows) or tuple(highs) != part.cells:
            node = self.ops.slice(node, lows, highs, [1, 1, 1], [2, 3, 4])
        return node, before, after

    def transposed(self, operation: Convolution, x: Folded) -> Folded:
        """Make folded cells of voxels: kernel and stride are equal."""
        x, strides = self.laid_out(x, UNFOLDED), operation.strides
        kernel = operation.kernel.reshape(-1, x.channels, 1, 1, 1)  # (z, y, x, output), input
        node = self.ops.convolution(
            x.node, self.ops.constant(kernel), [1, 1, 1], [0, 0, 0], [0, 0, 0], [1, 1, 1]
        )
        node = self.ops.add(node, self.vector(np.tile(operation.bias, prod(strides))))
        return Folded(
            self.activated(operation.activation, node),
            len(operation.bias),
            strides,
            _times(x.start, strides),
            _times(x.inner, strides),
        )

    def mean(self, x: Folded) -> Folded:
        """Average over the channels, as a convolution of each voxel."""
        if x.channels == 1:
            return x
        places = 1 if x.repeats else prod(x.fold)
        weights = np.kron(np.eye(places), np.full((1, x.channels), 1 / x.channels))
        kernel = weights.astype(np.float32).reshape(*weights.shape, 1, 1, 1)
        node = self.ops.convolution(
            x.node, self.ops.constant(kernel), [1, 1, 1], [0, 0, 0], [0, 0, 0], [1, 1, 1]
        )
        return replace(x, node=node, channels=1)

    # Layouts

    def laid_out(self, x: Folded, fold: Triple, region: Region | None = None) -> Folded:
        """Fold a tensor differently, or cut it to a region, or both."""
        if region is None:
            if x.fold == fold and not x.repeats:
                return x
            ends = (s + c * f for s, c, f in zip(x.start, x.cells, x.fold, strict=True))
            region = tuple(zip(x.start, ends, strict=True))
        lows = _starts(region)
        offsets = [low - start for low, start in zip(lows, x.start, strict=True)]
        aligned = not any(offset % f for offset, f in zip(offsets, fold, strict=True))
        if x.fold != fold or (x.repeats and fold != UNFOLDED) or not aligned:
            x = self.unfolded(x)
        cell = x.fold
        lengths = [high - low for low, high in region]
        firsts = [offset // f for offset, f in zip(offsets, cell, strict=True)]
        counts = [ceil(n / f) * f // c for n, f, c in zip(lengths, fold, cell, strict=True)]
        node, before, after = self.cut(x, firsts, counts)
        if any(before) or any(after):
            zero = self.ops.constant(np.float32(0))
            node = self.ops.pad(node, [0, 0, *before], [0, 0, *after], "constant", zero)
        x = replace(x, node=node, start=lows)
        return x if cell == fold else self.folded(x, fold)

    def unfolded(self, x: Folded) -> Folded:
        """Return voxels of cells."""
        if x.fold == UNFOLDED:
            return replace(x, repeats=False)
        (z, y, n), (a, b, c), channels = x.cells, x.fold, x.channels
        node = x.node
        if x.repeats:
            node = self.shaped(node, (channels, z, 1, y, 1, n, 1))
            node = self.ops.broadcast(
                node, self.ops.constant(np.array([channels, z, a, y, b, n, c], np.int64))
            )
        else:
            node = self.shaped(node, (a, b, c, channels, z, y, n))
            node = self.turned(node, (3, 4, 0, 5, 1, 6, 2))
        node = self.shaped(node, (1, channels, z * a, y * b, n * c))
        return replace(x, node=node, fold=UNFOLDED, repeats=False)

    def folded(self, x: Folded, fold: Triple) -> Folded:
        """Return cells of voxels, the lengths being multiples of the fold."""
        (a, b, c), channels = fold, x.channels
        z, y, n = (length // f for length, f in zip(x.cells, fold, strict=True))
        node = self.shaped(x.node, (channels, z, a, y, b, n, c))
        node = self.turned(node, (2, 4, 6, 0, 1, 3, 5))
        return replace(x, node=self.shaped(node, (1, a * b * c * channels, z, y, n)), fold=fold)

    def joined(self, value: Value) -> Folded:
        """Return a tensor; a concatenation becomes one."""
        parts = _parts(value)
        if len(parts) == 1:
            return parts[0]
        region = _common(parts)
        parts = [self.laid_out(part, UNFOLDED, region) for part in parts]
        node = self.ops.concat([part.node for part in parts], 1)
        return replace(parts[0], node=node, channels=sum(part.channels for part in parts))

    def upsampled(self, x: Folded, layer: Any) -> Folded:
        """Repeat voxels: only said, not done."""
        x = self.laid_out(x, UNFOLDED)
        start, inner = _times(x.start, layer.size), _times(x.inner, layer.size)
        return replace(x, fold=tuple(layer.size), start=start, inner=inner, repeats=True)

    def pooled(self, x: Folded, layer: Any, needed: Margins) -> Folded:
        """Pool, kernel and stride being equal."""
        size = layer.pool_size
        x = self.laid_out(
            x, UNFOLDED, tuple((-m[0], n + m[1]) for m, n in zip(needed, x.inner, strict=True))
        )
        nothing = [0, 0, 0]
        if isinstance(layer, keras.layers.AveragePooling3D):
            node = self.ops.avg_pool(x.node, size, nothing, nothing, size, True)
        else:
            node = self.ops.max_pool(x.node, size, [1, 1, 1], nothing, nothing, size).output(0)
        start, inner = (
            triple(v // s for v, s in zip(values, size, strict=True))
            for values in (x.start, x.inner)
        )
        return replace(x, node=node, start=start, inner=inner)

    # Voxel by voxel

    def by_voxel(self, layer: Any, values: list[Value]) -> Folded:
        """Apply a layer that looks at single voxels."""
        ops = self.ops
        if isinstance(layer, keras.layers.Multiply) and isinstance(values[1], np.ndarray):
            return self.affine(self.joined(values[0]), values[1], np.zeros(1))
        if any(isinstance(value, np.ndarray) for value in values):
            raise NotFoldableError(f"{layer.name}: a constant")
        tensors = [self.joined(value) for value in values]
        x = tensors[0]
        if isinstance(layer, keras.layers.Rescaling):
            return self.affine(x, np.array([layer.scale]), np.array([layer.offset]))
        if isinstance(layer, keras.layers.Activation):
            return replace(x, node=self.activated(layer.activation, x.node))
        if isinstance(layer, keras.layers.LeakyReLU):
            slope = ops.constant(np.array([layer.negative_slope], np.float32))
            return replace(x, node=ops.prelu(x.node, slope))
        if isinstance(layer, keras.layers.ReLU):
            if layer.max_value is not None or layer.negative_slope or layer.threshold:
                raise NotFoldableError(f"{layer.name}: a ReLU with options")
            return replace(x, node=ops.relu(x.node))
        if isinstance(layer, own_layers.ChannelMean):
            return self.mean(x)
        if isinstance(layer, own_layers.LastChannel):
            x = self.laid_out(x, UNFOLDED)
            node = ops.slice(x.node, [x.channels - 1], [x.channels], [1], [1])
            return replace(x, node=node, channels=1)
        if isinstance(layer, own_layers.Ratio):

            def ratio(a: Any, b: Any) -> Any:
                zero = ops.constant(np.float32(0))
                below = ops.add(b, ops.constant(np.float32(layer.epsilon)))
                return ops.select(ops.equal(below, zero), zero, ops.divide(a, below))

            return self.together(ratio, tensors)
        if isinstance(layer, keras.layers.Add):
            return self.together(ops.add, tensors)
        if isinstance(layer, keras.layers.Multiply | own_layers.Product):
            return self.together(ops.multiply, tensors)
        raise NotFoldableError(f"{layer.name}: {type(layer).__name__}")

    def together(self, function: Callable[[Any, Any], Any], tensors: list[Folded]) -> Folded:
        """Apply a function to tensors, two at a time, voxel by voxel."""
        x = tensors[0]
        alike = all(
            (t.fold, t.channels, t.repeats) == (x.fold, x.channels, False)
            and not any((a - b) % f for a, b, f in zip(t.start, x.start, x.fold, strict=True))
            for t in tensors
        )
        region = _common(tensors)
        same = [self.laid_out(t, x.fold if alike else UNFOLDED, region) for t in tensors]
        node = same[0].node
        for other in same[1:]:
            node = function(node, other.node)
        return replace(same[0], node=node, channels=max(t.channels for t in same))

    def affine(self, x: Folded, scale: NDArray[Any], shift: NDArray[Any]) -> Folded:
        """Multiply and add, by channel or for all alike."""
        node = x.node
        places = 1 if x.repeats else prod(x.fold)
        if np.any(scale != 1):
            node = self.ops.multiply(node, self.vector(self.tiled(scale, places)))
        if np.any(shift):
            node = self.ops.add(node, self.vector(self.tiled(shift, places)))
        return replace(x, node=node)

    def activated(self, activation: Any, node: Any) -> Any:
        """Apply one of Keras' activations."""
        if activation is keras.activations.linear:
            return node
        for known, operation in (
            (keras.activations.relu, self.ops.relu),
            (keras.activations.softplus, self.ops.softplus),
            (keras.activations.sigmoid, self.ops.sigmoid),
        ):
            if activation is known:
                return operation(node)
        raise NotFoldableError(f"the activation {activation}")

    @staticmethod
    def tiled(values: NDArray[Any], places: int) -> NDArray[Any]:
        return np.tile(values, places) if values.size > 1 else values

    def vector(self, values: NDArray[Any]) -> Any:
        """Return one value per folded channel."""
        return self.ops.constant(values.astype(np.float32).reshape(1, -1, 1, 1, 1))

    def shaped(self, node: Any, shape: Sequence[int]) -> Any:
        return self.ops.reshape(node, self.ops.constant(np.array(shape, np.int64)), False)

    def turned(self, node: Any, order: Sequence[int]) -> Any:
        return self.ops.transpose(node, self.ops.constant(np.array(order, np.int64)))


def _parts(value: Value) -> list[Folded]:
    if isinstance(value, np.ndarray):
        raise NotFoldableError("a constant in place of a tensor")
    return value if isinstance(value, list) else [value]


def _constant(operation: Operation, vectors: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Compute what follows from constants alone."""
    batches = [vector.reshape(1, 1, 1, 1, -1) for vector in vectors]
    return np.asarray(compute(operation, *batches), np.float32).reshape(-1)


def _choose_fold(
    channels: int, size: Sequence[int], strides: Triple, parts: Sequence[Folded]
) -> Triple:
    """Choose the fold of a convolution's result for the least work.

    The work is counted in multiplications per voxel and input channel, idle lanes included.
    Folding a tensor differently is as dear as about 300 of them.
    """

    def work(fold: Triple) -> float:
        places = prod(fold)
        lanes = ceil(channels * places / LANES) * LANES
        total = 0.0
        for part in parts:
            if part.repeats:
                continue
            kept = part.fold == fold
            cells = part.fold if kept else UNFOLDED
            window = prod(
                ceil((s * (f - 1) + k) / g) * g
                for s, f, k, g in zip(strides, fold, size, cells, strict=True)
            )
            moved = 0 if kept or part.fold == UNFOLDED else 300
            total += part.channels * (window * lanes / places + moved)
        return total

    return min(FOLDS, key=work)


def _begin(low: int, fold: int, size: int, stride: int, part: Folded, axis: int) -> int:
    """Return a start at or before `low` for which no input cell is needed in part, if possible."""
    before = (size - 1) // 2 if stride == 1 else 0
    for begin in range(low, low - fold, -1):
        if (stride * begin - before - part.start[axis]) % part.fold[axis] == 0:
            return begin
    return low


def _common(tensors: Sequence[Folded]) -> Region:
    """Return the region that tensors share."""
    ends = [
        tuple(s + c * f for s, c, f in zip(t.start, t.cells, t.fold, strict=True)) for t in tensors
    ]
    lows = (max(values) for values in zip(*(t.start for t in tensors), strict=True))
    return tuple(zip(lows, (min(values) for values in zip(*ends, strict=True)), strict=True))


def _starts(region: Region) -> Triple:
    return triple(low for low, _ in region)


def _times(values: Triple, factors: Triple) -> Triple:
    return triple(v * f for v, f in zip(values, factors, strict=True))
