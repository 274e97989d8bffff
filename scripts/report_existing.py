"""Pages from whatever results exist: `python scripts/report_existing.py CONFIG.yaml`.

Run by the workflow after an error; can be run by hand at any time.
"""

import sys
from pathlib import Path

import yaml
from decon3d.report.page import report_what_exists

from decon3d.logs import job_log
from decon3d.settings import load_settings

if __name__ == "__main__":
    config = {}
    for path in sys.argv[1:]:
        config |= yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    with job_log("logs/report_existing.log"):
        report_what_exists(Path(), load_settings(config))
