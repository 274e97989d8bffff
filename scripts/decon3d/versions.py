"""Versions of the algorithms, by stage.

They are among the parameters of the workflow's rules: raise a stage's number when a change of the
library changes its results, and exactly that stage and what follows is run again.
"""

VERSIONS = {
    "simulate": 3,
    "ingest": 2,
    "statistics": 2,
    "psf": 2,
    "phantoms": 3,
    "pairs": 1,
    "train": 4,
    "tune": 4,
    "prepare": 4,
    "plan": 2,
    "restore": 2,
    "finish": 1,
    "evaluate": 1,
    "report": 3,
}
