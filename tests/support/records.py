"""Records with values that a test changes one by one."""

from pathlib import Path

from decon3d.evaluation.records import Record
from decon3d.networks.description import SCHEMA_VERSION, BundleInfo, TrainedOn
from decon3d.volumes.volume_record import VolumeRecord


def bundle_info(**changes) -> BundleInfo:
    """What a trained network says of itself; 0.2 × 0.1 × 0.1 µm voxels, noise 1 to 2 %."""
    trained_on = TrainedOn(2, (8, 8, 8), "law", (100.0, 100.0), (50.0, 60.0), (0.01, 0.02), {})
    values = {
        "schema_version": SCHEMA_VERSION,
        "kind": "rln",
        "options": {},
        "input_channels": 1,
        "halo": (18, 18, 18),
        "stride": (2, 2, 2),
        "bytes_per_voxel": 250.0,
        "global_means": False,
        "target_kernel": "object",
        "voxel_size_um": (0.2, 0.1, 0.1),
        "psf_fwhm_um": (0.6, 0.25, 0.25),
        "psf_fingerprint": "ab",
        "trained_on": trained_on,
        "training": {"steps": 1},
        "seed": 1,
        "stream": ("d", "c"),
        "device": "CPU",
        "best_step": 1,
        "validation": {},
        "versions": {"decon3d": "0"},
        "model_sha256": "0",
        "weights_sha256": "0",
    }
    return BundleInfo(**{**values, **changes})


def metric_record(**changes) -> Record:
    """A value of a metric: the PSNR of a restored volume."""
    values = {
        "dataset": "d",
        "channel": "a",
        "method": "rl",
        "subject": "volume/v",
        "split": "test",
        "recipe": None,
        "photons": None,
        "metric": "psnr",
        "variant": "unmatched",
        "region": "volume",
        "range": 1.0,
        "implementation": "own",
        "value": 31.25,
        "unit": "dB",
    }
    return Record(**{**values, **changes})


def volume_record(store: Path, **changes) -> VolumeRecord:
    """The record of one uint16 channel that is read in place, without histograms."""
    values = {
        "name": "v",
        "source": str(store),
        "path": str(store),
        "shape": (1, 1, 8, 16, 16),
        "dtype": "uint16",
        "voxel_size_um": (1.0, 1.0, 1.0),
        "voxel_size_from": "metadata",
        "channel_names": ["a"],
        "channel_colors": [],
        "time_interval_s": None,
        "histograms": {},
        "darkest": {"0": None},
        "not_finite": {"0": 0},
        "saturated": {"0": 0},
        "no_data": {"0": None},
        "filled": {"0": 0},
        "content": {"0": {"0": ""}},
    }
    return VolumeRecord(**{**values, **changes})
