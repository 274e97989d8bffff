"""Names from outside are taken literally, or refused by name where Snakemake cannot take them."""

import os

import pytest

from decon3d.errors import ConfigError
from decon3d.settings import Dataset, list_volumes, load_settings, path_problem
from decon3d.volumes.inputs import matches, volume_name
from support.configs import simulated_dataset

ODD = [
    "a [1]",
    "b (2)",
    "c{}",
    "d%s",
    "e'f\"",
    "g#",
    "h*?",
    "-i",
    "ü",
    "j\nk",
    "l;m&n",
    "o{p q}",
    "<R>",
]


def dataset(volumes):
    return Dataset(**{**simulated_dataset(), "simulate": None, "volumes": volumes})


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_name_is_taken_literally(odd, tmp_path):
    folder = tmp_path / odd
    folder.mkdir()
    files = [folder / f"{odd}.tif", folder / "z.tif"]
    for file in files:
        file.touch()
    assert matches(str(files[0])) == [str(files[0])]
    assert matches(f"{folder}/*.tif") == sorted(str(f) for f in files)
    assert matches(f"{tmp_path}/{odd}/**/z.tif") == [str(files[1])]
    assert not path_problem(str(files[0]))
    found = list_volumes("d", dataset(f"{folder}/*.tif"))
    assert sorted(v.path for v in found.values()) == sorted(str(f) for f in files)
    assert list_volumes("d", dataset(str(files[0])))[volume_name(str(files[0]))].path == str(
        files[0]
    )
    sheet = tmp_path / "sheet.tsv"
    if "\n" not in odd:
        quoted = f"{odd}/{odd}.tif".replace('"', '""')
        sheet.write_text(f'name\tpath\nx\t"{quoted}"\n', encoding="utf-8")
        assert list_volumes("d", dataset(str(sheet)))["x"].path == str(files[0])


def test_a_dollar_in_a_path_that_exists_is_no_variable(tmp_path):
    path = tmp_path / "a$nope.tif"
    path.touch()
    (tmp_path / "sheet.csv").write_text("name,path\nx,a$nope.tif\n")
    for volumes in (path, tmp_path / "sheet.csv"):
        (found,) = list_volumes("d", dataset(str(volumes))).values()
        assert found.path == str(path)


def test_a_pattern_is_one_where_nothing_has_its_name(tmp_path):
    for name in ("w1.tif", "w2.tif", "w[12].tif"):
        (tmp_path / name).touch()
    assert matches(f"{tmp_path}/w[12].tif") == [f"{tmp_path}/w[12].tif"]
    (tmp_path / "w[12].tif").unlink()
    assert matches(f"{tmp_path}/w[12].tif") == [f"{tmp_path}/w1.tif", f"{tmp_path}/w2.tif"]
    assert matches(f"{tmp_path}/x*.tif") == []


@pytest.mark.parametrize("odd", ["{gfp}", "{ a }", "{a,[0-9]+}", "{a.b}", "<results>"])
def test_what_snakemake_replaces_is_refused_by_name(odd, tmp_path):
    path = tmp_path / f"v {odd}.tif"
    path.touch()
    said = "(?s)datasets.d.volumes.*Snakemake replaces .*rename the file"
    with pytest.raises(ConfigError, match=said):
        list_volumes("d", dataset(f"{tmp_path}/*.tif"))
    with pytest.raises(ConfigError, match=said):
        named = {"name": "x", "path": str(path)}
        load_settings(
            {
                "datasets": {"d": {**simulated_dataset(), "simulate": None, "volumes": [named]}},
                "methods": {"rl": {}},
            }
        )


def test_a_name_in_an_older_encoding_is_refused(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.tif")).touch()
    with pytest.raises(ConfigError, match=r"caf\\udce9.tif' is not UTF-8") as raised:
        list_volumes("d", dataset(f"{tmp_path}/*.tif"))
    str(raised.value).encode()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/a.ome.tif", "a"),
        ("p.ome.zarr/A/1/0", "p_A_1_0"),
        ("x.zarr/y.ome.zarr/", "y"),
        ("a [1]/c(2).tif", "c_2_"),
        ("s.zarr/0", "s_0"),
        ("ü", "_"),
    ],
)
def test_a_volume_is_named_after_its_file(path, name):
    assert volume_name(path) == name
