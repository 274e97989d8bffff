"""A small results tree that a run might have left behind, for the tests of the report."""

from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import zarr
from scipy.ndimage import gaussian_filter

from decon3d import paths
from decon3d.evaluation.full_reference import evaluate_phantoms, evaluate_volume
from decon3d.evaluation.records import write_records
from decon3d.files import write_json, write_text
from decon3d.optics.psf import normalised_psf, save_psf
from decon3d.settings import Settings, load_settings
from decon3d.volumes.ingest import ingest
from decon3d.volumes.writer import create_level, default_chunk, write_metadata, write_pyramid

VOXEL = (0.2, 0.1, 0.1)
BLUR = {
    "input": (1.6, 1.4, 1.4),
    "rl": (1.0, 0.8, 0.8),
    "rltv": (0.7, 0.6, 0.6),
    "rln": (0.9, 0.8, 0.8),
}


def make_settings(root: Path) -> Settings:
    return load_settings(
        {
            "seed": 3,
            "datasets": {
                "demo": {
                    "volumes": [
                        {
                            "name": "cell",
                            "path": str(root / "cell.tif"),
                            "reference": str(root / "truth.tif"),
                        }
                    ],
                    "voxel_size_um": VOXEL,
                    "optics": {
                        "modality": "widefield",
                        "numerical_aperture": 1.2,
                        "immersion_index": 1.333,
                    },
                    "channels": {"signal": {"emission_um": 0.525}},
                }
            },
            "methods": {"rl": {}, "rltv": {}, "rln": {}, "broken": {"kind": "rl"}},
            "phantoms": {
                "train": {"count": 16, "recipes": {"rln_mixed": 1}},
                "test": {"count": 8, "recipes": {"rln_mixed": 1, "tubules": 1}},
            },
        }
    )


def make_object(
    rng: np.random.Generator, shape: tuple[int, int, int], *, tubes: bool
) -> np.ndarray:
    if tubes:
        fields = [gaussian_filter(rng.normal(size=shape), 6) for _ in range(2)]
        near = sum((f / f.std()) ** 2 for f in fields)
        return 900 * gaussian_filter((near < 0.05).astype(np.float32), 0.7)
    solid = gaussian_filter(rng.normal(size=shape), 4)
    return 700 * gaussian_filter((solid > 2 * solid.std()).astype(np.float32), 0.7)


def blurred(truth: np.ndarray, method: str, rng: np.random.Generator) -> np.ndarray:
    noise = 12 if method == "input" else 5
    return (gaussian_filter(truth, BLUR[method]) + 100 + rng.normal(0, noise, truth.shape)).astype(
        np.float32
    )


def write_volume(store: Path, values: np.ndarray) -> None:
    level = create_level(
        store, shape=(1, 1, *values.shape), dtype="float32", chunk=default_chunk(values.shape)
    )
    level[0, 0] = values
    factors = write_pyramid(store)
    write_metadata(
        store,
        name="x",
        factors=factors,
        voxel_size_um=VOXEL,
        channel_names=["signal"],
        windows=[(0.0, 1000.0)],
    )


def make_tree(
    root: Path,
    *,
    shape: tuple[int, int, int] = (20, 40, 40),
    count: int = 4,
    channel_name: str = "488",
) -> Settings:
    """Write what a run leaves behind in which the method `broken` failed."""
    rng = np.random.default_rng(8)
    truth = make_object(rng, shape, tubes=True) + 100
    raw = blurred(truth - 100, "input", rng)
    tifffile.imwrite(root / "truth.tif", truth.astype(np.float32))
    counts = np.clip(raw, 0, None).astype(np.uint16)
    channel = {"axes": "CZYX", "Channel": {"Name": [channel_name]}}
    tifffile.imwrite(root / "cell.tif", counts[np.newaxis], metadata=channel, ome=True)
    settings = make_settings(root)
    names = {"dataset": "demo", "channel": "signal"}
    ingest(
        str(root / "cell.tif"),
        record_path=root / paths.ingested("demo", "cell"),
        name="cell",
        channels={"signal": 0},
        voxel_size_um=VOXEL,
        times=None,
        key="datasets.demo",
    )

    grid = np.indices((15, 15, 15)) - 7
    psf = np.exp(-((grid[0] / 2.2) ** 2 + (grid[1] / 1.5) ** 2 + (grid[2] / 1.5) ** 2) / 2)
    save_psf(normalised_psf(psf, VOXEL, {"source": "theory"}), root / paths.psf("demo", "signal"))

    recipes = ["rln_mixed", "tubules"] * count
    objects = np.stack([make_object(rng, shape, tubes=r == "tubules") + 100 for r in recipes])
    test = root / paths.phantoms("demo", "signal", "test")
    group = zarr.create_group(str(test))
    group.create_array("object", data=objects)
    images = np.stack([blurred(o - 100, "input", rng) for o in objects])
    group.create_array("image", data=images)
    group.attrs.update(
        recipes=recipes,
        photons=[100.0] * len(recipes),
        voxel_size_um=VOXEL,
        shape=list(shape),
        volumes=len(recipes),
        psf_variation=[None] * len(recipes),
    )
    records = evaluate_phantoms(test_store=test, restored_store=None, method="input", **names)
    records += evaluate_volume(raw, truth, method="input", volume="cell", **names)
    write_records(root / paths.evaluation("demo", "input", "phantoms"), records)

    for method in ("rl", "rltv", "rln"):
        store = root / paths.restored_phantoms("demo", "signal", method)
        values = np.stack([blurred(o - 100, method, rng) for o in objects])
        zarr.create_group(str(store)).create_array("restored", data=values)
        records = evaluate_phantoms(test_store=test, restored_store=store, method=method, **names)
        write_records(root / paths.evaluation("demo", method, "phantoms"), records)
        restored = blurred(truth - 100, method, rng)
        write_volume(root / paths.restored("demo", "cell", method), restored)
        records = evaluate_volume(restored, truth, method=method, volume="cell", **names)
        write_records(root / paths.evaluation("demo", method, "volumes"), records)
        for part in range(2):
            write_json(
                root / paths.part("demo", method, part),
                {
                    "seconds": 2.5,
                    "voxels": 1_000_000,
                    "peak_memory_gb": 0.5 + part,
                    "blocks": 3,
                    "device": "cpu",
                },
            )

    curve = [
        {
            "weight": w,
            "iterations": int(k),
            "score": 30 - 2 * abs(np.log(w / 0.003)) / 3 - (np.log(k / 40)) ** 2,
        }
        for w in (0.001, 0.0017, 0.003, 0.0052, 0.009)
        for k in (1, 2, 4, 8, 16, 32, 40, 64, 100)
    ]
    write_json(
        root / paths.tuning("demo", "signal", "rltv"),
        {
            "chosen": {"tv_weight": 0.003, "iterations": 40, "score": 30.0},
            "curve": curve,
            "on": "phantoms",
            "measure": "affine-matched PSNR (dB)",
            "to_gain": 0.04,
            "ended_by": None,
            "seconds": 61.0,
        },
    )
    model = root / paths.model("demo", "signal", "rln")
    steps = np.arange(200, 4001, 200)
    history = pd.DataFrame({"step": steps, "loss": 0.1 * np.exp(-steps / 900) + 0.02})
    history["val_loss"] = history["loss"] * 1.1
    history["val_nrmse"] = history["loss"] * 3
    history["val_psnr_affine"] = 29 - 6 * np.exp(-steps / 800)
    history["seconds"] = steps * 0.1
    write_text(model / "history.csv", history.to_csv(index=False))
    write_json(
        model / "model.json",
        {
            "best_step": 3200,
            "seed": 77,
            "weights_sha256": "ab" * 32,
            "validation": {"input": {"psnr_affine": 23.5}},
            "training": {"steps": 4000},
        },
    )
    lines = "12:00:00 I begins\n12:00:01 E no memory <img src=x onerror=alert(1)>\n"
    write_text(root / "logs/demo/restore_part/broken/0.log", lines)
    return settings
