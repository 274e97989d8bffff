"""TIFF files as programs write them, whole or damaged: read right, or refused."""

import logging

import numpy as np
import pytest
import tifffile

from decon3d.errors import UserError
from decon3d.volumes.ingest import ingest
from decon3d.volumes.reader import Reading, open_volume

WHOLE = (slice(None),) * 3
VOXEL = (0.3, 0.1, 0.1)
STACK = np.random.default_rng(0).integers(90, 4000, (12, 40, 36)).astype(np.uint16)
IMAGEJ = {"axes": "ZYX", "spacing": 0.3, "unit": "um"}
OME = {"axes": "ZYX", "PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.1, "PhysicalSizeX": 0.1}


def plain(path, **options):
    tifffile.imwrite(path, STACK, photometric="minisblack", **options)


def bare(path, **options):
    plain(path, metadata=None, **options)


def imagej(path, **options):
    tifffile.imwrite(path, STACK, imagej=True, resolution=(10, 10), metadata=IMAGEJ, **options)


def ome(path, **options):
    tifffile.imwrite(path, STACK, ome=True, metadata=OME, photometric="minisblack", **options)


def page_by_page(path, **options):
    with tifffile.TiffWriter(path) as file:
        for plane in STACK:
            file.write(plane, metadata=None, contiguous=False, photometric="minisblack", **options)


WRITERS = [plain, bare, imagej, ome, page_by_page]


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("write", WRITERS)
def test_a_cut_file_is_refused(write, compression, tmp_path):
    write(tmp_path / "v.tif", compression=compression)
    whole = (tmp_path / "v.tif").read_bytes()
    assert np.array_equal(open_volume(tmp_path / "v.tif").read(0, 0, WHOLE), STACK)
    for share in (0.02, 0.3, 0.5, 0.7, 0.9, 0.99):
        (tmp_path / "c.tif").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(UserError, match=r"c\.tif"):
            open_volume(tmp_path / "c.tif")


@pytest.mark.parametrize("write", [ome, bare])
def test_a_file_cut_within_its_pages_is_refused_with_a_silent_log(write, tmp_path):
    write(tmp_path / "v.tif")
    whole = (tmp_path / "v.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "v.tif") as file:
        pages = [page.offset for page in file.pages]
    log = logging.getLogger("tifffile")
    for place in (pages[6] + 5, pages[7] - 2, pages[-1] + 20):
        log.setLevel(logging.CRITICAL)
        (tmp_path / "c.tif").write_bytes(whole[:place])
        with pytest.raises(UserError, match=r"c\.tif is incomplete"):
            open_volume(tmp_path / "c.tif")
    log.setLevel(logging.NOTSET)


@pytest.mark.parametrize("write", [page_by_page, bare, plain, ome, imagej])
@pytest.mark.parametrize("tag", ["StripByteCounts", "StripOffsets"])
def test_an_empty_strip_is_missing_not_zero(write, tag, tmp_path):
    write(tmp_path / "v.tif", compression="zlib")
    with tifffile.TiffFile(tmp_path / "v.tif", mode="r+b") as file:
        file.pages[7].tags[tag].overwrite(0)
    with pytest.raises(UserError, match=r"v\.tif is incomplete: plane 7"):
        open_volume(tmp_path / "v.tif")


def test_a_file_that_shrinks_after_it_was_opened_names_its_planes(tmp_path):
    imagej(tmp_path / "v.tif", compression="zlib")
    volume = open_volume(tmp_path / "v.tif")
    with open(tmp_path / "v.tif", "r+b") as file:
        file.truncate(20000)
    with pytest.raises(UserError, match=r"v\.tif, time 0, channel 0, planes 2 to 11 cannot be re"):
        volume.read(0, 0, (slice(2, 12), slice(None), slice(None)))
    with pytest.raises(
        UserError, match=r"v\.tif, from T 0, Z \d+, C 0, Y 0, X 0 on, cannot be read"
    ):
        volume.data.compute(scheduler="sync")


def test_imagej_states_more_planes_than_there_are(tmp_path):
    text = "ImageJ=1.54f\nimages=12\nslices=12\nunit=um\nspacing=0.3\n"
    tifffile.imwrite(tmp_path / "v.tif", STACK[:5], description=text, metadata=None)
    with pytest.raises(UserError, match=r"v\.tif"):
        open_volume(tmp_path / "v.tif")


def imagej_file(path, description, *, resolution=(10.0, 5.0), unit=1, data=STACK):
    """Write an ImageJ TIFF with its description as given: pixels per unit along X and Y."""
    text = f"ImageJ=1.54f\nimages={len(data)}\nslices={len(data)}\n{description}"
    options = {} if resolution is None else {"resolution": resolution, "resolutionunit": unit}
    tifffile.imwrite(
        path, data, description=text, metadata=None, photometric="minisblack", **options
    )
    if resolution is None:
        remove_resolution(path)


def remove_resolution(path):
    """Give the resolution tags of all pages numbers that no program knows."""
    with tifffile.TiffFile(path) as file:
        entries = [tag.offset for page in file.pages for tag in page.tags if 282 <= tag.code <= 283]
    with open(path, "r+b") as file:
        for offset in entries:
            file.seek(offset)
            file.write((65300).to_bytes(2, "little"))


@pytest.mark.parametrize(
    ("description", "options", "size"),
    [
        ("unit=um\nspacing=0.3\n", {}, (0.3, 0.2, 0.1)),
        ("unit=micron\nspacing=0.3\n", {}, (0.3, 0.2, 0.1)),
        ("unit=\\u00B5m\nspacing=0.3\n", {}, (0.3, 0.2, 0.1)),
        ("unit=nm\nspacing=300\n", {"resolution": (0.01, 0.005)}, (0.3, 0.2, 0.1)),
        ("unit=um\nzunit=nm\nspacing=300\n", {}, (0.3, 0.2, 0.1)),
        ("unit=um\nyunit=nm\nspacing=0.3\n", {"resolution": (10, 0.005)}, (0.3, 0.2, 0.1)),
        ("unit=mm\nzunit=um\nspacing=0.3\n", {"resolution": (1e4, 5e3)}, (0.3, 0.2, 0.1)),
        ("unit=um\n", {}, (1.0, 0.2, 0.1)),
        ("unit=um\nspacing=0.3\n", {"resolution": None}, (0.3, 1.0, 1.0)),
        ("unit=um\n", {"resolution": (1e5, 5e4), "unit": 3}, (1.0, 0.2, 0.1)),
        ("unit=pixel\nspacing=0.3\n", {}, None),
        ("spacing=0.3\n", {}, None),
    ],
)
def test_sizes_mean_what_they_mean_in_imagej(description, options, size, tmp_path):
    imagej_file(tmp_path / "v.tif", description, **options)
    volume = open_volume(tmp_path / "v.tif")
    assert volume.voxel_size_um == (size and pytest.approx(size, rel=1e-4))
    assert volume.voxel_size_problem == ""


@pytest.mark.parametrize(
    ("spacing", "unit", "said"),
    [
        (3000.0, "um", "3000.* along Z is outside 0.001 to 20"),
        (-0.15, "um", "-0.15 um along Z is outside"),
        (0.0, "um", "[(]0 um along Z is outside"),
        (float("nan"), "um", "nan .*along Z"),
        (0.3, "furlong", "unit 'furlong' along Z is not a known length"),
        (0.3, "reference frame", "unit 'reference frame' along Z"),
        (300.0, "um", "[(]300 um along Z is outside"),
        (0.3, "nm", "0.3 nm along Z is outside"),
    ],
)
def test_an_implausible_size_is_asked_for_and_a_configured_one_is_enough(
    spacing, unit, said, tmp_path
):
    sizes = {f"PhysicalSize{a}": v for a, v in zip("ZYX", (spacing, 0.1, 0.1), strict=True)}
    meta = {"axes": "ZYX", "PhysicalSizeZUnit": unit, **sizes}
    tifffile.imwrite(tmp_path / "o.tif", STACK, ome=True, metadata=meta, photometric="minisblack")
    for name in ("o.tif",):
        options = {"record_path": tmp_path / "r" / "v.json", "name": "v", "channels": {"a": 0}}
        options |= {"times": None, "key": "datasets.d"}
        with pytest.raises(UserError, match=rf"datasets\.d\.voxel_size_um is missing: .*{said}"):
            ingest(str(tmp_path / name), voxel_size_um=None, **options)
        record = ingest(str(tmp_path / name), voxel_size_um=VOXEL, **options)
        assert record.voxel_size_um == VOXEL and record.warnings == []


def run(path, tmp_path, **options):
    known = {"channels": {"a": 0}, "voxel_size_um": None, "times": None, "key": "datasets.d"}
    target = tmp_path / "r" / "v.json"
    return ingest(str(path), record_path=target, name="v", **{**known, **options})


def test_a_configured_size_that_contradicts_the_file_is_said(tmp_path):
    imagej(tmp_path / "v.tif")
    record = run(tmp_path / "v.tif", tmp_path, voxel_size_um=(0.3, 0.065, 0.065))
    (text,) = record.warnings
    assert "[0.3, 0.065, 0.065]" in text and "[0.3, 0.1, 0.1]" in text
    assert run(tmp_path / "v.tif", tmp_path, voxel_size_um=(0.3, 0.102, 0.1)).warnings == []


@pytest.mark.parametrize("write", [imagej, bare])
@pytest.mark.parametrize("size", [(0.1, 0.1, 0.3), (0.1, 0.3, 0.1), (0.065, 0.065, 0.2)])
def test_a_size_in_the_order_x_y_z_is_refused(write, size, tmp_path):
    write(tmp_path / "v.tif")
    with pytest.raises(UserError, match=r"datasets\.d\.voxel_size_um: .*Y ≠ X.*give \[Z, Y, X\]"):
        run(tmp_path / "v.tif", tmp_path, voxel_size_um=size)


def test_an_oblong_pixel_that_the_file_confirms_is_taken(tmp_path):
    imagej_file(tmp_path / "v.tif", "unit=um\nspacing=0.1\n", resolution=(1 / 0.3, 10))
    record = run(tmp_path / "v.tif", tmp_path, voxel_size_um=(0.1, 0.1, 0.3))
    assert record.voxel_size_um == (0.1, 0.1, 0.3)


@pytest.mark.parametrize(
    ("axes", "shape", "said"),
    [
        ("TYX", (40, 16, 12), "40 time points of one plane .*give axes: ZYX"),
        ("CYX", (40, 16, 12), "40 channels of one plane .*give axes: ZYX"),
        ("TCYX", (9, 2, 16, 12), "9 time points × 2 channels .*axes: ZCYX.*axes: TZYX"),
        (
            "YX",
            (16, 12),
            r"one plane \(16 × 12, Y × X\), no Z stack; 2D images cannot.*name the folder",
        ),
    ],
)
def test_planes_without_z_are_asked_about(axes, shape, said, tmp_path):
    data = np.random.default_rng(1).integers(0, 99, shape).astype(np.uint16)
    tifffile.imwrite(tmp_path / "o.tif", data, ome=True, metadata={"axes": axes})
    with pytest.raises(UserError, match=said):
        open_volume(tmp_path / "o.tif")
    if len(shape) == 3:
        for write in ({"imagej": True}, {"ome": True}, {}):
            tifffile.imwrite(tmp_path / "v.tif", data, metadata={"axes": axes}, **write)
            with pytest.raises(UserError, match=said):
                open_volume(tmp_path / "v.tif")
            volume = open_volume(tmp_path / "v.tif", reading=Reading(axes="ZYX"))
            assert volume.shape == (1, 1, *shape)
            assert np.array_equal(volume.read(0, 0, WHOLE), data)
            assert np.array_equal(volume.data[0, 0].compute(), data)


def test_axes_that_do_not_fit_are_refused(tmp_path):
    imagej(tmp_path / "v.tif")
    with pytest.raises(UserError, match=r"axes: TZYX names 4 dimensions, but .*v\.tif"):
        open_volume(tmp_path / "v.tif", reading=Reading(axes="TZYX"))
    tifffile.imwrite(
        tmp_path / "q.tif", np.zeros((3, 4, 16, 12), np.uint16), photometric="minisblack"
    )
    with pytest.raises(UserError, match="name them in the dataset's `axes`"):
        open_volume(tmp_path / "q.tif")
    assert open_volume(tmp_path / "q.tif", reading=Reading(axes="CZYX")).shape[:3] == (1, 3, 4)


def test_axes_are_given_with_or_without_those_of_length_one(tmp_path):
    data = np.random.default_rng(2).integers(0, 99, (8, 1, 2, 16, 12)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "v.tif", data, imagej=True, metadata={"axes": "TZCYX"})
    for axes in ("ZCYX", "ZTCYX"):
        volume = open_volume(tmp_path / "v.tif", reading=Reading(axes=axes))
        assert volume.shape == (1, 2, 8, 16, 12)
        assert np.array_equal(volume.read(0, 1, WHOLE), data[:, 0, 1])
        assert np.array_equal(volume.data[0, 1].compute(), data[:, 0, 1])


def test_exchanged_axes_need_a_voxel_size(tmp_path):
    imagej(tmp_path / "v.tif")
    volume = open_volume(tmp_path / "v.tif", reading=Reading(axes="YZX"))
    assert volume.shape == (1, 1, 40, 12, 36) and volume.voxel_size_um is None
    assert "`axes` exchange" in volume.voxel_size_problem
    assert np.array_equal(volume.read(0, 0, WHOLE), STACK.transpose(1, 0, 2))


def two_stacks(path, second, **options):
    with tifffile.TiffWriter(path) as file:
        file.write(STACK, photometric="minisblack", metadata={"axes": "ZYX"})
        file.write(second, photometric="minisblack", **options)


def test_a_second_stack_is_asked_for_and_a_thumbnail_is_not(tmp_path):
    two_stacks(tmp_path / "v.tif", STACK[:6, ::2, ::2])
    with pytest.raises(UserError, match="holds 2 images"):
        open_volume(tmp_path / "v.tif")
    volume = open_volume(tmp_path / "v.tif", reading=Reading(series=1))
    assert np.array_equal(volume.read(0, 0, WHOLE), STACK[:6, ::2, ::2])
    for small in (STACK[0, ::4, ::4], STACK[:, ::2, ::2]):
        options = {"subfiletype": 1} if small.ndim == 3 else {}
        two_stacks(tmp_path / "t.tif", small, **options)
        assert np.array_equal(open_volume(tmp_path / "t.tif").read(0, 0, WHOLE), STACK)


def test_stacks_without_metadata_are_not_taken_for_a_pyramid(tmp_path):
    with tifffile.TiffWriter(tmp_path / "v.tif") as file:
        for stack in (STACK, STACK[:, ::2, ::2]):
            for plane in stack:
                file.write(plane, metadata=None, contiguous=False, photometric="minisblack")
    with pytest.raises(UserError, match="holds 2 images"):
        open_volume(tmp_path / "v.tif")


def full_well(bits):
    data = STACK.copy() % (2**bits - 1)
    data[3:5, :10, :10] = 2**bits - 1
    return data


def test_twelve_bits_in_sixteen_are_saturated_at_4095(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", full_well(12), photometric="minisblack")
    options = {"voxel_size_um": VOXEL}
    assert run(tmp_path / "v.tif", tmp_path, **options).saturated == {"0": 0}
    record = run(tmp_path / "v.tif", tmp_path, camera_bits=12, **options)
    assert (record.saturated, record.saturation) == ({"0": 200}, 4095.0)
    with pytest.raises(UserError, match=r"datasets\.d\.camera\.bits: 10 bits end at 1023.* 4095"):
        run(tmp_path / "v.tif", tmp_path, camera_bits=10, **options)


def test_significant_bits_of_ome_count_where_the_counts_agree(tmp_path):
    for stated, level, saturated in ((12, 4095.0, 200), (10, 65535.0, 0), (16, 65535.0, 0)):
        meta = {**OME, "SignificantBits": stated}
        tifffile.imwrite(
            tmp_path / "v.ome.tif", full_well(12), ome=True, metadata=meta, photometric="minisblack"
        )
        assert open_volume(tmp_path / "v.ome.tif").significant_bits == stated
        record = run(tmp_path / "v.ome.tif", tmp_path)
        assert (record.saturation, record.saturated) == (level, {"0": saturated})
