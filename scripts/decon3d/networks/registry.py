"""Networks by name: `decon3d.networks.<kind>` holds one network and its `NETWORK` record."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from decon3d.errors import UserError
from decon3d.networks.description import Estimate

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass(frozen=True)
class Network:
    """What building, training and restoring need to know of a network; one per file.

    Attributes
    ----------
    build
        Makes the model from keyword options; input and output N Z Y X C, float32, in network
        units, one channel (the input: and one per estimate). Records the options in nothing:
        `options` does.
    options
        The keyword options of `build` that a method's settings stand for.
    training_model
        The model with the further outputs that the loss looks at; shares all weights.
    loss
        (outputs of the training model, image, truth, method settings) → parts of the loss by
        name, scalars; `loss` is the one that is minimised.
    optimizer
        Makes the optimiser; the training sets its rate.
    bytes_per_voxel
        Memory that a restoration takes per voxel of a block with its halo, on a CPU; measured.
    estimates
        The Richardson-Lucy estimates that a method's network looks at beside the image.
    """

    build: Callable[..., "keras.Model"]
    options: Callable[[Any], dict[str, Any]]
    training_model: Callable[["keras.Model"], "keras.Model"]
    loss: Callable[[Any, "tf.Tensor", "tf.Tensor", Any], "dict[str, tf.Tensor]"]
    optimizer: Callable[[Any], "keras.optimizers.Optimizer"]
    bytes_per_voxel: Callable[[Any], float]
    estimates: Callable[[Any], tuple[Estimate, ...]] = lambda method: ()


def whole_model(model: "keras.Model") -> "keras.Model":
    """Return the model itself: the training looks at nothing but its output."""
    return model


def network(kind: str) -> Network:
    """Return the network called `kind` (imports TensorFlow).

    Raises
    ------
    UserError
        If there is none.
    """
    try:
        module = importlib.import_module(f"decon3d.networks.{kind}")
    except ModuleNotFoundError as error:
        if error.name != f"decon3d.networks.{kind}":
            raise
        module = None
    record = getattr(module, "NETWORK", None)
    if record is None:
        raise UserError(f"{kind!r} is no network of this version of decon3d")
    return record
