"""Configs for tests."""

GOOD = {
    "datasets": {
        "worm": {
            "simulate": {"v": {"shape": [8, 16, 16]}},
            "voxel_size_um": [0.3, 0.1, 0.1],
            "optics": {"modality": "confocal", "numerical_aperture": 1.2, "immersion_index": 1.333},
            "channels": {"gfp": {"emission_um": 0.525}},
        }
    },
    "methods": {"rl": {}},
}
"""A whole config with nothing wrong."""


def simulated_dataset(**changes):
    """A dataset that needs no files."""
    return {
        "simulate": {"small": {"shape": [12, 32, 32]}},
        "voxel_size_um": [0.3, 0.15, 0.15],
        "optics": {"modality": "confocal", "numerical_aperture": 1.1, "immersion_index": 1.333},
        "camera": {"offset": 100},
        "channels": {"gfp": {"emission_um": 0.525}},
        **changes,
    }
