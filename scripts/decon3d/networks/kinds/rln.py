"""RLN, the Richardson-Lucy network (Li et al., Nat. Methods 19, 1427 (2022)), single view.

Two Richardson-Lucy updates whose projectors are learned: a first at half the resolution (H1)
that corrects the image, a second at full resolution (H2) that corrects the first estimate, and
a merge of both (H3). 15,968 trainable parameters; loss with an auxiliary term on the first
estimate; Adam, 0.015 · 0.95^(step / 600), batches of four crops of 64³.

Layers bear the names of the authors' variables: e_1 … e_8 (estimation), u_1 … u_7 (update).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveFloat

from decon3d.errors import UserError
from decon3d.networks.backend import keras, layers, own_layers, tf
from decon3d.networks.kind import Gradients, Network, NetworkSection, Training
from decon3d.networks.losses import rln_loss

# The order in which the published graph creates (and so numbers) its normalisations.
NORMS = (
    "e_1",
    "e_2",
    "e_3",
    "ratio_1",
    "e_4",
    "e_5",
    "e_6",
    "e_7",
    "e_8",
    "product_1",
    "u_1",
    "u_2",
    "ratio_2",
    "u_3",
    "u_4",
    "product_2",
    "u_7",
)
KERNELS = (*(f"e_{i}" for i in range(1, 9)), *(f"u_{i}" for i in range(1, 8)))


class RlnTraining(Training):
    """RLN's training."""

    auxiliary_loss: bool = True
    """Whether the loss includes the network's first estimate (weight 0.1)."""
    gradients: Gradients = "straight_through"
    """Gradients of the divisions and multiplications: the authors' custom ones or the exact
    ones."""


class Rln(NetworkSection):
    """The Richardson-Lucy network (Li et al. 2022), trained on phantoms or measured pairs."""

    kind: Literal["rln"]
    """The Richardson-Lucy network."""
    epsilon: PositiveFloat = 1e-4
    """Number that is added to the denominators of the network's two divisions."""
    training: RlnTraining = RlnTraining()


def build(*, epsilon: float = 1e-4, gradients: Gradients = "straight_through") -> keras.Model:
    """Build the network.

    Parameters
    ----------
    epsilon
        Added to the denominators of the two divisions. 1e-4 is the published checkpoint's
        value; the later published source has 1e-3.
    gradients
        Of the divisions and products: the authors' `straight_through` ones, or `exact`.

    Returns
    -------
    keras.Model
        Input and output (N, Z, Y, X, 1), float32; Z, Y and X free, but even.
    """
    image = keras.Input((None, None, None, 1), name="image")

    half = layers.AveragePooling3D(2, name="half")(image)
    a1 = _convolution("e_1", half, 4, forward=True)
    a2 = _convolution("e_2", a1, 4, forward=True)
    a3 = _convolution("e_3", layers.Concatenate(name="forward_1")([a1, a2]), 4, forward=True)
    f1 = _with_skip("forward_1_skip", a3, half)
    q1 = own_layers.Ratio(epsilon=epsilon, gradients=gradients, name="ratio_1")([half, f1])
    b1 = _convolution("e_4", _norm("ratio_1", q1), 8)
    b2 = _convolution("e_5", b1, 8)
    b3 = _convolution("e_6", layers.Concatenate(name="back_1")([b2, b1]), 8)
    up = layers.Conv3DTranspose(
        4, 2, strides=2, use_bias=False, kernel_initializer=_wide(), name="e_7"
    )(b3)
    b4 = _convolution("e_8", _activated("e_7", _norm("e_7", up)), 4)
    c1 = own_layers.ChannelMean(name="correction_1")(b4)
    first = own_layers.Product(gradients=gradients, name="product_1")([image, c1])
    estimate_1 = _activated("product_1", _norm("product_1", first))

    a5 = _convolution("u_2", _convolution("u_1", image, 4, forward=True), 4, forward=True)
    f2 = _with_skip("forward_2_skip", a5, image)
    q2 = own_layers.Ratio(epsilon=epsilon, gradients=gradients, name="ratio_2")([image, f2])
    b6 = _convolution("u_4", _convolution("u_3", _norm("ratio_2", q2), 8), 8)
    c2 = own_layers.ChannelMean(name="correction_2")(
        layers.Rescaling(1.0, offset=1.0, name="plus_1")(b6)
    )
    second = own_layers.Product(gradients=gradients, name="product_2")([estimate_1, c2])
    estimate_2 = _activated("product_2", _norm("product_2", second))

    m1 = _convolution("u_5", estimate_2, 8, norm=False)
    joined = layers.Concatenate(name="merge_1")([m1, estimate_2, estimate_1])
    m2 = _convolution("u_6", joined, 8, norm=False)
    m3 = _convolution("u_7", layers.Concatenate(name="merge_2")([m1, m2]), 8)
    return keras.Model(image, own_layers.ChannelMean(name="restored")(m3), name="rln")


def _wide() -> keras.initializers.Initializer:
    return keras.initializers.TruncatedNormal(mean=0.0, stddev=1.0)


def _convolution(
    name: str, x: keras.KerasTensor, channels: int, *, forward: bool = False, norm: bool = True
) -> keras.KerasTensor:
    """Convolve 3×3×3 without bias, normalise, softplus."""
    start = own_layers.ForwardProjectorKernel() if forward else _wide()
    x = layers.Conv3D(
        channels, 3, padding="same", use_bias=False, kernel_initializer=start, name=name
    )(x)
    return _activated(name, _norm(name, x) if norm else x)


def _norm(name: str, x: keras.KerasTensor) -> keras.KerasTensor:
    return own_layers.BatchNorm(momentum=0.99, epsilon=1e-3, name=f"{name}_norm")(x)


def _activated(name: str, x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Activation("softplus", name=f"{name}_softplus")(x)


def _with_skip(name: str, x: keras.KerasTensor, skip: keras.KerasTensor) -> keras.KerasTensor:
    """Average the channels of x + softplus(skip), the one channel of `skip` added to each."""
    return own_layers.ChannelMean(name=f"{name}_mean")(
        layers.Add(name=name)([x, _activated(name, skip)])
    )


def load_published(folder: str | Path) -> keras.Model:
    """Read the authors' TensorFlow checkpoint.

    Parameters
    ----------
    folder
        Holds `model.ckpt.index` and `model.ckpt.data-00000-of-00001`.

    Raises
    ------
    UserError
        If there is no checkpoint or it is not one of RLN.
    """
    path = Path(folder) / "model.ckpt"
    if not path.with_suffix(".ckpt.index").is_file():
        raise UserError(
            f"{folder}: model.ckpt.index is missing; give the folder of an RLN checkpoint"
        )
    reader = tf.train.load_checkpoint(str(path))
    by_name = {key.rsplit("/", 1)[-1]: key for key in reader.get_variable_to_shape_map()}
    model = build()
    try:
        for name in KERNELS:
            model.get_layer(name).set_weights([reader.get_tensor(by_name[name])])
        for index, name in enumerate(NORMS):
            scope = "batch_normalization" + (f"_{index}" if index else "")
            model.get_layer(f"{name}_norm").set_weights(
                [
                    reader.get_tensor(f"{scope}/{part}")
                    for part in ("gamma", "beta", "moving_mean", "moving_variance")
                ]
            )
    except (KeyError, ValueError, tf.errors.NotFoundError) as error:
        raise UserError(
            f"{path} is not a checkpoint of RLN ({error}); give the folder of one"
        ) from None
    return model


def _options(method: Rln) -> dict[str, Any]:
    return {"epsilon": method.epsilon, "gradients": method.training.gradients}


def _training_model(model: keras.Model) -> keras.Model:
    """Return image → [restored, first estimate before its normalisation]."""
    return keras.Model(model.input, [model.output, model.get_layer("product_1").output])


def _loss(
    outputs: list[tf.Tensor], image: tf.Tensor, truth: tf.Tensor, method: Rln
) -> dict[str, tf.Tensor]:
    restored, first = outputs
    return rln_loss(
        restored=restored,
        first=first,
        image=image,
        truth=truth,
        auxiliary=method.training.auxiliary_loss,
    )


METHOD = Network(
    settings=Rln,
    label="RLN",
    text="the network RLN",
    citations=(
        "Y. Li et al., Incorporating the image formation process into deep learning improves "
        "network performance, Nat. Methods 19, 1427 (2022), "
        "doi:10.1038/s41592-022-01652-7",
    ),
    build=build,
    options=_options,
    training_model=_training_model,
    loss=_loss,
    optimizer=lambda method: keras.optimizers.Adam(epsilon=1e-8),
    bytes_per_voxel=lambda method: 210.0,
)
