"""OME-Zarr as others write it: read leniently where nothing depends on it, else refused in words."""

import json
import tracemalloc

import numpy as np
import pytest
import tifffile
import zarr

from decon3d.errors import UserError
from decon3d.settings import Dataset, list_volumes
from decon3d.volumes.headers import kept_headers, read_headers
from decon3d.volumes.ingest import ingest
from decon3d.volumes.reader import Reading, open_volume
from decon3d.volumes.statistics import channel_statistics
from decon3d.volumes.volume_record import load_record

COUNTS = np.random.default_rng(0).integers(90, 4000, (2, 5, 24, 20)).astype(np.uint16)
VOXEL = (0.5, 0.2, 0.1)
AXES = [{"name": "c", "type": "channel"}] + [
    {"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"
]
SCALE = {"type": "scale", "scale": [1.0, *VOXEL]}
WHOLE = (slice(None),) * 3


def multiscale(**changes):
    datasets = [{"path": "0", "coordinateTransformations": [SCALE]}]
    return {"axes": AXES, "datasets": datasets, **changes}


def image(path, *, counts=COUNTS, version=3, ome=None, **options):
    """Write an image as another program would: version 3 = OME-Zarr 0.5, 2 = 0.4."""
    chunks = (*(1,) * (counts.ndim - 3), 2, 20, 20)
    if counts.dtype.kind != "b":
        options = {"chunks": chunks, **options}
    group = zarr.open_group(path, mode="w", zarr_format=version)
    array = group.create_array("0", shape=counts.shape, dtype=counts.dtype, **options)
    array[...] = counts
    attributes = {"multiscales": [multiscale()]} if ome is None else ome
    group.attrs.update({"ome": {"version": "0.5", **attributes}} if version == 3 else attributes)
    return str(path)


def group(path, version, **attributes):
    made = zarr.open_group(path, mode="a", zarr_format=version)
    made.attrs.update({"ome": attributes} if version == 3 else attributes)


def plate(path, version=3):
    """Two wells with two fields each; the values tell them apart."""
    wells = [{"path": "A/1", "rowIndex": 0}, {"path": "B/3", "rowIndex": 1}]
    group(path, version, plate={"wells": wells, "name": "p"})
    for number, well in enumerate(wells):
        group(f"{path}/{well['path']}", version, well={"images": [{"path": "0"}, {"path": "1"}]})
        for field in range(2):
            counts = np.full_like(COUNTS, 10 * number + field)
            image(f"{path}/{well['path']}/{field}", counts=counts, version=version)
    return str(path)


def bioformats2raw(path, version=3, listed=True, count=2):
    layout = {"bioformats2raw.layout": 3}
    group(path, version, **layout)
    if listed:
        group(f"{path}/OME", version, series=[str(i) for i in range(count)])
    for i in range(count):
        ome = {"multiscales": [multiscale(name=f"fish {i}")]}
        image(f"{path}/{i}", counts=np.full_like(COUNTS, i), version=version, ome=ome)
    return str(path)


def volumes_of(volumes, **options):
    optics = {"modality": "confocal", "numerical_aperture": 1.1, "immersion_index": 1.333}
    channels = {"a": {"emission_um": 0.5}}
    dataset = Dataset(volumes=volumes, optics=optics, channels=channels, **options)
    return list_volumes("d", dataset)


def first(path, **reading):
    return int(open_volume(path, reading=Reading(**reading)).read(0, 0, WHOLE)[0, 0, 0])


@pytest.mark.parametrize("version", [2, 3])
def test_a_plate_is_many_volumes_named_after_well_and_field(version, tmp_path):
    path = plate(tmp_path / "p.ome.zarr", version)
    found = volumes_of(path)
    assert list(found) == ["p_A_1_0", "p_A_1_1", "p_B_3_0", "p_B_3_1"]
    assert [first(v.path) for v in found.values()] == [0, 1, 10, 11]
    assert list(volumes_of(f"{path}/B/3")) == ["p_B_3_0", "p_B_3_1"]
    assert "x_A_1_0" in volumes_of([{"name": "x", "path": path}])
    assert first(path, series="B/3/1") == 11 and first(path, series=1) == 1
    with pytest.raises(UserError, match=r"p.ome.zarr holds 4 images.*`series`"):
        open_volume(path)


@pytest.mark.parametrize(("version", "listed"), [(2, True), (3, True), (3, False)])
def test_a_bioformats2raw_layout_is_many_volumes(version, listed, tmp_path):
    bioformats2raw(tmp_path / "slide.zarr", version, listed)
    image(tmp_path / "one.zarr")
    bioformats2raw(tmp_path / "single.zarr", count=1)
    found = volumes_of(f"{tmp_path}/*.zarr")
    assert list(found) == ["one", "single", "slide_0", "slide_1"]
    assert first(found["slide_1"].path) == 1
    assert first(str(tmp_path / "slide.zarr"), series=1) == 1
    assert first(str(tmp_path / "slide.zarr"), series="fish 1") == 1
    with pytest.raises(
        UserError, match=r"no image 'fish 7'; its images are 0 \(fish 0\), 1 \(fish 1\)"
    ):
        open_volume(tmp_path / "slide.zarr", reading=Reading(series="fish 7"))


def test_the_header_of_a_chosen_image_is_kept_for_the_next_run(tmp_path):
    source = (bioformats2raw(tmp_path / "slide.zarr"), Reading(series=1))
    read_headers([source], cache=tmp_path / "headers.json")
    assert source in kept_headers(tmp_path / "headers.json")


def test_a_truth_of_many_images_belongs_to_the_volume_of_the_same_place(tmp_path):
    entry = {
        "name": "p",
        "path": plate(tmp_path / "p.zarr"),
        "reference": plate(tmp_path / "t.zarr"),
    }
    found = volumes_of([entry])
    assert found["p_B_3_1"].reference == f"{tmp_path}/t.zarr/B/3/1"
    entry["reference"] = image(tmp_path / "single.zarr")
    with pytest.raises(UserError, match=r"single.zarr lacks the image A/1/0 of .*p.zarr"):
        volumes_of([entry])


def test_a_listed_image_that_is_missing_is_named(tmp_path):
    path = plate(tmp_path / "p.zarr")
    (tmp_path / "p.zarr/B/3/1").rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"p.zarr: the image B/3/1 is listed but missing"):
        open_volume(path)


def test_a_gap_among_numbered_images_is_named(tmp_path):
    path = bioformats2raw(tmp_path / "s.zarr", listed=False, count=3)
    (tmp_path / "s.zarr/1").rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"s.zarr: the image 1 is listed but missing"):
        open_volume(path)


@pytest.mark.parametrize(
    ("ome", "names", "colors"),
    [
        (
            {"omero": {"channels": [{"label": "gfp", "color": "#ff0000"}, {}]}},
            ("gfp", "channel 1"),
            ("FF0000", "FFFFFF"),
        ),
        (
            {"omero": {"channels": [{"label": 3, "color": 255}, {"color": "0f0"}]}},
            ("3", "channel 1"),
            ("0000FF", "00FF00"),
        ),
        (
            {"omero": {"channels": [{"color": "green"}, {"color": [1, 2]}]}},
            ("channel 0", "channel 1"),
            (),
        ),
        ({"omero": {"channels": "none"}}, ("channel 0", "channel 1"), ()),
        ({"omero": 7, "version": 5}, ("channel 0", "channel 1"), ()),
    ],
)
@pytest.mark.parametrize("version", [2, 3])
def test_what_reading_does_not_need_may_be_odd(ome, names, colors, version, tmp_path):
    axes = [{"name": "c"}, *({"name": a, "unit": "micrometer"} for a in "zyx")]
    ome = {**ome, "multiscales": [multiscale(axes=axes, version="0.x")]}
    volume = open_volume(image(tmp_path / "v.zarr", ome=ome, version=version))
    assert (volume.channel_names, volume.channel_colors) == (names, colors)
    assert volume.voxel_size_um == VOXEL
    assert np.array_equal(volume.read(0, 1, WHOLE), COUNTS[1])


@pytest.mark.parametrize(
    "options", [{"chunk_key_encoding": {"name": "v2", "separator": s}} for s in "./"]
)
@pytest.mark.parametrize("kind", [">u2", "<u2"])
def test_separators_and_byte_orders_are_read(options, kind, tmp_path):
    path = image(
        tmp_path / "v.zarr", counts=COUNTS.astype(kind), version=2, fill_value=None, **options
    )
    volume = open_volume(path)
    assert volume.dtype == np.uint16 and volume.dtype.isnative
    found = volume.read(0, 1, WHOLE)
    assert found.dtype.isnative and np.array_equal(found, COUNTS[1])
    assert np.array_equal(volume.data[0, 1].compute(), COUNTS[1])


def transformed(*steps, **changes):
    datasets = [{"path": "0", "coordinateTransformations": list(steps)}]
    return {"multiscales": [multiscale(datasets=datasets, **changes)]}


SECOND = {"type": "scale", "scale": [1, 2, 2, 2]}


@pytest.mark.parametrize(
    ("ome", "size"),
    [
        (transformed(SCALE, coordinateTransformations=[SECOND]), (1.0, 0.4, 0.2)),
        (
            transformed(
                SCALE,
                axes=[{"name": a, "type": "space" if a != "c" else "channel"} for a in "czyx"],
            ),
            VOXEL,
        ),
        (transformed({"type": "scale", "scale": [1, 1, 1, 1]}, axes=list("czyx")), None),
        (transformed(), None),
        (transformed(SCALE, axes=[AXES[0], {"name": "z"}, *AXES[2:]]), None),
        (
            {
                "multiscales": [
                    {"version": "0.3", "axes": list("czyx"), "datasets": [{"path": "0"}]}
                ]
            },
            None,
        ),
    ],
)
def test_the_voxel_size_is_that_of_all_transformations_or_is_asked_for(ome, size, tmp_path):
    path = image(tmp_path / "v.zarr", ome=ome)
    assert open_volume(path).voxel_size_um == size
    if size is None:
        with pytest.raises(UserError, match=r"d\.voxel_size_um is missing: .*v\.zarr has "):
            run(path, tmp_path)


@pytest.mark.parametrize(
    ("ome", "said"),
    [
        (
            transformed({"type": "rotation", "rotation": []}),
            "transformation of the type 'rotation'",
        ),
        (transformed({"type": "scale", "scale": [1, 1, 1]}), "needs 4 numbers above 0"),
        (transformed({"type": "scale", "scale": [1, 1, 1, -1]}), "needs 4 numbers above 0"),
        (transformed({"type": "scale", "scale": [1, 1, 1, "1"]}), "needs 4 numbers above 0"),
        (transformed({"type": "scale", "path": "s"}), "needs 4 numbers above 0"),
    ],
)
def test_a_scale_that_cannot_be_used_is_told_and_a_configured_one_is_enough(ome, said, tmp_path):
    path = image(tmp_path / "v.zarr", ome=ome)
    with pytest.raises(UserError, match=rf"d\.voxel_size_um is missing: .*{said}"):
        run(path, tmp_path)
    record = run(path, tmp_path, voxel_size_um=VOXEL)
    assert record.path == path and record.voxel_size_um == VOXEL


def test_a_voxel_size_without_a_unit_is_told(tmp_path):
    axes = [{"name": a} for a in "czyx"]
    record = run(image(tmp_path / "v.zarr", ome=transformed(SCALE, axes=axes)), tmp_path)
    assert record.voxel_size_um == VOXEL and "without a unit" in record.warnings[0]


def test_the_position_is_that_of_all_transformations(tmp_path):
    shift = {"type": "translation", "translation": [0, 1, 2, -3]}
    axes = [AXES[0], *({**a, "unit": "nanometer"} for a in AXES[1:])]
    ome = transformed(SCALE, shift, coordinateTransformations=[SECOND, shift], axes=axes)
    volume = open_volume(image(tmp_path / "v.zarr", ome=ome))
    assert volume.position_um == pytest.approx((3e-3, 6e-3, -9e-3))
    assert open_volume(image(tmp_path / "w.zarr")).position_um is None


def test_the_oldest_versions_have_five_axes(tmp_path):
    ome = {"multiscales": [{"version": "0.1", "datasets": [{"path": "0"}]}]}
    path = image(tmp_path / "v.zarr", counts=COUNTS[np.newaxis], version=2, ome=ome)
    volume = open_volume(path)
    assert volume.axes == "TCZYX" and np.array_equal(volume.read(0, 1, WHOLE), COUNTS[1])


BAD_LEVEL = [{"path": "../0", "coordinateTransformations": [SCALE]}]


@pytest.mark.parametrize(
    ("ome", "said"),
    [
        ({"multiscales": []}, "lists no image"),
        ({"multiscales": [multiscale(), multiscale(name="b")]}, r"holds 2 images.*`series`"),
        ({"multiscales": [multiscale(datasets=[])]}, r"0 level\(s\) of resolution"),
        ({"multiscales": [multiscale(datasets=BAD_LEVEL)]}, "not a path inside the store"),
        (
            {"multiscales": [multiscale(datasets=[{"path": "7"}])]},
            "v.zarr/7 is listed as an array, but it is missing",
        ),
        ({"multiscales": [multiscale(axes=[])]}, "lists no axes.*`axes`"),
        ({"multiscales": [multiscale(axes=None)]}, "lists no axes.*`axes`"),
        ({"multiscales": [multiscale(axes=[*AXES[:3], {"name": "k"}])]}, r"has the axes.*`axes`"),
        (
            {"multiscales": [multiscale(axes=AXES[1:])]},
            r"has the axes \['z', 'y', 'x'\].*`axes`.*shape \(2, 5",
        ),
        (
            {"multiscales": [multiscale(axes=[{"name": "z", "type": "time"}, *AXES[1:]])]},
            "the axis Z has the type 'time'",
        ),
        ({"labels": ["nuclei"]}, "holds labels"),
        ({"multiscales": [multiscale()], "image-label": {}}, "holds labels"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(ome, said, tmp_path):
    path = image(tmp_path / "v.zarr", ome=ome)
    with pytest.raises(UserError, match=said) as error:
        open_volume(path)
    assert "\n" not in str(error.value) and "v.zarr" in str(error.value)


def test_metadata_of_version_04_in_a_group_of_zarr_3_is_read(tmp_path):
    path = image(tmp_path / "v.zarr")
    attributes = {"multiscales": [multiscale(version="0.4")]}
    edit(tmp_path / "v.zarr/zarr.json", attributes=attributes)
    assert open_volume(path).voxel_size_um == VOXEL


def test_one_of_several_multiscales_is_chosen(tmp_path):
    other = multiscale(name="b", datasets=[{"path": "1", "coordinateTransformations": [SCALE]}])
    path = image(tmp_path / "v.zarr", ome={"multiscales": [multiscale(name="a"), other]})
    zarr.open_group(path).create_array("1", data=COUNTS[:, :4])
    for series, depth in ((0, 5), ("b", 4)):
        assert open_volume(path, reading=Reading(series=series)).shape[2] == depth


def test_the_configs_axes_stand_above_the_metadata(tmp_path):
    ome = {"multiscales": [multiscale(axes=[{"name": "t"}, *AXES[1:]])]}
    path = image(tmp_path / "v.zarr", ome=ome)
    assert open_volume(path).shape[:2] == (2, 1)
    assert open_volume(path, reading=Reading(axes="CZYX")).shape[:2] == (1, 2)


@pytest.mark.parametrize(
    ("reading", "in_place"),
    [({}, True), ({"series": 0}, True), ({"axes": "CZYX"}, True), ({"axes": "TZYX"}, False)],
)
def test_an_image_is_read_in_place_if_it_says_itself_how(reading, in_place, tmp_path):
    path = image(tmp_path / "v.zarr")
    record = run(path, tmp_path, reading=Reading(**reading))
    assert (record.path == path) == in_place
    assert (
        record.shape[:2]
        == record.open().shape[:2]
        == ((1, 2) if "T" not in reading.get("axes", "") else (2, 1))
    )


def test_an_image_whose_axes_only_the_config_knows_is_copied(tmp_path):
    ome = {"multiscales": [multiscale(axes=[{"name": n} for n in "kzyx"])]}
    path = image(tmp_path / "v.zarr", ome=ome)
    record = run(path, tmp_path, reading=Reading(axes="CZYX"))
    assert record.path != path and np.array_equal(record.open().read(0, 1, WHOLE), COUNTS[1])


def test_contradicting_names_of_dimensions_are_refused(tmp_path):
    path = image(tmp_path / "v.zarr", dimension_names=["c", "x", "y", "z"])
    with pytest.raises(UserError, match=r"axes CZYX in its OME metadata, but CXYZ in its array's"):
        open_volume(path)
    record = run(path, tmp_path, reading=Reading(axes="CZYX"))
    assert record.path != path and record.open().shape == (1, *COUNTS.shape)


def test_a_larger_later_level_is_refused(tmp_path):
    datasets = [{"path": p, "coordinateTransformations": [SCALE]} for p in "10"]
    path = image(tmp_path / "v.zarr", ome={"multiscales": [multiscale(datasets=datasets)]})
    zarr.open_group(path).create_array("1", data=COUNTS[:, :, ::2, ::2])
    with pytest.raises(UserError, match="level '0' is larger than the first"):
        open_volume(path)


def edit(file, **changes):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"codecs": [BYTES, {"name": "jpegxl"}]},
            "v.zarr/0 cannot be opened: Unknown codec: 'jpegxl'",
        ),
        ({"data_type": "bfloat16"}, "v.zarr/0 cannot be opened: .*bfloat16"),
        ({"data_type": "bool", "fill_value": False}, "counts of type bool"),
        (
            {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 1, 1, 1]}}},
            "v.zarr/0",
        ),
        ({"shape": [2, 0, 24, 20]}, "holds no voxels"),
    ],
)
def test_an_array_that_cannot_be_opened_is_named_with_the_reason(changes, said, tmp_path):
    path = image(tmp_path / "v.zarr")
    edit(tmp_path / "v.zarr/0/zarr.json", **changes)
    with pytest.raises(UserError, match=said) as error:
        open_volume(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b'{"a": ' + 5000 * b"["])
def test_broken_metadata_is_named(content, tmp_path):
    path = image(tmp_path / "v.zarr")
    (tmp_path / "v.zarr/zarr.json").write_bytes(content)
    assert list(volumes_of(f"{tmp_path}/*.zarr")) == ["v"]  # the others are not lost
    with pytest.raises(UserError, match=r"v\.zarr/zarr\.json"):
        open_volume(path)


@pytest.mark.parametrize("options", [{}, {"shards": (1, 4, 20, 20)}])
def test_a_broken_chunk_is_named(options, tmp_path):
    path = image(tmp_path / "v.zarr", **options)
    chunk = tmp_path / "v.zarr/0/c/1/1/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-9])
    volume = open_volume(path)
    volume.read(0, 0, WHOLE)
    with pytest.raises(UserError, match=r"v\.zarr/0/c/1/1/0/0 cannot be read: "):
        volume.read(0, 1, WHOLE)


def run(path, tmp_path, **options):
    """Ingest channel 0, as `results/v.json`."""
    defaults = dict(channels={"a": 0}, voxel_size_um=None, times=None, key="datasets.d")
    target = tmp_path / "results" / "v.json"
    ingest(path, record_path=target, name="v", **{**defaults, **options})
    return load_record(target)


@pytest.mark.parametrize("dimensions", [None, ("c", "z", "y", "x")])
@pytest.mark.parametrize("version", [2, 3])
def test_a_plain_array_needs_axes_and_a_voxel_size(version, dimensions, tmp_path):
    path = str(tmp_path / "v.zarr")
    names = dimensions if version == 3 else None
    array = zarr.create_array(path, data=COUNTS, zarr_format=version, dimension_names=names)
    if version == 2 and dimensions:
        array.attrs["_ARRAY_DIMENSIONS"] = list(dimensions)
    if dimensions is None:
        with pytest.raises(UserError, match=r"v\.zarr is a zarr array of shape .*`axes`.*`voxel_s"):
            open_volume(path)
    with pytest.raises(UserError, match="axes: ZYX names 3 dimensions"):
        open_volume(path, reading=Reading(axes="ZYX"))
    reading = Reading(axes=None if dimensions else "CZYX")
    record = run(path, tmp_path, voxel_size_um=VOXEL, reading=reading)
    assert record.path == str(tmp_path / "results/v.ome.zarr")
    assert np.array_equal(record.open().read(0, 1, WHOLE), COUNTS[1])


def test_a_folder_of_arrays_or_images_is_refused_with_what_it_holds(tmp_path):
    zarr.create_array(f"{tmp_path}/n/exp/raw", data=COUNTS)
    with pytest.raises(UserError, match=r"n is a folder; name one of .*/n/exp/raw, .*`axes`"):
        open_volume(tmp_path / "n")
    zarr.open_group(tmp_path / "n", mode="a")
    with pytest.raises(UserError, match="n is a zarr group without OME metadata"):
        open_volume(tmp_path / "n")
    image(tmp_path / "m/a.zarr")
    with pytest.raises(UserError, match=r"list them by a glob: .*/m/\*"):
        open_volume(tmp_path / "m")
    (tmp_path / "a.ozx").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"a\.ozx is a zipped OME-Zarr; unzip"):
        open_volume(tmp_path / "a.ozx")


@pytest.mark.parametrize(
    ("kind", "low", "high", "becomes"),
    [
        ("int8", 0, 127, "uint16"),
        ("int8", -3, 100, "float32"),
        ("int16", 0, 32767, "uint16"),
        ("int16", -20, 4000, "float32"),
        (">i2", -20, 4000, "float32"),
        ("int32", 0, 65535, "uint16"),
        ("uint32", 0, 65536, "float32"),
        ("int64", 5, 900, "uint16"),
        ("uint64", 0, 70000, "float32"),
        ("float16", -1.5, 2000, "float32"),
        ("float64", -1.5, 1e6, "float32"),
        (">f4", 0, 9, "float32"),
    ],
)
def test_other_types_are_converted_exactly(kind, low, high, becomes, tmp_path):
    counts = COUNTS.clip(0, min(high, 100)).astype(kind)
    counts[0, 0, 0, :3], counts[1, 0, 0, 0] = high, low
    path = image(tmp_path / "v.zarr", counts=counts)
    record = run(path, tmp_path, channels={"a": 0, "b": 1})
    assert (record.dtype, record.stored_dtype) == (becomes, np.dtype(kind).newbyteorder("=").name)
    in_place = kind == ">f4"
    assert record.path == (path if in_place else str(tmp_path / "results/v.ome.zarr"))
    for channel in range(2):
        assert np.array_equal(record.open().read(0, channel, WHOLE), counts[channel])
    integer = np.dtype(kind).kind in "iu"
    assert record.stored_range == ((min(low, counts.min()), high) if integer else None)
    full = integer and high == np.iinfo(kind).max
    assert record.saturated["0"] == (3 if full else 0)
    if full:
        found = channel_statistics([record], channel=0, camera_offset=None, fixed=None, key="d")
        assert found.saturation == high


@pytest.mark.parametrize(("bits", "stated"), [(12, None), (None, 12), (None, 8)])
def test_bits_of_converted_counts(bits, stated, tmp_path):
    counts = COUNTS.astype(np.int16).clip(0, 4000)
    counts[0, 0, 0, 0], counts[0, 0, 0, 1:4] = -20, 4095
    path = str(tmp_path / "v.ome.tif")
    meta = {"axes": "CZYX", **{f"PhysicalSize{a}": v for a, v in zip("ZYX", VOXEL, strict=True)}}
    tifffile.imwrite(path, counts, metadata={**meta, "SignificantBits": stated or 16})
    record = run(path, tmp_path, camera_bits=bits)
    assert (record.dtype, record.stored_range) == ("float32", (-20, 4095))
    assert record.saturated == {"0": 3 if 12 in (bits, stated) else 0}
    assert np.array_equal(record.open().read(0, 0, WHOLE), counts[0])


def test_counts_that_float32_rounds_are_told(tmp_path, caplog):
    counts = COUNTS.astype(np.uint32)
    counts[0, 0, 0, 0] = 2**24 + 1
    record = run(image(tmp_path / "v.zarr", counts=counts), tmp_path)
    assert record.stored_range == (90, 2**24 + 1)
    assert "counts from 90 to 16777217; beyond 16777216 float32 rounds them" in caplog.text
    assert len(record.warnings) == 1


def test_counts_beyond_float32_are_refused(tmp_path):
    counts = COUNTS.astype(np.float64)
    counts[0, 0, 0, 0] = 1e39
    with pytest.raises(UserError, match=r"v\.zarr holds 1e\+39, beyond the range of float32"):
        run(image(tmp_path / "v.zarr", counts=counts), tmp_path)


@pytest.mark.parametrize("options", [{}, {"shards": (1, 4, 20, 20)}])
def test_missing_chunks_are_told_with_their_share(options, tmp_path, caplog):
    path = image(tmp_path / "v.zarr", **options)
    chunks = sorted(p for p in (tmp_path / "v.zarr/0/c").rglob("*") if p.is_file())
    run(path, tmp_path)
    assert "do not exist" not in caplog.text
    chunks[-1].unlink()
    run(path, tmp_path)
    assert f"{100 / len(chunks):.3g} % of the chunks of {path}/0 do not exist" in caplog.text
    for chunk in chunks[:-1]:
        chunk.unlink()
    with pytest.raises(UserError, match=r"v\.zarr/0 has no chunk"):
        run(path, tmp_path)


def test_the_chunks_of_a_wrong_shape_are_not_listed_one_by_one(tmp_path):
    path = image(tmp_path / "v.zarr")
    edit(tmp_path / "v.zarr/0/zarr.json", shape=[2, 10**8, 10**8, 10**8])
    tracemalloc.start()
    there, full = open_volume(path).array.chunk_files()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert there == 12 and full > 10**19 and peak < 10**7


def test_an_axis_that_is_too_long_is_refused_at_once(tmp_path):
    zarr.create_array(
        tmp_path / "v.zarr", shape=(4, 8, 8), chunks=(2, 8, 8), dtype="u2", zarr_format=2
    )
    metadata = tmp_path / "v.zarr" / ".zarray"
    content = json.loads(metadata.read_text())
    metadata.write_text(json.dumps({**content, "shape": [10**30, 8, 8]}))
    with pytest.raises(UserError, match="an axis has at most"):
        open_volume(tmp_path / "v.zarr", reading=Reading(axes="ZYX"))
