"""A bundle as a model package of bioimage.io, written and tested by that project's own library.

`bioimageio.core` is an extra (`pip install decon3d[bioimageio]`). The weights go as a TensorFlow
SavedModel, a bare graph: the library's `keras_v3` weights would need this package's layer classes
wherever they are loaded, and the library does not import them. What bioimage.io cannot express
stays behind: a normalisation that follows from each channel's data (a fixed one is written), the
calibrated attention (blocks are averaged one by one, as published) and PSF input channels.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from decon3d.errors import UserError
from decon3d.logs import log
from decon3d.networks.backend import keras, tf
from decon3d.networks.bundle import load_bundle
from decon3d.networks.description import BundleInfo
from decon3d.networks.registry import NETWORKS
from decon3d.seeds import generator
from decon3d.volumes.normalisation import Normalisation


@dataclass(frozen=True)
class Publication:
    """What bioimage.io wants to know of a model besides the model.

    Attributes
    ----------
    name
        Its name there, 5 to 128 letters, digits, blanks, `_`, `-`.
    authors
        Who made it.
    licence
        Of the weights, an SPDX identifier such as CC-BY-4.0.
    """

    name: str
    authors: Sequence[str]
    licence: str


def export_bioimageio(
    folder: str | Path,
    path: str | Path,
    *,
    publication: Publication,
    normalisation: Normalisation | None = None,
) -> None:
    """Write a bundle as a bioimage.io package and let the library test it.

    The test runs the packaged weights on the packaged input and compares with the packaged
    output. Input and output are counts, axes batch, Z, Y, X, channel.

    Parameters
    ----------
    folder
        The bundle.
    path
        The package to write, `.zip`.
    publication
        Name, authors, licence.
    normalisation
        (counts - offset) / scale, of the data that the package is meant for; None = the middle of
        what the network was trained on.

    Raises
    ------
    UserError
        If the library is not installed, the network takes prepared channels besides the image, or
        the library finds fault with the package.
    """
    try:
        from bioimageio.core import test_model
        from bioimageio.spec import save_bioimageio_package
    except ImportError:
        raise UserError(
            "the export needs bioimageio.core; install it: pip install 'bioimageio.core>=0.11'"
        ) from None
    path = Path(path).resolve()
    model, info = load_bundle(folder)
    if info.input_channels != 1:
        raise UserError(
            f"{folder}: {info.kind} needs {info.input_channels} input channels made with the point "
            "spread function, which a bioimage.io package cannot contain; export another network"
        )
    law = normalisation or trained_normalisation(info)
    # The library unpacks weights into the working directory.
    with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(temporary):
        described = _describe(Path(temporary), model, info, law, publication)
        path.parent.mkdir(parents=True, exist_ok=True)
        written = Path(save_bioimageio_package(described, output_path=Path("package.zip")))
        summary = test_model(written)
        if summary.status != "passed":
            raise UserError(f"bioimageio.core rejects the package:\n{summary.format()}")
        shutil.move(written, path)
    log.info("%s: tested by bioimageio.core; normalisation %s", path, law)


def trained_normalisation(info: BundleInfo) -> Normalisation:
    """Return the middle of the normalisations that a network was trained under."""
    low, high = info.trained_on.scale_counts
    return Normalisation(float(np.mean(info.trained_on.offset_counts)), sqrt(low * high))


def saved_model(model: keras.Model, folder: str | Path) -> None:
    """Write a network as a SavedModel with one signature, in network units (N Z Y X 1).

    The signature bears the name `serving_default` and nothing is called `serve`, since the
    library takes the first for a dictionary of outputs and cannot read what Keras writes.
    """
    module = tf.Module()
    module.model = model

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, None, 1), name="raw")])
    def restore(raw: tf.Tensor) -> dict[str, tf.Tensor]:
        # Of a network that also gives a scale, the mean.
        return {"restored": model(raw, training=False)[..., :1]}

    tf.saved_model.save(module, str(folder), signatures={"serving_default": restore})


def example(info: BundleInfo, law: Normalisation) -> NDArray[np.float32]:
    """Make an image to test with: blobs with noise, counts, the smallest size with a full halo."""
    shape = [s * ceil((2 * h + s) / s) for h, s in zip(info.halo, info.stride, strict=True)]
    rng = generator(1, "bioimageio", info.kind)
    blobs = gaussian_filter(rng.random(shape) ** 30, 1.5)
    units = blobs / blobs.max() + rng.normal(0, info.trained_on.noise[0], shape)
    return law.invert(units)[None, ..., None]


def _describe(
    folder: Path,
    model: keras.Model,
    info: BundleInfo,
    law: Normalisation,
    publication: Publication,
) -> Any:
    """Write weights and test tensors and describe them in the library's terms."""
    from bioimageio.spec.common import FileDescr
    from bioimageio.spec.generic.v0_3 import Author, CiteEntry
    from bioimageio.spec.model import v0_5 as spec

    saved_model(model, folder / "saved_model")
    archive = shutil.make_archive(str(folder / "weights"), "zip", folder / "saved_model")
    raw = example(info, law)
    units = model(law.apply(raw), training=False)[..., :1].numpy()
    np.save(folder / "raw.npy", raw)
    np.save(folder / "restored.npy", law.invert(units))
    (folder / "README.md").write_text(_documentation(info, law, publication), encoding="utf-8")

    def axes(given: bool) -> list[Any]:
        found: list[Any] = [spec.BatchAxis()]
        for name, size, halo, stride, length in zip(
            "zyx", info.voxel_size_um, info.halo, info.stride, raw.shape[1:4], strict=True
        ):
            common: Any = {"id": spec.AxisId(name), "scale": size, "unit": "micrometer"}
            if given:
                size_rule = spec.ParameterizedSize(min=length, step=stride)
                found.append(spec.SpaceInputAxis(**common, size=size_rule, concatenable=True))
            else:
                reference = spec.SizeReference(
                    tensor_id=spec.TensorId("raw"), axis_id=spec.AxisId(name)
                )
                found.append(spec.SpaceOutputAxisWithHalo(**common, size=reference, halo=halo))
        channel = spec.Identifier("raw" if given else "restored")
        return [*found, spec.ChannelAxis(channel_names=[channel])]

    def linear(gain: float, offset: float) -> Any:
        kwargs = spec.ScaleLinearKwargs(gain=gain, offset=offset)
        return spec.ScaleLinearDescr(kwargs=kwargs)

    counts = spec.IntervalOrRatioDataDescr(type="float32")
    cited = [
        CiteEntry(text=text, doi=doi)  # type: ignore[arg-type]
        for text, found, doi in (c.partition(", doi:") for c in NETWORKS[info.kind].citations)
        if found
    ]
    return spec.ModelDescr(
        name=publication.name,
        description=f"{info.kind} for 3D fluorescence deconvolution, trained with decon3d",
        authors=[Author(name=name) for name in publication.authors],
        cite=cited,
        license=publication.licence,  # type: ignore[arg-type]
        documentation=FileDescr(source=folder / "README.md"),
        tags=["3d", "fluorescence-light-microscopy", "deconvolution", "image-restoration"],
        timestamp=datetime.now().astimezone(),  # type: ignore[arg-type]
        inputs=[
            spec.InputTensorDescr(
                id=spec.TensorId("raw"),
                description="raw volume in counts",
                axes=axes(True),
                test_tensor=FileDescr(source=folder / "raw.npy"),
                data=counts,
                preprocessing=[linear(1 / law.scale, -law.offset / law.scale)],
            )
        ],
        outputs=[
            spec.OutputTensorDescr(
                id=spec.TensorId("restored"),
                description="restored volume in counts",
                axes=axes(False),
                test_tensor=FileDescr(source=folder / "restored.npy"),
                data=counts,
                postprocessing=[linear(law.scale, law.offset)],
            )
        ],
        weights=spec.WeightsDescr(
            tensorflow_saved_model_bundle=spec.TensorflowSavedModelBundleWeightsDescr(
                source=Path(archive),
                tensorflow_version=spec.Version(tf.__version__),
            )
        ),
    )


def _documentation(info: BundleInfo, law: Normalisation, publication: Publication) -> str:
    def triple(values: Sequence[float]) -> str:
        return " × ".join(f"{v:.4g}" for v in values)

    low, high = info.trained_on.noise
    attention = (
        "\nIts attention averages over each block, so the result depends a little on the tiling.\n"
        if info.global_means
        else ""
    )
    scores = "\n".join(
        f"- {name}: affine-matched PSNR {values['psnr_affine']:.2f} dB, NRMSE {values['nrmse']:.4f}"
        for name, values in info.validation.items()
    )
    return f"""# {publication.name}

{info.kind}, trained with decon3d {info.versions["decon3d"]} for one microscope: voxels of
{triple(info.voxel_size_um)} µm and a point spread function {triple(info.psf_fwhm_um)} µm wide
(Z × Y × X, full width at half maximum). Do not use it for other data.

Input and output are counts. The package maps them by (counts - {law.offset:.6g}) /
{law.scale:.6g} and back; put the offset of your camera and the brightness of your data there
(`preprocessing`, `postprocessing`). It was trained on {info.trained_on.volumes} volumes with a
noise of {low:.2%} to {high:.2%} of the brightness.
{attention}
# Validation

{scores}

`input` is the raw image itself. Measured on volumes that the training did not contain.
"""
