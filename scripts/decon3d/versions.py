"""Versions of the algorithms, by stage.

They are among the parameters of the workflow's rules: raise a stage's number when a change of the
library changes its results, and exactly that stage and what follows is run again.
"""

VERSIONS = {
    "simulate": 3,
    "ingest": 3,
    "statistics": 3,
    "psf": 2,
    "phantoms": 3,
    "pairs": 1,
    "train": 5,
    "tune": 5,
    "prepare": 5,
    "plan": 3,
    "restore": 3,
    "finish": 2,
    "evaluate": 1,
    "report": 3,
}
