"""Make pages from all existing results: `python scripts/report_existing.py < CONFIG.yaml`.

The workflow runs it after an error; it can be run by hand at any time. The files are dated 1970 and
an input of their rules is rewritten, so that the next run of the workflow makes them again.
"""

import os
import sys
import time
from pathlib import Path

import yaml

from decon3d import paths
from decon3d.files import write_text
from decon3d.logs import job_log
from decon3d.report.page import report_what_exists
from decon3d.settings import load_settings

DAY = 24 * 3600  # not 0, which means "no time" to Snakemake

if __name__ == "__main__":
    with job_log("logs/report_existing.log"):
        settings = load_settings(yaml.safe_load(sys.stdin))
        write_text(paths.PARTIAL_REPORT, f"{time.time_ns()}\n")
        report_what_exists(Path(), settings)
        for dataset in settings.datasets:
            made = [*Path(paths.table(dataset, "")).glob("*"), Path(paths.report(dataset))]
            made += [Path(paths.figures(dataset), "index.json"), Path(paths.INDEX)]
            for path in filter(Path.exists, made):
                os.utime(path, (DAY, DAY))
