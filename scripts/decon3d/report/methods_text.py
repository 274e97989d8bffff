"""The text of a page: a summary of the data, and a methods paragraph with its citations."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decon3d import paths
from decon3d.evaluation.catalogue import METRICS, VOXELWISE
from decon3d.networks.shipped import version_of
from decon3d.report.labels import after_binned, method_label, prior_weight
from decon3d.report.run_status import stored
from decon3d.report.templating import listed, number, quantity
from decon3d.settings import (
    KINDS,
    Channel,
    Dataset,
    Optics,
    Settings,
    is_automatic,
    is_network,
    is_trained,
    is_tuned,
    uses_shipped,
)
from decon3d.versions import __version__
from decon3d.volumes.volume_record import VolumeRecord

TRUTHS = {
    "test": "simulated volumes with known truth",
    "measured": "measured pairs",
    "volume": "volumes with a reference",
}
SOURCES = {
    "ramani": "S. Ramani, T. Blu and M. Unser, Monte-Carlo SURE: a black-box optimization of "
    "regularization parameters for general denoising algorithms, IEEE Trans. Image Process. 17, "
    "1540 (2008)",
    "wolf": "B. Richards and E. Wolf, Electromagnetic diffraction in optical systems II, Proc. R. "
    "Soc. Lond. A 253, 358 (1959)",
    "gibson": "S. F. Gibson and F. Lanni, Experimental test of an analytical model of aberration "
    "in an oil-immersion objective lens, J. Opt. Soc. Am. A 9, 154 (1992)",
    "wang": "Z. Wang et al., Image quality assessment: from error visibility to structural "
    "similarity, IEEE Trans. Image Process. 13, 600 (2004)",
}


@dataclass(frozen=True)
class Methods:
    """A methods paragraph: sentences with [n], and the references in that order."""

    sentences: list[str]
    references: list[str]


class _Cited:
    """Numbers the references in the order in which they are called."""

    def __init__(self) -> None:
        self.references: list[str] = []

    def __call__(self, *cited: str) -> str:
        """Cite references, or keys of `SOURCES`."""
        numbers = []
        for reference in (SOURCES.get(name, name) for name in cited):
            if reference not in self.references:
                self.references.append(reference)
            numbers.append(str(self.references.index(reference) + 1))
        return f"[{', '.join(numbers)}]"


def restoration_summary(
    records: Sequence[VolumeRecord], *, dataset: Dataset, settings: Settings, finished: bool = True
) -> str:
    """Summarise the data and their restoration in a sentence or two.

    Parameters
    ----------
    finished
        Whether all methods have all their results.
    """
    labels = [method_label(method) for method in settings.methods]
    done = f"{'' if finished else 'to be '}restored by {listed(labels)}"
    if not records:
        return f"No volume has been read yet, so none could be restored by {listed(labels)}."
    shapes = {r.shape[2:] for r in records}
    count = f"{len(records)} volumes" if len(records) > 1 else "One volume"
    first = records[0]
    z, y, x = (n * v for n, v in zip(first.shape[2:], first.voxel_size_um, strict=True))
    size = (
        f"{' × '.join(map(str, first.shape[2:]))} voxels, {quantity(z)} × {quantity(y)} × "
        f"{quantity(x)} µm (Z, Y, X)"
    )
    times = {r.shape[0] for r in records}
    moments = f", {max(times)} time points" if max(times) > 1 else ""
    various = "of different sizes, the first " if len(shapes) > 1 else ""
    channels = ", ".join(
        f"{name} ({own}{1000 * c.emission_um:.0f} nm)"
        for name, c in dataset.channels.items()
        for title in [first.own_name(c.index)]
        for own in [f"“{title}” in the file, " if title and title != name else ""]
    )
    return (
        f"{count} {various}of {size}{moments}, {_microscope(dataset.optics)}, "
        f"channel{'s' if len(dataset.channels) > 1 else ''} {channels}, {done}."
    )


def methods_paragraph(
    root: Path, *, dataset: str, settings: Settings, splits: Collection[str]
) -> Methods:
    """Write the methods section of a paper for this run, with the values in effect.

    Parameters
    ----------
    splits
        Splits of the metrics that were computed.
    """
    cited = _Cited()
    used = settings.datasets[dataset]
    sentences = [f"Volumes were restored with decon3d {__version__}."]
    sentences += _calibration(stored(root / paths.camera_maps(dataset)), used)
    for name, channel in used.channels.items():
        info = stored((root / paths.psf(dataset, name)).with_suffix(".json"))
        sentences.append(_psf(name, channel, used, info, cited))
    sentences += [
        _method(root, dataset, name, method, settings, cited)
        for name, method in settings.methods.items()
    ]
    truths = [what for split, what in TRUTHS.items() if split in splits]
    if truths:
        names = listed([METRICS[m].label for m in VOXELWISE])
        measures, match = cited("wang"), cited(*KINDS["care"].citations)
        sentences.append(
            f"Restorations were compared on {listed(truths)} by {names} {measures}, as "
            f"restored and after an affine match of brightness {match}, with 95 % "
            "intervals over volumes (the wider of percentile bootstrap and Student's t)."
        )
    sentences.append(f"All random number generators were seeded with {settings.seed}.")
    return Methods(sentences, cited.references)


def _calibration(info: dict[str, Any], dataset: Dataset) -> list[str]:
    """Describe the correction of the counts by the camera's frames."""
    if dataset.camera.dark is None or not info:
        return []
    bad = info["bad_pixels"]
    flat, gain = "", ""
    if info["gain"] is not None:
        flat = f" and {info['flat_frames']} flat"
        gain = (
            f", each divided by its pixel's relative gain (mean {info['gain']:.3g} counts per "
            f"photon, standard deviation {info['gain_spread']:.1%})"
        )
    mended = f"; {bad} bad pixels were replaced by the median of their neighbours" if bad else ""
    return [
        f"Counts were corrected pixel by pixel with {info['dark_frames']} dark{flat} frames of the "
        f"camera: the offset of each pixel (mean {info['offset']:.4g}, standard deviation "
        f"{info['offset_spread']:.3g} counts) was replaced by the mean{gain}{mended}."
    ]


def _microscope(optics: Optics) -> str:
    return (
        f"{optics.kind.label} microscope of NA {optics.numerical_aperture:g} "
        f"in n = {optics.immersion_index:g}"
    )


def _psf(name: str, channel: Channel, dataset: Dataset, info: dict[str, Any], cited: _Cited) -> str:
    optics = dataset.optics
    whose = "The point spread function" + (f" of {name}" if len(dataset.channels) > 1 else "")
    widths = ""
    if info.get("fwhm_um"):
        z, y, x = (number(v, 3) for v in info["fwhm_um"])
        widths = f" Its full width at half maximum was {z}, {y} and {x} µm (Z, Y, X)."
    if channel.psf.source == "theory":
        tilted = optics.depth_um and optics.sample_index
        sources = ["wolf", *(["gibson"] if tilted else [])]
        return (
            f"{whose} was computed with the {optics.model} theory {cited(*sources)} for a "
            f"{_microscope(optics)} at {1000 * channel.emission_um:.0f} nm.{widths}"
        )
    how = "averaged from fluorescent beads" if channel.psf.source == "beads" else "measured"
    chromatic = info.get("chromatic") or {}
    displaced = ""
    if chromatic.get("undone"):
        z, y, x = (number(v, 3) for v in chromatic["shift_um"])
        displaced = (
            f" It was displaced by {z}, {y}, {x} µm (Z, Y, X), the shift of {chromatic['beads']} "
            "beads between this channel and the reference channel, so that the restored channels "
            "are registered."
        )
    return f"{whose} was {how} and brought to the image's grid.{widths}{displaced}"


def _method(
    root: Path, dataset: str, name: str, method: Any, settings: Settings, cited: _Cited
) -> str:
    label = method_label(name)
    after = f", starting from the result of {method_label(method.source)}" if method.source else ""
    channels = list(settings.datasets[dataset].channels)
    if not is_network(method):
        found = [
            stored(root / paths.prepared(dataset, c, name)).get("values", {}) for c in channels
        ]
        values = found[0]
        kind, numbers = KINDS[method.kind], ""
        called = cited(*kind.citations)
        if "iterations" in values:
            weight = f", λ = {w:.2g}" if (w := prior_weight(values)) else ""
            chosen = _how_chosen(method, values, cited)
            counts = sorted({v["iterations"] for v in found if "iterations" in v})
            count = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
            numbers = f" ({count} iterations{after_binned(values)}{weight}{chosen})"
        return f"{label} is {kind.text} {called}{numbers}{after}."
    if not is_trained(method):
        prepared = [stored(root / paths.prepared(dataset, c, name)) for c in channels]
        versions = sorted(
            {version_of(p["values"]["bundle_digest"]) for p in prepared if "values" in p}
        )
        version = f", version {listed(versions)}" if versions else ""
        if uses_shipped(method):
            kind = KINDS[method.kind]
            return (
                f"{label} is {kind.text} {cited(*kind.citations)}, with the weights that come with "
                f"decon3d{version}{after}."
            )
        return f"{label} is a previously trained network ({method.bundle}{version}){after}."
    model = stored(root / paths.model(dataset, channels[0], name) / "model.json")
    kind = KINDS[method.kind]
    on = "measured pairs" if settings.datasets[dataset].pairs else "simulated pairs"
    phantoms = settings.simulated_pairs
    if phantoms and phantoms.train.microscopes and not settings.datasets[dataset].pairs:
        on += ", each of its own microscope,"
    steps = f" for {method.training.steps:,} steps"
    kept = ""
    if "best_step" in model:
        kept = f", of which step {model['best_step']:,} had the smallest error on validation pairs"
    return f"{label} is {kind.text} {cited(*kind.citations)}, trained on {on}{steps}{kept}{after}."


def _how_chosen(method: Any, values: dict[str, Any], cited: _Cited) -> str:
    """Describe how the number of iterations was chosen, if it is not the config's."""
    if is_tuned(method):
        return ", chosen by a search"
    if not is_automatic(method):
        return ""
    choice = values["choice"]
    if choice["from_data"]:
        return f", chosen from the data {cited('ramani')}"
    return f", not chosen from the data, since {choice['reason']}"
