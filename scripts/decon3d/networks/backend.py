"""Keras and TensorFlow, imported at their first use.

A network's settings, label and citations need no import of them. During the import, environment
variables select Keras' backend and turn off TensorFlow's start-up messages, unless the caller has
set these variables; afterwards they are removed.
"""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from decon3d.errors import UserError

DEFAULTS = {"TF_CPP_MIN_LOG_LEVEL": "2", "KERAS_BACKEND": "tensorflow"}


@contextmanager
def _environment() -> Iterator[None]:
    added = [name for name in DEFAULTS if name not in os.environ]
    os.environ.update({name: DEFAULTS[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in ("keras", "tensorflow"):
            raise
        raise UserError(
            f"networks need TensorFlow and Keras, but {sys.executable} cannot import {error.name}; "
            "install them, e.g. with `pip install '.[cpu]'` in a clone, or use rl or rltv"
        ) from None


class _Deferred(ModuleType):
    """A module that is imported at the first access to an attribute."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__version__":  # what `inspect` looks for
            raise AttributeError(name)
        with _environment():
            value = getattr(_imported(self.__name__), name)
        setattr(self, name, value)
        return value


if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    from keras import layers

    from decon3d.networks import layers as own_layers
else:
    keras = _Deferred("keras")
    layers = _Deferred("keras.layers")
    tf = _Deferred("tensorflow")
    own_layers = _Deferred("decon3d.networks.layers")

__all__ = ["keras", "layers", "own_layers", "tf"]
