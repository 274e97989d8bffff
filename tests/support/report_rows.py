"""Settings and rows of `metrics.csv`, for the tests of tables and recommendation."""

import pandas as pd

from decon3d.evaluation.records import COLUMNS
from decon3d.settings import Settings, load_settings
from support.configs import simulated_dataset

METHODS = {"rl": {}, "rltv": {}, "rln": {}}


def settings(methods: dict = METHODS, **more) -> Settings:
    """Settings of a dataset `d` with the channel `signal`."""
    dataset = simulated_dataset(channels={"signal": {"emission_um": 0.5}})
    return load_settings({"datasets": {"d": dataset}, "methods": methods, **more})


def table(
    values: dict[str, list[float]], *, recipe: str = "tubules", variant: str = "affine"
) -> pd.DataFrame:
    """PSNR on simulated test volumes, by method."""
    return rows(
        *(
            {
                "method": method,
                "subject": f"phantoms/test/{i:04d}",
                "split": "test",
                "recipe": recipe,
                "photons": 100.0,
                "metric": "psnr",
                "variant": variant,
                "range": 1.0,
                "value": value,
                "unit": "dB",
            }
            for method, series in values.items()
            for i, value in enumerate(series)
        )
    )


def rows(*entries: dict) -> pd.DataFrame:
    """Rows that say only what differs from a block of the data."""
    common = {
        "dataset": "d",
        "channel": "signal",
        "subject": "sample/0000",
        "split": "data",
        "recipe": None,
        "photons": None,
        "variant": "unmatched",
        "region": "volume",
        "range": None,
        "implementation": "here",
        "unit": "1",
    }
    return pd.DataFrame([{**common, **entry} for entry in entries], columns=list(COLUMNS))
