"""OME-TIFF: the XML decides whose pages are read, what lies where, and what is missing."""

import numpy as np
import pytest
import tifffile

from decon3d.errors import UserError
from decon3d.volumes.ingest import ingest
from decon3d.volumes.reader import Reading, open_volume

WHOLE = (slice(None),) * 3
VOXEL = (0.3, 0.1, 0.1)
SIZES = 'PhysicalSizeZ="0.3" PhysicalSizeY="0.1" PhysicalSizeX="0.1"'
NAMESPACE = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'


def counts(seed, shape=(4, 12, 10)):
    return np.random.default_rng(seed).integers(90, 4000, shape).astype(np.uint16)


def pixels(shape, tiffdata, *, order="XYZCT", inside="", more=""):
    """An Image of C Z Y X counts (or Z Y X)."""
    channels, planes, height, width = (1, *shape)[-4:]
    return (
        f'<Pixels ID="Pixels:0" DimensionOrder="{order}" Type="uint16" SizeX="{width}" '
        f'SizeY="{height}" SizeZ="{planes}" SizeC="{channels}" SizeT="1" {SIZES} {more}>'
        f"{inside}{tiffdata}</Pixels>"
    )


def image(name, body, before=""):
    return f'<Image ID="Image:0" Name="{name}">{before}{body}</Image>'


def document(*images, uuid=None):
    own = f'UUID="urn:uuid:{uuid}"' if uuid else ""
    return f'<?xml version="1.0" encoding="UTF-8"?><OME {NAMESPACE} {own}>{"".join(images)}</OME>'


def block(file=None, *, ifd=0, count=None, uuid=None, **first):
    where = "".join(f' First{axis}="{n}"' for axis, n in first.items())
    number = "" if count is None else f' PlaneCount="{count}"'
    name = "" if file is None else f'<UUID FileName="{file}">urn:uuid:{uuid or file}</UUID>'
    return f'<TiffData IFD="{ifd}"{number}{where}>{name}</TiffData>'


def write(path, data, xml, **options):
    options = {"photometric": "minisblack", "metadata": None, "description": xml, **options}
    tifffile.imwrite(path, data, **options)


@pytest.fixture
def positions(tmp_path):
    """Three files, a position each, with the XML of all in each."""
    names = [f"pos{i}.ome.tif" for i in range(3)]
    stacks = [counts(i) for i in range(3)]
    images = [
        image(f"Pos{i}", pixels(s.shape, block(n, count=4)))
        for i, (n, s) in enumerate(zip(names, stacks, strict=True))
    ]
    for name, stack in zip(names, stacks, strict=True):
        write(tmp_path / name, stack, document(*images, uuid=name))
    return [tmp_path / name for name in names], stacks


def test_a_file_of_each_position_holds_its_own(positions):
    files, stacks = positions
    for file, stack in zip(files, stacks, strict=True):
        volume = open_volume(file)
        assert np.array_equal(volume.read(0, 0, WHOLE), stack)
        assert volume.voxel_size_um == VOXEL
    files[0].unlink()  # of no concern to the others
    assert np.array_equal(open_volume(files[1]).read(0, 0, WHOLE), stacks[1])


def test_a_renamed_file_is_known_by_its_uuid(positions):
    files, stacks = positions
    renamed = files[2].rename(files[2].with_name("other.ome.tif"))
    assert np.array_equal(open_volume(renamed).read(0, 0, WHOLE), stacks[2])


def test_one_uuid_in_all_files_does_not_mix_them(tmp_path):
    images = [image(f"P{i}", pixels((4, 12, 10), block(f"p{i}.tif", count=4))) for i in range(2)]
    for i in range(2):
        write(tmp_path / f"p{i}.tif", counts(i), document(*images, uuid="p0.tif"))
    for i in range(2):
        assert np.array_equal(open_volume(tmp_path / f"p{i}.tif").read(0, 0, WHOLE), counts(i))


def test_files_of_one_name_in_several_folders_are_told_apart_by_uuid(tmp_path):
    images = [
        image(f"P{i}", pixels((4, 12, 10), block(f"P{i}\\\\a.tif", count=4, uuid=f"u{i}")))
        for i in range(2)
    ]
    for i in range(2):
        (tmp_path / f"P{i}").mkdir()
        write(tmp_path / f"P{i}" / "a.tif", counts(i), document(*images, uuid=f"u{i}"))
        volume = open_volume(tmp_path / f"P{i}" / "a.tif")
        assert np.array_equal(volume.read(0, 0, WHOLE), counts(i))
    write(tmp_path / "a.tif", counts(2), document(*images, uuid="u2"))
    with pytest.raises(UserError, match="none with a plane in this file"):
        open_volume(tmp_path / "a.tif")


def test_a_declared_encoding_is_that_of_the_companion(tmp_path):
    full = document(image("µ", pixels((4, 12, 10), block("a.tif", count=4, uuid="u1"))))
    full = full.replace("UTF-8", "UTF-16")
    (tmp_path / "a.companion.ome").write_bytes(full.encode("utf-16"))
    only = f"<OME {NAMESPACE}><BinaryOnly MetadataFile='a.companion.ome' UUID='urn:uuid:u1'/></OME>"
    write(tmp_path / "a.tif", counts(1), only)
    assert open_volume(tmp_path / "a.tif").voxel_size_um == VOXEL
    alone = document(image("a", pixels((4, 12, 10), block(count=4)))).replace("UTF-8", "UTF-16")
    write(tmp_path / "b.tif", counts(1), alone)
    assert open_volume(tmp_path / "b.tif").voxel_size_um == VOXEL


@pytest.fixture
def channels(tmp_path):
    """A file for each of two channels, as Bio-Formats writes them."""
    stack = counts(0, (2, 4, 12, 10))
    names = ["set_C0.ome.tif", "set_C1.ome.tif"]
    data = "".join(
        block(name, ifd=z, count=1, C=c, Z=z) for c, name in enumerate(names) for z in range(4)
    )
    for c, name in enumerate(names):
        xml = document(image("set", pixels(stack.shape, data, order="XYCZT")), uuid=name)
        write(tmp_path / name, stack[c], xml, compression="zlib")
    return [tmp_path / name for name in names], stack


def test_a_set_of_files_is_read_from_any_of_them(channels):
    files, stack = channels
    for file in files:
        volume = open_volume(file)
        assert volume.shape == (1, 2, 4, 12, 10)
        for c in range(2):
            assert np.array_equal(volume.read(0, c, WHOLE), stack[c])
        assert np.array_equal(volume.data[0].compute(), stack)


def test_a_folder_with_a_set_is_that_set(channels):
    files, stack = channels
    volume = open_volume(files[0].parent)
    assert volume.path == str(files[0].parent) and volume.shape == (1, 2, 4, 12, 10)
    assert np.array_equal(volume.data[0].compute(), stack)
    write(files[0].with_name("set_C2.ome.tif"), stack[0], "")
    with pytest.raises(UserError, match=r"set_C2\.ome\.tif is not part of the set"):
        open_volume(files[0].parent)


def test_a_missing_file_of_a_set_is_named(channels):
    files, _ = channels
    files[1].unlink()
    with pytest.raises(UserError, match=r"set_C0\.ome\.tif belongs .*set_C1\.ome\.tif is missing"):
        open_volume(files[0])


def test_another_file_under_the_name_is_refused(channels):
    files, stack = channels
    xml = document(image("other", pixels((4, 12, 10), block(count=4))), uuid="else")
    write(files[1], stack[0], xml)
    with pytest.raises(UserError, match=r"set_C1\.ome\.tif is not the file .*urn:uuid:else"):
        open_volume(files[0])


def test_a_short_file_of_a_set_is_named_with_its_planes(channels):
    files, stack = channels
    with tifffile.TiffFile(files[1]) as file:
        xml = file.ome_metadata
    write(files[1], stack[1, :2], xml)
    with pytest.raises(UserError, match=r"set_C1\.ome\.tif is incomplete.*Z 2, C 1"):
        open_volume(files[0])


def test_a_companion_file_is_read_or_missed(tmp_path):
    stack = counts(1)
    full = document(image("a", pixels(stack.shape, block("a.tif", count=4, uuid="u1"))))
    (tmp_path / "a.companion.ome").write_text("\ufeff" + full, encoding="utf-8")
    only = f"<OME {NAMESPACE}><BinaryOnly MetadataFile='a.companion.ome' UUID='urn:uuid:u1'/></OME>"
    write(tmp_path / "a.tif", stack, only)
    assert open_volume(tmp_path / "a.tif").voxel_size_um == VOXEL
    assert np.array_equal(open_volume(tmp_path / "a.tif").read(0, 0, WHOLE), stack)
    (tmp_path / "a.companion.ome").unlink()
    with pytest.raises(UserError, match=r"a\.companion\.ome, which is missing"):
        open_volume(tmp_path / "a.tif")


def test_the_first_file_of_a_set_may_hold_the_xml_of_all(tmp_path):
    """As some programs write positions: BinaryOnly in all files but the first."""
    images = [image(f"P{i}", pixels((4, 12, 10), block(f"p{i}.tif", count=4))) for i in range(2)]
    write(tmp_path / "p0.tif", counts(0), document(*images, uuid="p0.tif"))
    only = f"<OME {NAMESPACE}><BinaryOnly MetadataFile='p0.tif' UUID='urn:uuid:p1.tif'/></OME>"
    write(tmp_path / "p1.tif", counts(1), only)
    for i in range(2):
        assert np.array_equal(open_volume(tmp_path / f"p{i}.tif").read(0, 0, WHOLE), counts(i))


def test_an_xml_with_a_prefix_or_a_comment_at_its_end_is_read(tmp_path):
    stack = counts(6, (2, 4, 12, 10))
    plain = document(image("a", pixels(stack.shape, block(count=8))))
    prefixed = plain.replace("xmlns=", "xmlns:ome=")
    for tag in ("OME", "Image", "Pixels", "TiffData"):
        prefixed = prefixed.replace(f"<{tag} ", f"<ome:{tag} ").replace(
            f"</{tag}>", f"</ome:{tag}>"
        )
    for text in (prefixed, f"{plain}<!-- written by a program -->", f"{plain}  \n\n   "):
        write(tmp_path / "a.tif", stack, text)
        volume = open_volume(tmp_path / "a.tif")
        assert np.array_equal(volume.data[0].compute(), stack)
        assert volume.voxel_size_um == VOXEL


def test_counts_of_another_sign_than_stated_are_refused(tmp_path):
    xml = document(image("a", pixels((4, 12, 10), block(count=4)))).replace("uint16", "int16")
    write(tmp_path / "a.tif", counts(0), xml)
    with pytest.raises(UserError, match="states counts of type int16, but its pages hold uint16"):
        open_volume(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_planes_that_the_xml_promises_are_there(compression, tmp_path):
    stack = counts(2)
    for data, said in (
        (block(count=4), "states 4 planes .* holds 3 .*Z 3"),
        ("<TiffData/>", "states 4 planes .* holds 3"),
        (block(count=3), "no file holds 1 of 4 planes .*Z 3"),
        ("", "states 4 planes"),
    ):
        xml = document(image("a", pixels(stack.shape, data)))
        write(tmp_path / "a.tif", stack[:3], xml, compression=compression)
        with pytest.raises(UserError, match=rf"a\.tif is incomplete.*{said}"):
            open_volume(tmp_path / "a.tif")


def test_more_planes_than_the_xml_states_are_refused(tmp_path):
    stack = counts(2)
    write(tmp_path / "a.tif", stack, document(image("a", pixels((3, 12, 10), "<TiffData/>"))))
    with pytest.raises(UserError, match="states 3 planes, but the file holds 4"):
        open_volume(tmp_path / "a.tif")


def test_planes_lie_where_tiffdata_says(tmp_path):
    stack = counts(3)
    turned = "".join(block(ifd=3 - z, count=1, Z=z) for z in range(4))
    write(tmp_path / "a.tif", stack, document(image("a", pixels(stack.shape, turned))))
    assert np.array_equal(open_volume(tmp_path / "a.tif").read(0, 0, WHOLE), stack[::-1])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('SizeZ="4"', 'SizeZ="1e9"'), "SizeZ of Pixels .* is '1e9', not a whole number"),
        (('SizeZ="4"', 'SizeZ="99999999999999999999"'), "not a whole number"),
        (('SizeZ="4"', 'SizeZ="-4"'), "not a whole number"),
        (('SizeZ="4"', 'SizeZ="0"'), "states .*Z 0"),
        (('SizeX="10"', 'SizeX="12"'), r"states planes of \(12, 12\)"),
        (('DimensionOrder="XYZCT"', 'DimensionOrder="ZXYCT"'), "DimensionOrder"),
        (('IFD="0"', 'IFD="2"'), "holds 2 of them"),
        (('FirstZ="0"', 'FirstZ="7"'), "starts at Z 7, but SizeZ is 4"),
        (("</OME>", "</OME"), "OME-XML cannot be read"),
    ],
)
def test_odd_xml_is_said(change, said, tmp_path):
    xml = document(image("a", pixels((4, 12, 10), block(count=4, Z=0))))
    assert change[0] in xml
    xml = xml.replace(*change)
    write(tmp_path / "a.tif", counts(0), xml + " " * (40 if xml.endswith("OME") else 0))
    if not xml.endswith("OME>"):
        xml += "OME>"
        write(tmp_path / "a.tif", counts(0), xml)
    with pytest.raises(UserError, match=said):
        open_volume(tmp_path / "a.tif")


def test_an_xml_without_namespace_or_with_a_byte_order_mark_is_read(tmp_path):
    xml = document(image("a", pixels((4, 12, 10), block(count=4)))).replace(NAMESPACE, "")
    write(tmp_path / "a.tif", counts(0), ("\ufeff" + xml).encode())
    assert open_volume(tmp_path / "a.tif").voxel_size_um == VOXEL


def test_an_axis_of_two_meanings_is_asked_about(tmp_path):
    along = '<Modulo><ModuloAlongZ Type="phase" Start="0" End="1"/></Modulo>'
    note = '<XMLAnnotation ID="Annotation:0" Namespace="openmicroscopy.org/omero/dimension/modulo">'
    notes = f"<StructuredAnnotations>{note}<Value>{along}</Value></XMLAnnotation>"
    body = pixels((4, 12, 10), block(count=4)) + '<AnnotationRef ID="Annotation:0"/>'
    xml = document(image("a", body), notes + "</StructuredAnnotations>")
    write(tmp_path / "a.tif", counts(0), xml)
    with pytest.raises(UserError, match="Z axis also counts phases"):
        open_volume(tmp_path / "a.tif")
    assert open_volume(tmp_path / "a.tif", reading=Reading(axes="ZYX")).shape[2] == 4


def test_two_pages_for_a_plane_are_refused(tmp_path):
    data = block(count=4) + block(ifd=3, count=1, Z=2)
    write(tmp_path / "a.tif", counts(0), document(image("a", pixels((4, 12, 10), data))))
    with pytest.raises(UserError, match=r"two pages for the plane at T 0, C 0, Z 2"):
        open_volume(tmp_path / "a.tif")


@pytest.fixture
def scenes(tmp_path):
    """One file with two stacks and a label."""
    path = tmp_path / "scenes.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        for name, shape in (("left", (4, 12, 10)), ("right", (5, 12, 10)), ("label image", (9, 7))):
            meta = {"axes": "ZYX"[-len(shape) :], "Name": name}
            file.write(
                counts(len(shape) + shape[0], shape), metadata=meta, photometric="minisblack"
            )
    return path


def test_several_images_are_asked_for(scenes):
    with pytest.raises(UserError, match=r"2 images: 0 \(left\), 1 \(right\); choose .*series"):
        open_volume(scenes)
    for chosen in (1, "right"):
        volume = open_volume(scenes, reading=Reading(series=chosen))
        assert np.array_equal(volume.read(0, 0, WHOLE), counts(8, (5, 12, 10)))
    for wrong in (2, "middle"):
        with pytest.raises(UserError, match=r"no image .*; its images are 0 \(left\), 1 \(right\)"):
            open_volume(scenes, reading=Reading(series=wrong))


def test_the_position_on_the_stage_is_kept(tmp_path):
    stack = counts(4)
    planes = "".join(
        f'<Plane TheZ="{z}" TheC="0" TheT="0" PositionX="1.5" PositionXUnit="mm" '
        f'PositionY="-20" PositionYUnit="µm" PositionZ="{7000 + 300 * z}" PositionZUnit="nm"/>'
        for z in range(4)
    )
    body = pixels(stack.shape, block(count=4) + planes)
    write(tmp_path / "a.ome.tif", stack, document(image("a", body)).encode())
    place = (7.0, -20.0, 1500.0)
    assert open_volume(tmp_path / "a.ome.tif").position_um == pytest.approx(place)
    record = ingest(
        str(tmp_path / "a.ome.tif"),
        record_path=tmp_path / "r" / "v.json",
        name="v",
        channels={"a": 0},
        voxel_size_um=None,
        times=None,
        key="datasets.d",
    )
    assert record.position_um == pytest.approx(place)
    assert record.open().position_um == pytest.approx(place)
    label = '<StageLabel Name="s" X="3" XUnit="µm" Y="2" YUnit="µm"/>'
    body = pixels(stack.shape, block(count=4))
    write(tmp_path / "b.ome.tif", stack, document(image("b", body, label)).encode())
    assert open_volume(tmp_path / "b.ome.tif").position_um == (0.0, 2.0, 3.0)
    frame = label.replace("µm", "reference frame")
    write(tmp_path / "c.ome.tif", stack, document(image("c", body, frame)).encode())
    assert open_volume(tmp_path / "c.ome.tif").position_um is None


def test_rgb_is_refused(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        np.zeros((4, 12, 10, 3), np.uint8),
        photometric="rgb",
        metadata={"axes": "ZYXS"},
    )
    with pytest.raises(UserError, match="RGB"):
        open_volume(tmp_path / "a.ome.tif")
