"""Validation of a training, always on the same volumes."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from decon3d.affine import fit_affine
from decon3d.networks.backend import keras, tf
from decon3d.training.crops import Pairs, Shape, fitting_crop

LARGEST: Shape = (96, 192, 192)
"""Voxels (Z, Y, X) up to which a volume is scored completely; larger ones in their middle."""
Loss = Callable[[list[tf.Tensor], tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]


def scores(prediction: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
    """Compare a prediction with the truth, as the evaluation does.

    Parameters
    ----------
    prediction, truth
        (Z, Y, X), float32, in the same units.

    Returns
    -------
    dict
        `nrmse`, and after the affine match `nrmse_affine` and `psnr_affine` (dB).
    """
    match = fit_affine(prediction, truth)
    affine = _rms(match.slope * prediction + match.offset - truth)
    return {
        "nrmse": _rms(prediction - truth) / match.truth_norm,
        "nrmse_affine": affine / match.truth_norm,
        "psnr_affine": 20 * math.log10(match.truth_range / affine),
    }


def _rms(values: NDArray[np.floating]) -> float:
    return math.sqrt(np.mean(np.square(values, dtype=np.float64)))


class Validation:
    """Scores a model on the validation pairs, its normalisation layers in inference mode.

    Parameters
    ----------
    pairs
        The validation pairs.
    training_model
        Returns the outputs that the loss takes; the first one is the restored volume.
    loss
        Takes outputs, image and truth.
    stride
        Voxels (Z, Y, X) of which a scored volume has a multiple.
    """

    def __init__(
        self, pairs: Pairs, *, training_model: keras.Model, loss: Loss, stride: Shape
    ) -> None:
        size = fitting_crop(LARGEST, pairs.shape, stride)
        middle = tuple(
            slice((v - n) // 2, (v - n) // 2 + n) for v, n in zip(pairs.shape, size, strict=True)
        )
        self._inputs = [
            np.stack([values[middle] for values in pairs.inputs(i)], axis=-1)
            for i in range(len(pairs.images))
        ]
        self._objects = [truth[middle] for truth in pairs.objects]

        channels = training_model.input_shape[-1]

        @tf.function(
            input_signature=[tf.TensorSpec((1, *size, channels)), tf.TensorSpec((1, *size, 1))]
        )
        def run(image: tf.Tensor, truth: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            outputs = training_model(image, training=False)
            restored = outputs[0] if isinstance(outputs, list) else outputs
            return restored, loss(outputs, image, truth)["loss"]

        self._run = run

    def of_input(self) -> dict[str, float]:
        """Score the blurred images themselves."""
        pairs = zip(self._inputs, self._objects, strict=True)
        return _mean([scores(inputs[..., 0], truth) for inputs, truth in pairs])

    def of_model(self) -> dict[str, float]:
        """Score the present model: `loss` and the scores, means over the volumes."""
        results = []
        for inputs, truth in zip(self._inputs, self._objects, strict=True):
            restored, loss = self._run(inputs[None], truth[None, ..., None])
            row = scores(restored.numpy()[0, ..., 0], truth)
            results.append({"loss": float(loss), **row})
        return _mean(results)


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
