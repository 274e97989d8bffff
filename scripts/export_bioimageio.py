"""A trained network as a bioimage.io package: `python scripts/export_bioimageio.py --help`."""

import argparse

from decon3d.logs import job_log
from decon3d.networks.export import Publication, export_bioimageio
from decon3d.volumes.statistics import load_statistics

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", help="folder with model.keras and model.json")
    parser.add_argument("package", help="the package to write, .zip")
    parser.add_argument("--name", required=True, help="its name on bioimage.io")
    parser.add_argument("--author", required=True, action="append", help="may be repeated")
    parser.add_argument("--licence", default="CC-BY-4.0", help="SPDX identifier; CC-BY-4.0")
    parser.add_argument(
        "--statistics",
        help="results/<dataset>/statistics/<channel>.json of the target data, whose normalisation "
        "is written; by default the middle of the training's",
    )
    given = parser.parse_args()
    with job_log("logs/export_bioimageio.log"):
        statistics = load_statistics(given.statistics) if given.statistics else None
        export_bioimageio(
            given.bundle,
            given.package,
            publication=Publication(given.name, given.author, given.licence),
            normalisation=statistics and statistics.normalisation,
        )
