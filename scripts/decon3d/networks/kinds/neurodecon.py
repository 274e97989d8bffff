"""NeuroDecon (Sachuk et al., Int. J. Mol. Sci. 26, 8770 (2025)): a residual U-Net in two sizes.

Pooling and up-sampling are lateral only (1, 2, 2); Z is never reduced. Trained on structures
seen through a measured bead and the ideal bead, so that no PSF is ever estimated.

- `neurodecon`, "base 16": 1,509,331 trainable parameters (and 1,474 statistics); MSE + 0.78 ×
  Hessian, of images from 0 to 255 (`hessian_weight`); Adam with weight decay 1e-4, rate 1e-3.
- `neurodecon_large`, "base 32": 6,058,690 (and 3,074); MAE + 0.3 · (1 − SSIM) / 2; AdamW with
  weight decay 1e-3, rate 1e-3, × 0.8 every 12,500 steps.

Patches of 32 × 144 × 144, batches of two.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from decon3d.field_types import Shape
from decon3d.networks.backend import keras, layers, own_layers, tf
from decon3d.networks.kind import Network, NetworkSection, Schedule, Training, whole_model
from decon3d.networks.losses import hessian, windowed_ssim

SLOPE = 0.3
POOL = (1, 2, 2)


class NeuroDeconTraining(Training):
    """NeuroDecon's training."""

    batch: PositiveInt = 2
    crop: Shape = (32, 144, 144)
    learning_rate: PositiveFloat = 1e-3
    schedule: Schedule = "staircase"
    decay_steps: PositiveInt = 12_500
    decay_rate: Annotated[float, Field(gt=0, le=1)] = 0.8
    hessian_weight: NonNegativeFloat = 0.78 / 255
    """Weight of the smoothness term of the loss; the large network has no such term. The default is
    the published 0.78 / 255, since images are scaled to 0 … 255 in the publication, but here so
    that bright structures are about 1. With 0.78, an empty image would have a smaller loss than the
    truth."""


class NeuroDecon(NetworkSection):
    """NeuroDecon (Sachuk et al. 2025), trained on phantoms or measured pairs."""

    kind: Literal["neurodecon"]
    """NeuroDecon."""
    large: bool = False
    """Whether to use the large network, with 6,058,690 parameters instead of 1,509,331."""
    training: NeuroDeconTraining = NeuroDeconTraining()


def build(*, large: bool = False) -> keras.Model:
    """Build the network.

    Parameters
    ----------
    large
        The large form instead of the default one.

    Returns
    -------
    keras.Model
        Input and output (N, Z, Y, X, 1), float32; Y and X multiples of 8.
    """
    image = keras.Input((None, None, None, 1), name="image")
    return _large(image) if large else _base(image)


def _base(image: keras.KerasTensor) -> keras.Model:
    def stage(name: str, x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
        return _residual(name, _conv(f"{name}_in", x, channels, size=1), channels)

    x, skips = image, []
    for level, channels in enumerate((16, 32, 64)):
        x = stage(f"down_{level}", x, channels)
        skips.append(x)
        x = layers.MaxPooling3D(POOL, name=f"pool_{level}")(x)
    x = stage("bottom", x, 128)
    for level, channels in reversed(list(enumerate((16, 32, 64)))):
        x = stage(f"up_{level}", _joined(level, skips[level], x), channels)
    x = stage("last", x, 16)
    restored = _norm("restored", _conv("restored", x, 1))
    return keras.Model(image, restored, name="neurodecon")


def _large(image: keras.KerasTensor) -> keras.Model:
    def stage(name: str, x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
        shortcut = _conv(f"{name}_in", x, channels, size=1, bias=False)
        return _residual(name, x, channels, shortcut=shortcut, bias=False)

    start = _leaky("first", _norm("first", _conv("first", image, 32, bias=False)))
    x, skips = start, []
    for level, channels in enumerate((32, 64, 128)):
        x = stage(f"down_{level}", x, channels)
        skips.append(x)
        x = layers.MaxPooling3D(POOL, name=f"pool_{level}")(x)
    x = stage("bottom", x, 256)
    for level, channels in reversed(list(enumerate((32, 64, 128)))):
        x = stage(f"up_{level}", _joined(level, skips[level], x), channels)
    x = _norm("merge", _conv("merge", x, 32, bias=False))
    x = _leaky("merge", layers.Add(name="merge_add")([x, start]))
    x = _norm("restored", _conv("restored", stage("last", x, 32), 1, bias=False))
    restored = layers.ReLU(name="restored_relu")(x)
    return keras.Model(image, restored, name="neurodecon_large")


def _residual(
    name: str,
    x: keras.KerasTensor,
    channels: int,
    *,
    shortcut: keras.KerasTensor | None = None,
    bias: bool = True,
) -> keras.KerasTensor:
    """Two convolutions with normalisation, the shortcut (default: x itself) added, leaky ReLU."""
    y = _leaky(f"{name}_1", _norm(f"{name}_1", _conv(f"{name}_1", x, channels, bias=bias)))
    y = _norm(f"{name}_2", _conv(f"{name}_2", y, channels, bias=bias))
    added = layers.Add(name=f"{name}_add")([y, x if shortcut is None else shortcut])
    return _leaky(name, added)


def _conv(
    name: str, x: keras.KerasTensor, channels: int, *, size: int = 3, bias: bool = True
) -> keras.KerasTensor:
    return layers.Conv3D(channels, size, padding="same", use_bias=bias, name=f"{name}_conv")(x)


def _norm(name: str, x: keras.KerasTensor) -> keras.KerasTensor:
    return own_layers.BatchNorm(name=f"{name}_norm")(x)


def _leaky(name: str, x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.LeakyReLU(SLOPE, name=f"{name}_leaky")(x)


def _joined(level: int, skip: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
    up = layers.UpSampling3D(POOL, name=f"upsample_{level}")(x)
    return layers.Concatenate(name=f"join_{level}")([skip, up])


def _loss(
    restored: tf.Tensor, image: tf.Tensor, truth: tf.Tensor, method: NeuroDecon
) -> dict[str, tf.Tensor]:
    if method.large:
        parts = {
            "mae": tf.reduce_mean(tf.abs(restored - truth)),
            "ssim": 0.3 * (1 - windowed_ssim(restored, truth)) / 2,
        }
    else:
        parts = {
            "mse": tf.reduce_mean(tf.square(restored - truth)),
            "hessian": method.training.hessian_weight * hessian(restored),
        }
    return {"loss": tf.add_n(list(parts.values())), **parts}


METHOD = Network(
    settings=NeuroDecon,
    label="NeuroDecon",
    text="the network NeuroDecon",
    citations=("Sachuk et al., Int. J. Mol. Sci. 26, 8770 (2025), doi:10.3390/ijms26188770",),
    build=build,
    options=lambda method: {"large": method.large},
    training_model=whole_model,
    loss=_loss,
    optimizer=lambda method: (
        keras.optimizers.AdamW(weight_decay=1e-3)
        if method.large
        else keras.optimizers.Adam(weight_decay=1e-4)
    ),
    bytes_per_voxel=lambda method: 1400.0 if method.large else 700.0,
)
