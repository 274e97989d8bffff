"""The geometry of block-wise work, for random shapes."""

from math import ceil, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decon3d.blocks.geometry import block_at, choose_block, grid, padded_voxels
from decon3d.errors import UserError

triples = st.tuples(*[st.integers(1, 23)] * 3)
strides = st.tuples(*[st.sampled_from([1, 2, 4])] * 3)
factors = st.tuples(*[st.integers(1, 5)] * 3)
halos = st.tuples(*[st.integers(0, 4)] * 3)


def times(a, b):
    return tuple(x * y for x, y in zip(a, b, strict=True))


@given(shape=triples, factor=factors, halo=halos, stride=strides, mirror=st.booleans())
def test_blocks_tile_the_volume_once_with_their_halo(shape, factor, halo, stride, mirror):
    block, halo = times(factor, stride), times(halo, stride)
    written = np.zeros(shape, int)
    volume = np.arange(prod(shape)).reshape(shape)
    for i in range(prod(grid(shape, block))):
        b = block_at(i, shape=shape, block=block, halo=halo, stride=stride, mirror=mirror)
        written[b.write] += 1
        padded = b.pad(volume[b.read])
        assert np.array_equal(padded[b.inner], volume[b.write])
        for axis in range(3):
            assert 0 <= b.read[axis].start < b.read[axis].stop <= shape[axis]
            before = b.inner[axis].start
            behind = padded.shape[axis] - b.inner[axis].stop
            if mirror:
                assert before >= halo[axis] and behind >= halo[axis]
                assert padded.shape[axis] % stride[axis] == 0
                assert b.origin[axis] % stride[axis] == 0
            else:
                assert before >= min(halo[axis], b.write[axis].start)
                assert behind >= min(halo[axis], shape[axis] - b.write[axis].stop)
    assert np.all(written == 1)


long_triples = st.tuples(*[st.integers(1, 900)] * 3)


@given(
    shape=long_triples,
    halo=halos,
    stride=strides,
    memory=st.floats(1e3, 1e9),
    at_least=st.integers(1, 9),
    mirror=st.booleans(),
)
def test_a_chosen_block_fits_or_says_that_it_cannot(shape, halo, stride, memory, at_least, mirror):
    options = dict(
        halo=halo, stride=stride, bytes_per_voxel=4.0, memory_bytes=memory, mirror=mirror
    )
    try:
        block, chunk = choose_block(shape, at_least=at_least, **options)
    except UserError:
        # Not even the smallest block fits: 8 voxels or the volume, in whole strides.
        smallest = [min(max(8, s), ceil(n / s) * s) for n, s in zip(shape, stride, strict=True)]
        assert 4 * prod(n + 2 * h for n, h in zip(smallest, halo, strict=True)) > memory
        return
    padded = padded_voxels(block, shape, halo=halo, mirror=mirror)
    # Up to a chunk's rest longer per axis than what was weighed.
    assert padded * 4 <= memory * 1.5
    for b, c, s in zip(block, chunk, stride, strict=True):
        assert b % c == 0 and c % s == 0
    assert prod(grid(shape, block)) >= at_least or max(block) <= 16


@given(shape=triples, factor=factors, halo=halos, mirror=st.booleans())
def test_padded_voxels_are_those_of_the_largest_block(shape, factor, halo, mirror):
    options = dict(shape=shape, halo=halo, mirror=mirror)
    blocks = [block_at(i, block=factor, **options) for i in range(prod(grid(shape, factor)))]
    sizes = [
        prod(r.stop - r.start + sum(f) for r, f in zip(b.read, b.face, strict=True)) for b in blocks
    ]
    assert padded_voxels(factor, shape, halo=halo, mirror=mirror) == max(sizes)


def test_faces_of_the_volume_have_no_halo_where_nothing_is_mirrored():
    """A block as thick as the volume needs no memory for a halo above and below it."""
    options = dict(halo=(40, 60, 60), stride=(1, 1, 1), bytes_per_voxel=80, memory_bytes=4.5e8)
    block, _ = choose_block((48, 384, 384), mirror=False, **options)
    assert block == (48, 384, 192)
    assert padded_voxels(block, (48, 384, 384), halo=(40, 60, 60), mirror=False) == 48 * 384 * 252


def test_a_block_beyond_the_grid_is_refused():
    with pytest.raises(IndexError):
        block_at(8, shape=(4, 4, 4), block=(2, 2, 2), halo=(0, 0, 0))
