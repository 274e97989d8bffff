"""The state of a training in one file, from which a killed training resumes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import reason
from decon3d.files import replacing
from decon3d.logs import log

Arrays = list[NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """A training after `step` steps: everything that its continuation depends on.

    Attributes
    ----------
    key
        Hash of settings, data and software; another key is another training.
    weights, optimizer, best
        Weights of the model now, variables of the optimiser, weights to be kept.
    values
        Small values for JSON: step, best step, scores, rate, rows of the history.
    """

    key: str
    weights: Arrays
    optimizer: Arrays
    best: Arrays
    values: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the state atomically."""
        named = {
            f"{name}_{i}": array
            for name in ("weights", "optimizer", "best")
            for i, array in enumerate(getattr(self, name))
        }
        with replacing(path) as temporary, open(temporary, "wb") as stream:
            text = json.dumps({"key": self.key, **self.values})
            np.savez(stream, values=np.array(text), **named)

    @classmethod
    def load(cls, path: Path, *, key: str) -> "Checkpoint | None":
        """Read a saved state.

        Parameters
        ----------
        path
            File of `save`.
        key
            Key of the training that resumes.

        Returns
        -------
        Checkpoint or None
            None if there is no file, it is damaged, or it is of another training.
        """
        if not path.exists():
            return None
        try:
            with np.load(path) as content:
                values = json.loads(str(content["values"]))
                if values.pop("key") != key:
                    return None
                arrays = {
                    name: [content[f"{name}_{i}"] for i in range(_count(content.files, name))]
                    for name in ("weights", "optimizer", "best")
                }
        except Exception as error:  # numpy's, zipfile's, zlib's, JSON's
            log.warning("%s is damaged (%s); the training restarts", path, reason(error))
            return None
        return cls(key=key, values=values, **arrays)


def _count(names: list[str], prefix: str) -> int:
    return sum(name.startswith(f"{prefix}_") for name in names)
