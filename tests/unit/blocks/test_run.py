"""The block machine with a toy function of two arrays: f(a, b) = mean of a over 3 x 3 x 3, plus b."""

import os
import signal
from math import prod

import numpy as np
import pytest
import zarr
from scipy.ndimage import uniform_filter

from decon3d.blocks.compute import Tiling, with_data
from decon3d.blocks.geometry import block_at
from decon3d.blocks.progress import Progress, finished_blocks
from decon3d.blocks.run import run_blocks
from decon3d.blocks.work import Output, WorkList
from decon3d.errors import DamagedError, DeviceMemoryError, UserError

SHAPE = (2, 1, 10, 17, 20)
A, B = np.random.default_rng(6).uniform(size=(2, *SHAPE)).astype(np.float32)
EXPECTED = np.stack([uniform_filter(a[0], 3, mode="reflect") for a in A])[:, None] + B


class Toy:
    """Records what happens, in order; may stop at a block."""

    def __init__(self, stop_at=None, stop=None):
        self.events, self.stop_at, self.stop, self.changed = [], stop_at, stop, False

    def read(self, item):
        self.events.append(("read", item.number))
        place = (item.time, item.channel)
        return item.block.pad(A[(*place, *item.block.read)]), B[(*place, *item.block.write)]

    def compute(self, item, inputs):
        self.events.append(("compute", item.number))
        if len(self.computed) == self.stop_at:
            self.stop()
        return uniform_filter(inputs[0], 3)[item.block.inner] + inputs[1]

    def result(self, item, computed):
        self.events.append(("write", item.number))
        return computed, {"largest": float(computed.max())}

    def check_inputs(self, output):
        if self.changed:
            raise UserError("the input has changed")

    @property
    def computed(self):
        return [number for event, number in self.events if event == "compute"]


def killed():
    raise KeyboardInterrupt


def told():
    os.kill(os.getpid(), signal.SIGTERM)


def work_list(folder, *, key="k", names=("out",), block=(4, 8, 8)):
    outputs = [
        Output(str(folder / name), SHAPE, "float32", (2, 4, 4), block, key) for name in names
    ]
    for output in outputs:
        output.create()
    return WorkList(outputs, halo=(1, 1, 1))


def run(folder, toy, work, numbers=None, name="0"):
    numbers = range(len(work)) if numbers is None else numbers
    done = Progress(folder / f"{name}.progress", work, numbers)
    run_blocks(toy, work, numbers, done=done, what="toy")
    return done


def written(work):
    return zarr.open_array(str(work.outputs[0].level_0))[:]


def test_blocks_give_the_whole_and_their_records(tmp_path):
    toy, work = Toy(), work_list(tmp_path)
    done = run(tmp_path, toy, work)
    assert len(work) == 2 * 3 * 3 * 3 == len(toy.computed)
    assert np.array_equal(written(work), EXPECTED)
    assert sum(line["voxels"] for line in done.lines.values()) == prod(SHAPE)
    assert max(line["largest"] for line in done.lines.values()) == EXPECTED.max()


def test_reading_is_one_block_ahead_and_writing_one_behind(tmp_path):
    toy = Toy()
    run(tmp_path, toy, work_list(tmp_path))
    for number in toy.computed[1:]:
        at = toy.events.index(("compute", number))
        seen = toy.events[:at]
        assert sum(event == "read" for event, _ in seen) <= number + 2
        assert sum(event == "write" for event, _ in seen) >= number - 1


@pytest.mark.parametrize("stop", [killed, told])
def test_a_stopped_job_resumes_with_the_same_bytes(tmp_path, stop):
    work = work_list(tmp_path)
    toy = Toy(stop_at=5, stop=stop)
    with pytest.raises((KeyboardInterrupt, UserError)) as found:
        run(tmp_path, toy, work)
    if stop is told:
        assert "toy was stopped by SIGTERM with 49 of its blocks left; run it" in str(found.value)
    with open(tmp_path / "0.progress", "a") as stream:
        stream.write('{"key": "k", "item": 9, "cut o')
    again = Toy()
    run(tmp_path, again, work)
    # A block that was computed but not yet written is lost, never more.
    assert len(work) - 5 <= len(again.computed) <= len(work) - 5 + (stop is killed)
    assert np.array_equal(written(work), EXPECTED)
    run(tmp_path, last := Toy(), work)
    assert last.events == []


def test_damaged_missing_and_other_shards_are_done_again(tmp_path):
    work = work_list(tmp_path)
    run(tmp_path, Toy(), work)
    shards = [work.shard(work.item(number)) for number in (0, 7, 30)]
    shards[0].unlink()
    shards[1].write_bytes(shards[1].read_bytes()[:-5])
    shards[2].write_bytes(work.shard(work.item(31)).read_bytes())
    _, problems = finished_blocks(tmp_path, work, range(len(work)))
    assert problems.keys() == {0, 7, 30}
    assert problems[0] == "is missing" and "progress record" in problems[30]
    run(tmp_path, toy := Toy(), work)
    assert toy.computed == [0, 7, 30] and np.array_equal(written(work), EXPECTED)


def test_another_division_and_another_output_keep_what_is_done(tmp_path):
    work = work_list(tmp_path)
    run(tmp_path, Toy(), work, range(30))
    run(tmp_path, first := Toy(), work, range(20), name="1")
    run(tmp_path, second := Toy(), work, range(20, len(work)), name="2")
    assert first.computed == [] and second.computed == [*range(30, len(work))]
    more = WorkList([Output(str(tmp_path / "new"), *_like(work)), *work.outputs], halo=(1, 1, 1))
    more.outputs[0].create()
    run(tmp_path, toy := Toy(), more)
    assert toy.computed == [*range(len(work))]


def _like(work):
    output = work.outputs[0]
    return output.shape, output.dtype, output.chunk, output.block, "another key"


def test_another_key_starts_over(tmp_path):
    run(tmp_path, Toy(), work_list(tmp_path))
    work = work_list(tmp_path, key="other")
    run(tmp_path, toy := Toy(), work)
    assert len(toy.computed) == len(work)
    assert (tmp_path / "0.progress").read_text().count('"k"') == 0


def test_an_output_of_another_key_is_not_written_to(tmp_path):
    work = work_list(tmp_path)
    work_list(tmp_path, key="other")
    with pytest.raises(DamagedError, match=r"zarr\.json was made for another plan"):
        run(tmp_path, Toy(), work)


def test_changed_inputs_fail_the_job(tmp_path):
    toy = Toy()
    toy.changed = True
    work = work_list(tmp_path)
    for _ in range(2):  # the second time, all blocks are done
        with pytest.raises(UserError, match="the input has changed"):
            run(tmp_path, toy, work)
    assert len(toy.computed) == len(work)


def test_a_job_without_blocks_does_nothing(tmp_path):
    done = run(tmp_path, toy := Toy(), work_list(tmp_path), range(0))
    assert toy.events == [] and done.lines == {}


def test_a_job_checks_the_inputs_of_its_own_outputs(tmp_path):
    work = work_list(tmp_path, names=("a", "b", "c"))
    assert work.outputs_of(range(53, 54)) == [0] and work.outputs_of(range(53, 55)) == [0, 1]
    assert work.outputs_of(range(len(work))) == [0, 1, 2] and work.outputs_of(range(60, 60)) == []


def test_a_value_is_computed_once_and_kept(tmp_path):
    work = work_list(tmp_path)
    numbers = range(len(work))
    done = Progress(tmp_path / "0.progress", work, numbers)
    assert done.value(0, "scale", lambda: {"alpha": 0.1}) == {"alpha": 0.1}
    run(tmp_path, Toy(), work)
    again = Progress(tmp_path / "0.progress", work, numbers)
    assert again.value(0, "scale", killed) == {"alpha": 0.1} and len(again.lines) == len(work)


def test_a_block_is_computed_in_tiles_that_the_device_holds():
    values = A[0, 0]
    block = block_at(0, shape=values.shape, block=(10, 18, 20), halo=(1, 1, 1))
    sizes = []

    def compute(part, origin, inner):
        if part.size > 2000:
            raise DeviceMemoryError("too large")
        sizes.append(part.size)
        first = tuple(slice(o + 1, o + 1 + n) for o, n in zip(origin, part.shape, strict=True))
        assert np.array_equal(part, padded[first])
        return uniform_filter(part, 3)[inner]

    tiling, padded = Tiling(stride=(1, 1, 1), halo=(1, 1, 1)), block.pad(values)
    result = tiling.compute(compute, padded, block, (10, 18, 20))
    assert tiling.halvings == 2 and max(sizes) > 1000
    assert np.allclose(result, uniform_filter(values, 3, mode="reflect"), rtol=1e-6)
    with pytest.raises(DeviceMemoryError, match="not even small blocks fit"):
        tiling.compute(lambda *_: compute(np.zeros(9999), 0, 0), padded, block, (10, 18, 20))


def test_voxels_without_data_get_the_fill_value_and_empty_blocks_are_not_computed():
    values = np.ones((4, 4, 4), np.float32)
    block = block_at(0, shape=(4, 4, 4), block=(4, 4, 4), halo=(0, 0, 0))
    result, absent = with_data(values, block, fill=7, compute=lambda: values)
    assert absent is None and (result == 1).all()
    values[0, 0, 0] = np.nan
    result, absent = with_data(values, block, fill=7, compute=lambda: values)
    assert absent.sum() == 1 and result[0, 0, 0] == 7 and result.sum() == 63 + 7
    result, absent = with_data(np.full_like(values, np.nan), block, fill=7, compute=killed)
    assert absent.all() and (result == 7).all()
