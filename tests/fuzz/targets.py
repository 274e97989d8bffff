"""What the fuzzer mutates and who reads it: one target per kind of file.

A target makes its valid files once and then draws cases: files with a mutation, and the call that
reads them. A `UserError` is the right answer to any of them, and so is success, unless the voxels
are wrong where the mutation cannot be read rightly (`WrongError`).
"""

import contextlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import yaml
import zarr
from numpy.typing import NDArray

from decon3d.classical.kinds.rl import Rl
from decon3d.evaluation.noise import load_noise, measure_noise
from decon3d.evaluation.records import read_records, write_records
from decon3d.files import read_record
from decon3d.networks.description import load_info
from decon3d.networks.kind import ESTIMATES_VERSION
from decon3d.optics.measured import psf_from_file
from decon3d.optics.psf import load_psf, normalised_psf, save_psf
from decon3d.phantoms.user_objects import open_own_object
from decon3d.preflight import check_headers, list_inputs
from decon3d.restoration.finish import check_complete
from decon3d.restoration.part import restore_part
from decon3d.restoration.plan import load_plan, make_plan
from decon3d.restoration.prepare import prepare_classical
from decon3d.restoration.restorers import State, open_restorer
from decon3d.settings import ObjectFile, Restoration, check_config_files, load_settings
from decon3d.volumes.ingest import ingest
from decon3d.volumes.inputs import volume_files
from decon3d.volumes.reader import open_volume
from decon3d.volumes.statistics import channel_statistics, load_statistics, save_statistics
from decon3d.volumes.volume_record import load_record
from decon3d.volumes.writer import create_level, write_metadata
from fuzz.mutations import (
    Rng,
    any_of,
    cut,
    encode,
    flip,
    mutate_bytes,
    mutate_json,
    mutate_text,
    mutate_value,
    put_integer,
)
from support.records import metric_record

VOXEL = {"PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.15, "PhysicalSizeX": 0.15}
MOST_VOXELS = 2**24
"""A volume that claims to be larger is read at its two ends only."""


class WrongError(Exception):
    """A read that succeeded with values that are not those of the file."""


@dataclass
class Case:
    """A mutation in words, and the call that reads what was mutated."""

    what: str
    read: Callable[[], object]


def counts(*shape: int, dtype: str = "uint16") -> NDArray[Any]:
    """Draw counts on a background."""
    rng = np.random.default_rng(shape)
    return (
        (100 + rng.random(shape) ** 4 * 3000)
        .clip(0, 255 if dtype == "uint8" else 1e5)
        .astype(dtype)
    )


def read_all(path: Path) -> NDArray[Any] | None:
    """Read a volume as ingest does, all of it if it is small; return it as T C Z Y X."""
    volume_files(str(path))
    volume = open_volume(path)
    if volume.voxel_size_um is not None and not all(
        v > 0 and isfinite(v) for v in volume.voxel_size_um
    ):
        raise WrongError(f"a voxel size of {volume.voxel_size_um} µm")
    times, channels, *space = volume.shape
    if prod(volume.shape) > MOST_VOXELS:
        for place in (0, -1):
            region = [slice(n - 1, n) if place else slice(0, 1) for n in space]
            volume.read(place % times, place % channels, (region[0], region[1], region[2]))
        return None
    everything = (slice(0, space[0]), slice(0, space[1]), slice(0, space[2]))
    return np.array(
        [[volume.read(t, c, everything) for c in range(channels)] for t in range(times)]
    ).reshape(volume.shape)


def expect(path: Path, truth: NDArray[Any]) -> None:
    """Read a volume whose voxels can only be those of `truth`, or refused."""
    found = read_all(path)
    if found is None or found.shape != truth.shape:
        raise WrongError(f"another shape than {truth.shape}")
    if not np.array_equal(found, truth, equal_nan=True):
        raise WrongError("other voxels")


def tiff(**options: Any) -> Callable[[NDArray[Any]], bytes]:
    """Write an array as TIFF into memory."""

    def write(values: NDArray[Any]) -> bytes:
        stream = io.BytesIO()
        tifffile.imwrite(stream, values, **options)
        return stream.getvalue()

    return write


def pyramid() -> bytes:
    """Write a tiled, compressed OME-TIFF with a reduced level."""
    stream = io.BytesIO()
    values = counts(1, 2, 4, 64, 64)
    with tifffile.TiffWriter(stream, ome=True, bigtiff=True) as file:
        options: dict[str, Any] = {"tile": (32, 32), "compression": "zlib"}
        file.write(values, subifds=1, metadata={"axes": "TCZYX", **VOXEL}, **options)
        file.write(values[..., ::2, ::2], subfiletype=1, **options)
    return stream.getvalue()


class Tiff:
    """TIFF, ImageJ TIFF and OME-TIFF: bytes, entries of the directories, texts."""

    name = "tiff"

    def __init__(self, folder: Path) -> None:
        many = counts(2, 2, 3, 24, 20)
        ome = {"axes": "TCZYX", "Channel": {"Name": ["a", "b"]}, "TimeIncrement": 2.0, **VOXEL}
        imagej = {"axes": "TZCYX", "spacing": 0.3, "unit": "um", "finterval": 2.0, "fps": 0.5}
        stack = {"axes": "ZYX", "spacing": 300, "unit": "nm", "zunit": "nm"}
        self.files = {
            "plain": tiff()(counts(6, 24, 20)),
            "big-endian": tiff(byteorder=">", photometric="minisblack")(counts(6, 24, 20)),
            "float": tiff(photometric="minisblack", metadata={"axes": "ZYX"})(
                counts(4, 24, 20, dtype="float32")
            ),
            "8 bits": tiff(ome=True, metadata={"axes": "ZYX", **VOXEL})(
                counts(6, 24, 20, dtype="uint8")
            ),
            "ome": tiff(ome=True, metadata=ome)(many),
            "deflate": tiff(ome=True, metadata=ome, compression="zlib", predictor=True)(many),
            "lzw": tiff(ome=True, metadata=ome, compression="lzw", rowsperstrip=8)(many),
            "bigtiff": tiff(ome=True, metadata=ome, bigtiff=True)(many),
            "pyramid": pyramid(),
            "imagej": tiff(imagej=True, metadata=imagej, resolution=(6.6, 6.6))(
                counts(2, 3, 2, 24, 20)
            ),
            "imagej stack": tiff(imagej=True, metadata=stack, resolution=(0.0066, 0.0066))(
                counts(6, 24, 20)
            ),
        }
        self.truth, self.entries, self.texts = {}, {}, {}
        for name, data in self.files.items():
            path = folder / "seed.tif"
            path.write_bytes(data)
            found = read_all(path)
            assert found is not None
            self.truth[name] = found
            with tifffile.TiffFile(io.BytesIO(data)) as file:
                self.entries[name] = [
                    (tag.offset, tag.valueoffset, tag.valuebytecount, 20 if file.is_bigtiff else 12)
                    for page in file.pages
                    for tag in page.tags
                ]
                self.texts[name] = file.pages[0].description
                self.texts[name] = (
                    self.texts[name] if name in ("ome", "imagej", "imagej stack", "8 bits") else ""
                )

    def case(self, rng: Rng, folder: Path) -> Case:
        name = any_of(rng, list(self.files))
        data, path = self.files[name], folder / any_of(rng, ("v.tif", "v.ome.tif"))
        choice = rng.random()
        if choice < 0.15:
            path.write_bytes(cut(rng, data))
            return Case(f"{name}, cut", lambda: expect(path, self.truth[name]))
        if choice < 0.35 and self.texts[name]:
            path.write_bytes(self._with_text(name, encode(rng, mutate_text(rng, self.texts[name]))))
            return Case(f"{name}, text", lambda: self._read(path, rng))
        if choice < 0.75:
            path.write_bytes(self._entry(rng, name))
            return Case(f"{name}, directory", lambda: self._read(path, rng))
        path.write_bytes(mutate_bytes(rng, data))
        return Case(f"{name}, bytes", lambda: self._read(path, rng))

    def _entry(self, rng: Rng, name: str) -> bytes:
        data = self.files[name]
        for _ in range(int(rng.integers(1, 3))):
            entry, value, size, length = any_of(rng, self.entries[name])
            choice = rng.random()
            if choice < 0.2:
                gone = data[:entry] + bytes(length) + data[entry + length :]
                data = (
                    gone
                    if rng.random() < 0.5
                    else data[:entry] + data[entry + length :] + bytes(length)
                )
            elif choice < 0.7 or not size:
                data = put_integer(rng, data, entry + int(any_of(rng, (0, 2, 4, 8, length - 4))))
            else:
                data = put_integer(rng, data, value + int(rng.integers(max(1, size))))
        return data

    def _with_text(self, name: str, text: bytes) -> bytes:
        values = self.truth[name]
        pages = values.reshape(-1, *values.shape[-2:])
        return tiff(description=text, metadata=None, photometric="minisblack")(pages)

    def _read(self, path: Path, rng: Rng) -> None:
        if rng.random() < 0.1:  # the whole way, which is slower
            ingest(
                str(path),
                record_path=path.parent / "v.json",
                name="v",
                channels={"a": 0},
                voxel_size_um=None if rng.random() < 0.5 else (0.3, 0.1, 0.1),
                times=None,
                key="datasets.d",
            )
        elif rng.random() < 0.05:
            open_own_object("own", ObjectFile(path=str(path)))
        else:
            read_all(path)


class Planes:
    """A folder with a TIFF for each plane."""

    name = "planes"

    def __init__(self, folder: Path) -> None:
        self.planes = [tiff(photometric="minisblack")(plane) for plane in counts(4, 24, 20)]
        others = (
            counts(24, 20, dtype="uint8"),
            counts(24, 21),
            counts(2, 24, 20),
            counts(24, 20, 3),
            counts(24),
        )
        self.others = [tiff()(values) for values in others]

    def case(self, rng: Rng, folder: Path) -> Case:
        path = folder / "planes"
        path.mkdir()
        for z, plane in enumerate(self.planes):
            (path / f"img_z{z:02d}.tif").write_bytes(plane)
        victim = path / f"img_z{rng.integers(4):02d}.tif"
        choice = int(rng.integers(6))
        if choice == 0:
            victim.write_bytes(any_of(rng, [*self.others, b"", b"II*\0", b"no image"]))
        elif choice == 1:
            victim.rename(
                path
                / any_of(
                    rng, ("z.tif", "MAX_img.tif", "img_z99.tif", "[z].tif", ".tif", "c1_z00.tif")
                )
            )
        elif choice == 2:
            (
                path / any_of(rng, ("img_z04.tif", "MAX_img.tif", "notes.txt", "zarr.json"))
            ).write_bytes(any_of(rng, [*self.others, *self.planes, b""]))
        else:
            victim.write_bytes(mutate_bytes(rng, victim.read_bytes()))
        return Case(f"planes, {choice}", lambda: read_all(path))


def zarr_seed(folder: Path, name: str) -> Path:
    """Write an OME-Zarr of a version and codec, without this project's writer."""
    path = folder / name
    version = 2 if "0.4" in name else 3
    group = zarr.open_group(path, mode="w", zarr_format=version)
    axes = "tczyx" if "five" in name else "zyx"
    shape = (2, 2, 4, 20, 24)[-len(axes) :]
    codecs: dict[str, Any] = {
        "zstd": zarr.codecs.ZstdCodec(),
        "gzip": zarr.codecs.GzipCodec(),
        "blosc": zarr.codecs.BloscCodec(),
    }
    options: dict[str, Any] = {}
    if version == 3:
        options["compressors"] = next((c for k, c in codecs.items() if k in name), None)
        options["dimension_names"] = list(axes)
        options["shards"] = (
            tuple(2 * n if n > 2 else n for n in (1, 1, 2, 10, 12)[-len(axes) :])
            if "shard" in name
            else None
        )
    for level, step in enumerate((1, 2)):
        values = counts(*shape)[..., ::step, ::step]
        chunks = tuple(
            min(c, n) for c, n in zip((1, 1, 2, 10, 12)[-len(axes) :], values.shape, strict=True)
        )
        if options.get("shards") and level:
            options["shards"] = None
        array: Any = group.create_array(
            str(level), shape=values.shape, dtype=values.dtype, chunks=chunks, **options
        )
        array[...] = values
    kinds = {"t": {"type": "time", "unit": "second"}, "c": {"type": "channel"}}
    space = {"type": "space", "unit": "micrometer"}

    def transform(level: int) -> dict[str, Any]:
        step = 2**level
        scales = {"t": 2.0, "c": 1.0, "z": 0.3, "y": 0.15 * step, "x": 0.15 * step}
        return {"type": "scale", "scale": [scales[a] for a in axes]}

    multiscale: dict[str, Any] = {
        "axes": [{"name": a, **kinds.get(a, space)} for a in axes],
        "name": "v",
        "datasets": [{"path": str(i), "coordinateTransformations": [transform(i)]} for i in (0, 1)],
    }
    window = {"min": 0, "max": 65535, "start": 0, "end": 3000}
    omero = {
        "channels": [
            {"label": f"c{i}", "color": "00FF00", "window": window, "active": True}
            for i in range(2)
        ]
    }
    if version == 2:
        group.attrs.update({"multiscales": [{**multiscale, "version": "0.4"}], "omero": omero})
    else:
        group.attrs.update({"ome": {"version": "0.5", "multiscales": [multiscale], "omero": omero}})
    return path


class Zarr:
    """OME-Zarr 0.4 and 0.5: their JSON documents, their chunks."""

    name = "zarr"

    def __init__(self, folder: Path) -> None:
        names = (
            "0.4 five",
            "0.4 stack",
            "0.5 five zstd",
            "0.5 stack gzip",
            "0.5 stack blosc",
            "0.5 stack",
            "0.5 five shard zstd",
        )
        self.seeds = {name: zarr_seed(folder, f"{name}.zarr") for name in names}
        self.truth = {name: read_all(path) for name, path in self.seeds.items()}

    def case(self, rng: Rng, folder: Path) -> Case:
        name = any_of(rng, list(self.seeds))
        path = Path(shutil.copytree(self.seeds[name], folder / "v.ome.zarr"))
        files = sorted(p for p in path.rglob("*") if p.is_file())
        documents = [p for p in files if p.suffix == ".json" or p.name.startswith(".z")]
        chunks = [p for p in files if p not in documents and p.relative_to(path).parts[0] == "0"]
        truth: Any = self.truth[name]
        if rng.random() < 0.75:
            victim = any_of(rng, documents)
            if rng.random() < 0.05:
                victim.unlink()
            else:
                victim.write_bytes(mutate_json(rng, victim.read_text()))
            return Case(f"{name}, {victim.relative_to(path)}", lambda: read_all(path))
        victim = any_of(rng, chunks)
        data = victim.read_bytes()
        if rng.random() < 0.5:
            # A chunk that is shorter, even empty, is not one that was never written.
            victim.write_bytes(data[: int(rng.integers(len(data)))])
            return Case(f"{name}, cut {victim.relative_to(path)}", lambda: expect(path, truth))
        victim.write_bytes(mutate_bytes(rng, data))
        return Case(f"{name}, {victim.relative_to(path)}", lambda: read_all(path))


class OwnStore:
    """A store of this project: any damage of a chunk is noticed."""

    name = "own store"

    def __init__(self, folder: Path) -> None:
        self.seeds = []
        for number, shard in enumerate((None, (4, 24, 24))):
            path = folder / f"own{number}.ome.zarr"
            level = create_level(
                path, shape=(1, 1, 8, 24, 48), dtype="uint16", chunk=(4, 12, 24), shard=shard
            )
            level[0, 0] = counts(8, 24, 48)
            write_metadata(
                path,
                name="v",
                factors=[(1, 1, 1)],
                voxel_size_um=(0.3, 0.15, 0.15),
                channel_names=["a"],
                windows=[(0, 3000)],
            )
            self.seeds.append(path)

    def case(self, rng: Rng, folder: Path) -> Case:
        path = Path(shutil.copytree(any_of(rng, self.seeds), folder / "own.ome.zarr"))
        chunks = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix != ".json")
        victim = any_of(rng, chunks)
        choice = int(rng.integers(4))
        data = victim.read_bytes()
        if choice == 0:
            victim.unlink()
        elif choice == 1:
            victim.write_bytes(any_of(rng, chunks).read_bytes())
        else:
            victim.write_bytes(any_of(rng, (flip, cut, mutate_bytes))(rng, data))
        return Case(f"chunk, {choice}", lambda: expect(path, counts(8, 24, 48)[None, None]))


class Beads:
    """A measured PSF: the image of a bead."""

    name = "psf file"

    def __init__(self, folder: Path) -> None:
        z, y, x = np.ogrid[-8:9, -12:13, -12:13]
        bead = 100 + 3000 * np.exp(-(z**2 / 8 + y**2 / 6 + x**2 / 6))
        noise = np.random.default_rng(0).normal(0, 2, bead.shape)
        values = (bead + noise).astype(np.uint16)
        ome: dict[str, Any] = {
            "axes": "ZYX",
            "PhysicalSizeZ": 0.2,
            "PhysicalSizeY": 0.1,
            "PhysicalSizeX": 0.1,
        }
        imagej = {"axes": "ZYX", "spacing": 0.2, "unit": "um"}
        self.files = {
            "ome": tiff(ome=True, metadata=ome)(values),
            "imagej": tiff(imagej=True, metadata=imagej, resolution=(10, 10))(values),
        }
        self.texts = {}
        for name, data in self.files.items():
            with tifffile.TiffFile(io.BytesIO(data)) as file:
                self.texts[name] = file.pages[0].description
        self.values = values

    def case(self, rng: Rng, folder: Path) -> Case:
        name, path = any_of(rng, list(self.files)), folder / "psf.tif"
        if rng.random() < 0.5:
            text = encode(rng, mutate_text(rng, self.texts[name]))
            path.write_bytes(
                tiff(description=text, metadata=None, photometric="minisblack")(self.values)
            )
        else:
            path.write_bytes(mutate_bytes(rng, self.files[name]))
        voxel = None if rng.random() < 0.7 else (0.2, 0.1, 0.1)
        return Case(
            name,
            lambda: psf_from_file(
                path,
                voxel_size_um=voxel,
                target_voxel_size_um=(0.3, 0.15, 0.15),
                accept_pedestal=True,
            ),
        )


CONFIG: dict[str, Any] = {
    "schema_version": 1,
    "seed": 3,
    "datasets": {
        "cells": {
            "volumes": "data/*.tif",
            "voxel_size_um": [0.3, 0.15, 0.15],
            "optics": {"modality": "confocal", "numerical_aperture": 1.1, "immersion_index": 1.333},
            "camera": {"offset": 100, "gain": 2.0, "read_noise": 1.5},
            "times": [0],
            "preview": {"volume": "one", "roi": [[0, 4], [0, 8], [0, 8]]},
            "channels": {
                "dapi": {
                    "index": 1,
                    "emission_um": 0.46,
                    "psf": {
                        "source": "file",
                        "path": "data/psf.tiff",
                        "voxel_size_um": [0.2, 0.1, 0.1],
                    },
                },
                "gfp": {"index": 0, "emission_um": 0.525, "excitation_um": 0.488},
            },
        },
        "sheet": {
            "volumes": "data/sheet.csv",
            "optics": {
                "modality": "widefield",
                "numerical_aperture": 1.1,
                "immersion_index": 1.333,
            },
            "channels": {
                "gfp": {
                    "emission_um": 0.525,
                    "psf": {"source": "beads", "path": "data/two.tif", "bead_diameter_um": 0.1},
                }
            },
        },
        "listed": {
            "volumes": [
                "data/one.tif",
                {"name": "b", "path": "data/two.tif", "reference": "data/one.tif"},
            ],
            "optics": {
                "modality": "light_sheet",
                "numerical_aperture": 1.1,
                "immersion_index": 1.333,
                "sheet_thickness_um": 3.0,
            },
            "pairs": {
                "raw": ["data/one.tif", "data/two.tif", "data/three.tif"],
                "truth": "data/truth/*.tif",
            },
            "channels": {
                "gfp": {"emission_um": 0.525, "normalisation": {"offset": 100, "scale": 50}}
            },
        },
        "made": {
            "simulate": {"small": {"shape": [12, 32, 32], "photons": 100}},
            "voxel_size_um": [0.3, 0.15, 0.15],
            "optics": {"modality": "confocal", "numerical_aperture": 1.1, "immersion_index": 1.333},
            "channels": {"gfp": {"emission_um": 0.525}},
        },
    },
    "methods": {
        "rl": {"iterations": 5},
        "again": {"kind": "rltv", "source": "rl", "tv_weight": 0.002, "iterations": 9},
        "rln": {"training": {"steps": 4, "crop": [8, 16, 16], "batch": 2, "validate_every": 2}},
        "night": {"bundle": "data/bundle"},
    },
    "phantoms": {
        "shape": [12, 32, 32],
        "train": {"count": 2, "recipes": {"rln_mixed": 1}},
        "test": {"count": 1, "recipes": {"tubules": 1}, "doses": [50]},
        "objects": {"mine": {"path": "data/one.tif"}},
    },
    "restoration": {"parts": 2, "memory_gb": 2, "output_dtype": "float32"},
}
SHEET = 'name,path,reference\none,one.tif,two.tif\ntwo,two.tif,\n"th,ree",three.tif,\n'
INFO: dict[str, Any] = {
    "schema_version": 1,
    "kind": "rln",
    "options": {},
    "input_channels": 1,
    "halo": [18, 18, 18],
    "stride": [2, 2, 2],
    "bytes_per_voxel": 250.0,
    "global_means": False,
    "target_kernel": "object",
    "voxel_size_um": [0.2, 0.1, 0.1],
    "psf_fwhm_um": [0.6, 0.25, 0.25],
    "psf_fingerprint": "ab",
    "trained_on": {
        "volumes": 2,
        "shape": [8, 8, 8],
        "law": "law",
        "offset_counts": [100.0, 100.0],
        "scale_counts": [50.0, 60.0],
        "noise": [0.01, 0.02],
        "made_as": {"recipes": {"broad": 1}},
    },
    "training": {"steps": 1},
    "seed": 1,
    "stream": ["d", "c"],
    "device": "CPU",
    "best_step": 1,
    "validation": {"start": {"nrmse": 0.5}},
    "versions": {"decon3d": "0"},
    "model_sha256": "0",
    "weights_sha256": "0",
    "started_from": None,
    "estimates": [{"iteration_factors": [0.3, 1.0], "tv_factor": 1.0}],
    "estimates_version": ESTIMATES_VERSION,
}


def config_folder(folder: Path) -> None:
    """Write the files that `CONFIG` names."""
    (folder / "data" / "truth").mkdir(parents=True)
    (folder / "data" / "bundle").mkdir()
    imagej = {"axes": "TZCYX", "spacing": 0.3, "unit": "um"}
    write = tiff(imagej=True, metadata=imagej, resolution=(1 / 0.15, 1 / 0.15))
    for name in ("one", "two", "three"):
        for path in (f"data/{name}.tif", f"data/truth/{name}.tif"):
            (folder / path).write_bytes(write(counts(1, 4, 2, 16, 16)))
    stack = tiff(photometric="minisblack", metadata={"axes": "ZYX"})(counts(4, 16, 16))
    (folder / "data" / "psf.tiff").write_bytes(stack)
    (folder / "data" / "sheet.csv").write_text(SHEET.replace("th,ree", "three"))
    (folder / "data" / "bundle" / "model.json").write_text(json.dumps(INFO))
    layers = [{"config": {"batch_shape": [None, None, None, None, INFO["input_channels"]]}}]
    with zipfile.ZipFile(folder / "data" / "bundle" / "model.keras", "w") as archive:
        network = {"config": {"name": INFO["kind"], "layers": layers}}
        archive.writestr("config.json", json.dumps(network))


def read_config(text: str, folder: Path, path: Path) -> None:
    """Do what the workflow does before any job with the config at `path`, in a folder of inputs."""
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        config = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return  # Snakemake's own message
    if not isinstance(config, dict):
        return
    with contextlib.chdir(folder):
        check_config_files([path])
        settings = load_settings(config)
        check_headers(settings, list_inputs(settings), cache="headers.json")


class Config:
    """The config: its values and its text."""

    name = "config"

    def __init__(self, folder: Path) -> None:
        config_folder(folder)
        self.folder = folder
        self.text = yaml.safe_dump(CONFIG, sort_keys=False)
        read_config(self.text, folder, folder / "config.yaml")

    def case(self, rng: Rng, folder: Path) -> Case:
        if rng.random() < 0.8:
            text = yaml.safe_dump(mutate_value(rng, CONFIG), sort_keys=False, allow_unicode=True)
        else:
            text = mutate_text(rng, self.text)
        return Case("config", lambda: read_config(text, self.folder, folder / "config.yaml"))


class Sheet:
    """A sheet of volumes, comma or tab separated."""

    name = "sheet"

    def __init__(self, folder: Path) -> None:
        config_folder(folder)
        self.folder = folder

    def case(self, rng: Rng, folder: Path) -> Case:
        ending = any_of(rng, ("csv", "tsv"))
        text = SHEET if ending == "csv" else SHEET.replace(",", "\t")
        text = any_of(
            rng,
            (text, text.replace("\n", "\r\n"), text.replace(",", ";"), text.replace("\n", "\r")),
        )
        if rng.random() < 0.7:
            data = encode(rng, mutate_text(rng, text))
        else:
            data = mutate_bytes(rng, encode(rng, text))
        path = self.folder / "data" / f"fuzz.{ending}"
        path.write_bytes(data)
        (folder / path.name).write_bytes(data)
        dataset = {**CONFIG["datasets"]["sheet"], "volumes": f"data/fuzz.{ending}"}
        config = yaml.safe_dump({"datasets": {"sheet": dataset}, "methods": {"rl": {}}})
        return Case(ending, lambda: read_config(config, self.folder, folder / "config.yaml"))


class ModelJson:
    """What a bundle says of itself."""

    name = "model.json"

    def __init__(self, folder: Path) -> None:
        self.text = json.dumps(INFO)

    def case(self, rng: Rng, folder: Path) -> Case:
        (folder / "model.json").write_bytes(mutate_json(rng, self.text))
        return Case("model.json", lambda: load_info(folder))


class Own:
    """The small files that a run leaves for its later stages."""

    name = "own files"

    def __init__(self, folder: Path) -> None:
        source = folder / "v.ome.tif"
        source.write_bytes(tiff(ome=True, metadata={"axes": "ZYX", **VOXEL})(counts(8, 24, 24)))
        record = ingest(
            str(source),
            record_path=folder / "record.json",
            name="v",
            channels={"a": 0},
            voxel_size_um=None,
            times=None,
            key="datasets.d",
        )
        statistics = channel_statistics([record], channel=0, camera_offset=100, fixed=None, key="d")
        save_statistics(folder / "statistics.json", statistics)
        bead = np.zeros((3, 5, 5))
        bead[1, 1:4, 1:4] = 1
        psf = normalised_psf(bead, (0.3, 0.15, 0.15), {"source": "theory"})
        save_psf(psf, folder / "psf.tif")
        state = prepare_classical(
            Rl(kind="rl", iterations=2),
            statistics=statistics,
            psf=load_psf(folder / "psf.tif"),
            tuned={},
        )
        state.save(folder / "state.json")
        parts = folder / "parts"
        parts.mkdir()
        make_plan(
            method="rl",
            states={"a": state},
            records=[record],
            stores=[str(folder / "restored.zarr")],
            channels={"a": 0},
            times=None,
            restoration=Restoration(parts=1),
            path=folder / "plan.json",
        )
        restore_part(folder / "plan.json", [state], part=0, marker=parts / "0.json", threads=1)
        measure_noise([counts(8, 24, 24)]).save(folder / "noise.json")
        write_records(folder / "records.json", [metric_record()])
        self.folder = folder
        self.plan = load_plan(folder / "plan.json")
        self.psf = psf.data
        self.readers: dict[str, Callable[[Path], object]] = {
            "record.json": self._record,
            "statistics.json": lambda f: load_statistics(f / "statistics.json"),
            "psf.json": self._psf,
            "psf.tif": self._psf,
            "state.json": self._state,
            "state.npz": self._state,
            "plan.json": self._plan,
            "parts/0.json": lambda f: read_record(f / "parts" / "0.json"),
            "parts/0.progress": self._progress,
            "noise.json": lambda f: load_noise(f / "noise.json"),
            "records.json": lambda f: read_records(f / "records.json"),
        }

    def case(self, rng: Rng, folder: Path) -> Case:
        name = any_of(rng, list(self.readers))
        for other in self.readers:
            (folder / other).parent.mkdir(exist_ok=True)
            shutil.copy2(self.folder / other, folder / other)
        data = (self.folder / name).read_bytes()
        if rng.random() < 0.2:
            changed = any_of(
                rng, (b"", b"null", b"[]", b"{}", b"0", data[: len(data) // 2], bytes(len(data)))
            )
        else:
            changed = (
                mutate_json(rng, data.decode())
                if name.endswith(".json")
                else mutate_bytes(rng, data)
            )
        (folder / name).write_bytes(changed)
        return Case(name, lambda: self.readers[name](folder))

    def _record(self, folder: Path) -> None:
        record = load_record(folder / "record.json")
        record.histogram(0)
        record.kept({"a": 0}, None)

    def _psf(self, folder: Path) -> None:
        if not np.array_equal(load_psf(folder / "psf.tif").data, self.psf.astype(np.float32)):
            raise WrongError("another PSF than was saved")

    def _state(self, folder: Path) -> None:
        open_restorer(State.load(folder / "state.json"), threads=1)

    def _plan(self, folder: Path) -> None:
        if load_plan(folder / "plan.json") != self.plan:
            raise WrongError("another plan than was made")

    def _progress(self, folder: Path) -> None:
        check_complete(self.plan, folder / "parts")


TARGETS: tuple[Any, ...] = (
    Tiff,
    Zarr,
    Config,
    Tiff,
    Own,
    Sheet,
    Zarr,
    Planes,
    ModelJson,
    Tiff,
    OwnStore,
    Beads,
)
"""Every one as often as it stands here."""
