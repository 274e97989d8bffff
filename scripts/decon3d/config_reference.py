"""The config's reference page, made from the settings: `make reference`."""

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from decon3d import settings as s

PAGE = "config/README.md"


def _method_sections() -> Iterator[tuple[str, type[s.Section], str]]:
    """List the sections of every kind of method, from the kinds themselves."""
    for kind, section in s.METHOD_KINDS.items():
        yield f"methods.<name> (kind: {kind})", section, _first_line(section)
        for key, field in section.model_fields.items():
            if inner := s.inner_model(field.annotation):
                place = f"{key}[i]" if get_origin(field.annotation) is tuple else key
                yield f"methods.<name>.{place} ({kind})", inner, _first_line(inner)


def _first_line(section: type[s.Section]) -> str:
    return (section.__doc__ or "").splitlines()[0]


SECTIONS: list[tuple[str, type[s.Section], str]] = [
    ("", s.Settings, "Keys of the config itself."),
    ("datasets.<name>", s.Dataset, "A dataset: volumes that share a microscope."),
    (
        "datasets.<name>.volumes[i]",
        s.VolumeEntry,
        "An entry of the list `volumes`, instead of a path.",
    ),
    ("datasets.<name>.simulate.<volume>", s.Simulation, "A simulated volume."),
    (
        "datasets.<name>.pairs",
        s.MeasuredPairs,
        "Measured training data instead of phantoms, e.g. low and high exposure, or confocal and "
        "STED. Each truth is registered to its raw volume (to a fraction of a voxel) and scaled to "
        "its counts (least squares). `pairs.json` and the report list the values.",
    ),
    ("datasets.<name>.optics", s.Optics, "The microscope."),
    ("datasets.<name>.optics.sted", s.Sted, "The depletion, with `modality: sted`."),
    (
        "datasets.<name>.optics.aberrations",
        s.Aberrations,
        "Zernike aberrations. Each value is an RMS in waves (Noll's normalisation), e.g. "
        "`aberrations: {coma_x: 0.1}`.",
    ),
    ("datasets.<name>.camera", s.CameraSection, "The camera: counts = gain · photons + offset."),
    ("datasets.<name>.preview", s.Preview, "The crop that `decon3d preview` shows."),
    ("datasets.<name>.channels.<name>", s.Channel, "A channel."),
    (
        "datasets.<name>.channels.<name>.psf",
        s.FilePsf,
        "With `source: file`. (`source: theory` has no other keys.)",
    ),
    ("datasets.<name>.channels.<name>.psf", s.BeadsPsf, "With `source: beads`."),
    (
        "datasets.<name>.channels.<name>.normalisation",
        s.NormalisationSection,
        "Fixed normalisation.",
    ),
    (
        "instruments.<name>",
        s.Instrument,
        "A microscope, described here or in a file `instruments/<name>.yaml` beside the config, "
        "which has these keys at its top level. A dataset selects microscope and objective "
        "(`instrument: spinning1_60x`) and then needs only its files and channels.",
    ),
    ("instruments.<name>.channels.<name>", s.ChannelOptics, "A channel of a microscope."),
    ("instruments.<name>.objectives.<name>", s.Objective, "An objective of a microscope."),
    (
        "instruments.<name>.frames[i]",
        s.CameraFrames,
        "Frames of the camera with their date, instead of `dark` and `flat` in `camera`.",
    ),
    ("instruments.<name>.objectives.<name>.beads[i]", s.BeadStack, "A bead stack with its date."),
    *_method_sections(),
    (
        "phantoms",
        s.Phantoms,
        "Simulated pairs. They are made if this section exists or a method needs them.",
    ),
    ("phantoms.<split>", s.Split, "One of `train`, `val`, `test`."),
    (
        "phantoms.<split>.psf_variation",
        s.PsfVariation,
        "A different PSF for each volume. The drawn values are recorded with the phantoms.",
    ),
    (
        "phantoms.<split>.microscopes",
        s.Microscopes,
        "A different microscope for each volume. The drawn values are recorded with the phantoms.",
    ),
    (
        "phantoms.objects.<name>",
        s.ObjectFile,
        "A noise-free volume of your own, used as an object.",
    ),
    ("restoration", s.Restoration, "How volumes are divided, restored and written."),
]
EXAMPLES = {
    "Preview.volume": "embryo1",
    "roi": "[[0, 32], [100, 260], [100, 260]]",
    "volumes": "data/worm/*.ome.tif",
    "simulate": "{demo: {shape: [64, 192, 192]}}",
    "voxel_size_um": "[0.3, 0.1, 0.1]",
    "series": "Position 2",
    "axes": "TZCYX",
    "times": "[0, 5, 10]",
    "modality": "confocal",
    "numerical_aperture": "1.2",
    "sample_index": "1.36",
    "sheet_thickness_um": "2.0",
    "sted": "{depletion_um: 0.592, saturation_factor: 20}",
    "aberrations": "{spherical: 0.05, coma_x: 0.1}",
    "depletion_um": "0.592",
    "saturation_factor": "20",
    "offset": "100",
    "gain": "0.46",
    "read_noise": "1.5",
    "emission_um": "0.525",
    "excitation_um": "0.488",
    "psf": "{source: file, path: psf.tif}",
    "normalisation": "{offset: 100, scale: 2000}",
    "beads_um": "0.1",
    "path": "data/worm/embryo1.ome.tif",
    "bead_diameter_um": "0.1",
    "half_width_um": "[1.5, 0.8, 0.8]",
    "plane_tolerance_um": "1.0",
    "name": "embryo1",
    "reference": "data/worm/embryo1_truth.tif",
    "shape": "[64, 192, 192]",
    "scale": "2000",
    "bundle": "models/rln_63x",
    "start_from": "models/rln_63x",
    "RlResidual.training": "{steps: 3000}",
    "patience": "10",
    "intensity_scale": "[0.7, 1.4]",
    "count": "16",
    "recipes": "{rln_mixed: 1, tubules: 1}",
    "psf_variation": "{width: [0.9, 1.1]}",
    "microscopes": "{photons: [3, 3000]}",
    "width": "[0.9, 1.1]",
    "bits": "12",
    "unit_um": "0.1",
    "objects": "{embryo: {path: data/clean.tif}}",
    "source": "denoised",
    "FilePsf.source": "file",
    "BeadsPsf.source": "beads",
    "pairs": "{raw: data/low/*.tif, truth: data/high/*.tif}",
    "raw": "data/low/*.tif",
    "truth": "data/high/*.tif",
    "specimen": "'(fish[0-9]+)_'",
    "MeasuredPairs.shape": "[32, 128, 128]",
    "datasets": "{worm: {volumes: data/worm/*.ome.tif, …}}",
    "methods": "{rl: {}, rltv: {}}",
    "phantoms": "{photons: [50, 500]}",
    "optics": "{modality: confocal, numerical_aperture: 1.2, immersion_index: 1.333}",
    "channels": "{gfp: {index: 0, emission_um: 0.525}}",
    "instrument": "spinning1_60x",
    "dark": "camera/dark_*.tif",
    "flat": "camera/flat_*.tif",
    "frames": "[{date: 2026-03-02, dark: dark.tif, flat: flat.tif}]",
    "instruments": "{spinning1: {channels: …, objectives: …}}",
    "date": "2026-03-02",
    "title": "Spinning disk 1",
    "Instrument.reference_channel": "gfp",
    "BeadsPsf.reference_channel": "0",
    "chromatic": "apply",
    "Instrument.channels": "{gfp: {emission_um: 0.525, excitation_um: 0.488}}",
    "objectives": "{60x: {optics: …, beads: …}}",
    "pixel_size_um": "0.108",
    "beads": "[{date: 2026-03-02, path: beads.tif, bead_diameter_um: 0.1, channels: {gfp: 0}}]",
    "BeadStack.channels": "{gfp: 0, mcherry: 1}",
    "BeadStack.path": "beads/2026-03-02.ome.tif",
}
HEAD = """# The config, key by key

`make reference` makes this page from the descriptions in `scripts/decon3d`; do not edit it.
`decon3d init data/*.tif` writes a config from the metadata of your files, and asks for the rest.
You can also copy `config.yaml`; `demo.yaml` and `examples/` show more. `decon3d preview` and
`decon3d run` take the config as their argument. Lengths are in µm. Triples are in the order Z, Y,
X. Counts are the values in the image file. Names (datasets, channels, methods, volumes) are made of
letters, digits, `_` and `-`. In paths `~`, `$NAME`, `${NAME}` and `${NAME:-default}` are expanded;
relative paths start at the working directory. Before any job starts, the run stops with a list of
all problems if a key is unknown or given twice, a value is wrong, or a file is missing, damaged or
does not match.

A PSF file is an image of one bead. The pedestal (camera offset and background) is measured where
theory predicts no light, and subtracted (to change this, set `pedestal: none` or a number of
counts). The bead is isolated, resampled to the image's grid and centred. Outside the file, and
where noise dominates, the theoretical PSF is used. `results/<dataset>/psf/<channel>/psf.json` lists
these steps. If more than half of the file's sum is pedestal, `accept_pedestal: true` is required.

A bead stack contains many beads of one known diameter. The workflow finds the beads, averages the
suitable ones, and corrects for the diameter by deconvolution. The report shows every bead, with the
reason if it was not used. Two files are written beside the PSF: `bead_measured.tif`, the averaged
image of a bead, and `bead_ideal.tif`, the bead itself.

A microscope can be described once, in `instruments/<name>.yaml` beside the config or in the clone's
`config/instruments`; `examples/instruments/spinning1.yaml` is an example. `snakemake instrument`
makes a page for each, `results/instruments/<name>.html`. It shows the PSFs, the shifts between
channels and the camera by date, and warns about old or changed measurements. The page of a dataset
warns if its data contradict the instrument, or are much older or newer than the bead stack and the
frames of the camera.

With a camera's `dark` and `flat` frames, each pixel is corrected when a volume is read: (counts -
offset of the pixel) · mean gain / gain of the pixel + mean offset, as float32. Bad pixels are
replaced by the median of their neighbours. All planes of the volumes must be whole frames of the
same region of the camera.
"""


def page_text() -> str:
    """Return the reference page as Markdown: each key with meaning, unit, default and example."""
    return HEAD + "".join(_section(*section) for section in SECTIONS)


def _section(key: str, model: type[s.Section], text: str) -> str:
    title = f"`{key}`" if key else "Top level"
    rows = "".join(_rows(model))
    head = "| key | meaning | default | example |\n|---|---|---|---|\n"
    return f"\n## {title}\n\n{text}\n\n{head}{rows}"


def _rows(model: type[s.Section]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        text = _description(model, name) or _inner_doc(field)
        meaning = text.replace("\n", " ").replace("|", "\\|")
        choices = _choices(field.annotation)
        if choices:
            meaning += f" One of {', '.join(f'`{c}`' for c in choices)}."
        default = _plain(field)
        example = _example(model, name, field) or default
        yield f"| `{name}` | {meaning} | {default and f'`{default}`'} | `{name}: {example}` |\n"


def _example(model: type[s.Section], name: str, field: FieldInfo) -> str:
    """Write an example value: the field's own, a kind's name, or the key's."""
    if field.examples:
        return str(field.examples[0])
    if name == "kind":
        return str(get_args(field.annotation)[0])
    return EXAMPLES.get(f"{model.__name__}.{name}") or EXAMPLES.get(name, "")


def _description(model: type[s.Section], name: str) -> str | None:
    """Return a key's description; a class that only changes a default has its parent's."""
    bases = [base for base in model.__mro__ if issubclass(base, s.Section)]
    found = (_docstrings(base).get(name) for base in bases)
    return next(filter(None, found), model.model_fields[name].description)


@cache
def _docstrings(model: type[s.Section]) -> dict[str, str]:
    """Read the strings below the keys of a class.

    Pydantic can read them, too, but does so whenever a class is imported, in every job.
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(tree, ast.ClassDef)
    return {
        key.target.id: inspect.cleandoc(str(text.value.value))
        for key, text in pairwise(tree.body)
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }


def _inner_doc(field: FieldInfo) -> str:
    model = s.inner_model(field.annotation)
    return f"{_first_line(model)} See below." if model else ""


def _choices(annotation: Any) -> list[str]:
    """List the allowed words of a key, if it has a list."""
    if str(get_origin(annotation)) == "typing.Literal":
        words = get_args(annotation)
        return [str(w) for w in words] if len(words) > 1 else []
    return []


def _plain(field: FieldInfo) -> str:
    """Write a default as in YAML; empty if there is none."""
    if field.is_required():
        return ""
    value = _jsonable(field.get_default(call_default_factory=True))
    return (
        yaml.safe_dump(value, default_flow_style=True, width=1000)
        .strip()
        .removesuffix("...")
        .strip()
    )


def _jsonable(value: Any) -> Any:
    if isinstance(value, s.Section):
        return value.model_dump(mode="json", exclude_defaults=True)
    return [_jsonable(v) for v in value] if isinstance(value, tuple) else value


def write(root: Path) -> None:
    """Write the page below the clone's root."""
    (root / PAGE).write_text(page_text(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
