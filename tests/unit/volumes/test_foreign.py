"""Files as other programs write them, or as people leave them: read right, or refused."""

import os
import shutil

import numpy as np
import pytest
import tifffile

from decon3d.errors import UserError
from decon3d.volumes.reader import Reading, open_volume

WHOLE = (slice(None),) * 3
STACK = np.random.default_rng(0).integers(0, 200, (5, 20, 24)).astype(np.uint8)
GREY = np.stack([np.arange(256) * 257] * 3).astype(np.uint16)


def voxels(path, **options):
    return open_volume(path, reading=Reading(**options)).read(0, 0, WHOLE)


def refused(path, said):
    with pytest.raises(UserError, match=said) as raised:
        open_volume(path)
    assert "\n" not in str(raised.value)


def test_a_stack_written_plane_by_plane_is_one_stack(tmp_path):
    with tifffile.TiffWriter(tmp_path / "v.tif") as file:  # each plane with its own shape
        for plane in STACK:
            file.write(plane)
    assert np.array_equal(voxels(tmp_path / "v.tif"), STACK)
    with tifffile.TiffWriter(tmp_path / "v.tif", append=True) as file:
        file.write(STACK[0, :10])
    refused(tmp_path / "v.tif", r"6 images: 0 \(20 × 24\).*5 \(10 × 24\); choose one")


def test_planes_of_unknown_order_are_asked_about(tmp_path):
    tag = (51123, "s", 0, '{"Channel": "a"}', False)  # Micro-Manager's, without its index
    tifffile.imwrite(
        tmp_path / "v.tif", STACK, metadata=None, photometric="minisblack", extratags=[tag]
    )
    refused(tmp_path / "v.tif", "micromanager on the order of its 5 planes")
    assert np.array_equal(voxels(tmp_path / "v.tif", axes="ZYX"), STACK)


def imagej(path, lines, stack=STACK):
    text = "ImageJ=1.53t\n" + lines
    tifffile.imwrite(path, stack, description=text, metadata=None, photometric="minisblack")


def test_imagej_counts_its_planes(tmp_path):
    imagej(tmp_path / "v.tif", "images=5\nunit=um\nspacing=0.3\n")  # no slices: a plain stack
    assert np.array_equal(voxels(tmp_path / "v.tif"), STACK)
    imagej(tmp_path / "v.tif", "images=4\nslices=4\n")
    refused(tmp_path / "v.tif", "state 4 planes, but it holds 5")


def test_counts_with_a_calibration_function_of_imagej(tmp_path):
    line = "images=5\nslices=5\nunit=um\nspacing=0.3\ncf=0\nc0={}\nc1={}\nvunit=Gray Value\n"
    imagej(tmp_path / "v.tif", line.format(-32768.0, 1.0))  # signed 16 bits
    refused(tmp_path / "v.tif", r"calibration function .*-32768.*32-bit")
    imagej(tmp_path / "v.tif", line.format(0.0, 1.0))
    assert np.array_equal(voxels(tmp_path / "v.tif"), STACK)


def test_the_colour_of_a_single_channel_of_imagej(tmp_path):
    green = np.zeros((3, 256), np.uint8)
    green[1] = np.arange(256)
    options = {"imagej": True, "metadata": {"axes": "ZYX", "LUTs": [green], "mode": "composite"}}
    tifffile.imwrite(tmp_path / "v.tif", STACK, **options)
    assert open_volume(tmp_path / "v.tif").channel_colors == ("00FF00",)


def test_decimal_numbers_of_planes_are_in_order(tmp_path):
    planes = np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 6), np.uint8)
    for number, plane in enumerate(planes):
        tifffile.imwrite(tmp_path / f"z{0.3 * number:.1f}um.tif", plane)
    assert np.array_equal(voxels(tmp_path), planes)
    (tmp_path / "z2.7um.tif").rename(tmp_path / "z2.70um.tif")
    refused(tmp_path, "is not one stack")


@pytest.mark.parametrize("names", ["{i:05}_t0000_c{c:02}_z{z:03}", "{i:05}_{c}_{z}", "{i}_c{c}"])
def test_a_running_number_beside_two_axes_is_no_stack(names, tmp_path):
    for i in range(6):
        name = names.format(i=i, c=i // 3, z=i % 3)
        tifffile.imwrite(tmp_path / f"{name}.tif", STACK[0])
    refused(tmp_path, "one channel and time point in a folder of their own")


def test_a_time_stamp_that_repeats_is_no_axis(tmp_path):
    for i, plane in enumerate(STACK):
        tifffile.imwrite(tmp_path / f"z{i:03}_120{i // 3}-{(40 * i) % 60}.tif", plane)
    assert np.array_equal(voxels(tmp_path), STACK)


@pytest.mark.parametrize("folder", [False, True])
def test_inverted_counts_and_colour_tables_are_refused(folder, tmp_path):
    def write(**options):
        shutil.rmtree(tmp_path / "v", ignore_errors=True)
        (tmp_path / "v").mkdir()
        if not folder:
            tifffile.imwrite(tmp_path / "v/v.tif", STACK, **options)
            return tmp_path / "v/v.tif"
        for number, plane in enumerate(STACK):
            tifffile.imwrite(tmp_path / f"v/z{number}.tif", plane, **options)
        return tmp_path / "v"

    refused(write(photometric="miniswhite"), "0 is white")
    scrambled = GREY[:, np.random.default_rng(0).permutation(256)]
    refused(write(photometric="palette", colormap=scrambled), "colour table, not counts")
    path = write(photometric="palette", colormap=GREY)
    assert np.array_equal(voxels(path), STACK)


def test_channels_that_a_program_took_for_colours(tmp_path):
    channels = STACK[:4].reshape(2, 2, 20, 24)[:, [0, 1, 0]]
    tifffile.imwrite(tmp_path / "v.tif", channels, photometric="rgb", planarconfig="separate")
    refused(tmp_path / "v.tif", "RGB picture.*`axes`")
    volume = open_volume(tmp_path / "v.tif", reading=Reading(axes="ZCYX"))
    assert np.array_equal(volume.read(0, 1, WHOLE), channels[:, 1])


def test_pipes_and_empty_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "v.tif")  # a reader would wait for ever
    refused(tmp_path / "v.tif", "a pipe or a device")
    (tmp_path / "e.tif").touch()
    refused(tmp_path / "e.tif", "is empty")
    os.symlink(tmp_path / "l.tif", tmp_path / "l.tif")
    refused(tmp_path / "l.tif", "symbolic links")


def test_a_link_that_leads_nowhere_does_not_shorten_a_stack(tmp_path):
    for number, plane in enumerate(STACK):
        tifffile.imwrite(tmp_path / f"z{number}.tif", plane)
    (tmp_path / "z9.tif").mkdir()
    assert np.array_equal(voxels(tmp_path), STACK)
    for place in (tmp_path / "gone.tif", tmp_path / "z5.tif"):  # nowhere, and in a circle
        os.symlink(place, tmp_path / "z5.tif")
        refused(tmp_path, "z5.tif is a link to a file that is missing")
        (tmp_path / "z5.tif").unlink()


XML = """<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"
UUID="urn:uuid:{own}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8"
SizeX="24" SizeY="20" SizeZ="5" SizeC="2" SizeT="1"><Channel ID="Channel:0:0"/>
<Channel ID="Channel:0:1"/>
<TiffData FirstC="0" PlaneCount="5"><UUID FileName="c0.ome.tif">urn:uuid:0</UUID></TiffData>
<TiffData FirstC="1" PlaneCount="5"><UUID FileName="c1.ome.tif">urn:uuid:1</UUID></TiffData>
</Pixels></Image></OME>"""


def ome_set(folder):
    folder.mkdir()
    for number in range(2):
        tifffile.imwrite(
            folder / f"c{number}.ome.tif",
            STACK + number,
            photometric="minisblack",
            description=XML.format(own=number),
            metadata=None,
        )
    return [folder / f"c{number}.ome.tif" for number in range(2)]


def test_a_link_to_one_file_of_a_set_finds_the_others(tmp_path):
    (tmp_path / "links").mkdir()
    files = ome_set(tmp_path / "set")
    os.symlink(files[0], tmp_path / "links/cell.ome.tif")
    volume = open_volume(tmp_path / "links/cell.ome.tif")
    assert np.array_equal(volume.read(0, 1, WHOLE), STACK + 1)


@pytest.mark.parametrize("opened", [0, 1])
def test_a_copy_in_place_of_another_file_of_a_set_is_refused(opened, tmp_path):
    files = ome_set(tmp_path / "set")
    shutil.copy(files[0], files[1])
    refused(files[opened], "one is a copy of the other")


def test_a_number_that_is_also_the_name_of_another_image_is_asked_about():
    names = ["1", "2", "3"]
    assert Reading("1").choose("f", names) == 0  # quoted: a name
    assert Reading(0).choose("f", names) == 0
    assert Reading(3).choose("f", names) == 2
    with pytest.raises(UserError, match=r"300 images: 0 \(a\), .*19 \(a\), …; choose"):
        Reading().choose("f", ["a"] * 300)
    with pytest.raises(UserError, match=r"number 1 and another with that name.*in quotes"):
        Reading(1).choose("f", names)
