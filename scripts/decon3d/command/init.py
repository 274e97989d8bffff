"""Write a config for some files; ask for what their metadata do not state."""

import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from decon3d.command.launch import workflow_folder
from decon3d.errors import UserError
from decon3d.optics.modalities import MODALITIES
from decon3d.preflight import check_headers, list_inputs
from decon3d.settings import load_settings
from decon3d.user_paths import expand_path
from decon3d.volumes.header_checks import differing_voxels
from decon3d.volumes.inputs import matches
from decon3d.volumes.metadata import in_words
from decon3d.volumes.reader import open_volume
from decon3d.volumes.volume import Reading, Triple, Volume

Ask = Callable[[str, str], str]
"""Gets an option's name and a question, returns the answer."""

HEADER = """\
# Written by `decon3d init`. Lengths are µm, triples are Z, Y, X.
# All keys: {reference}
# Next: `decon3d preview {path}`, then `decon3d run {path}`.
"""
LISTED = 20
"""Most files that are listed; of more, a pattern is written if it names exactly these."""
PSF_HINT = "# psf: {source: file, path: bead.tif}  # measured, instead of theory"
"""Line of a channel without a measured PSF."""
NOTES = {
    "camera": "null = estimated from the data; a known value is better",
    "offset": "counts of a dark image",
    "gain": "counts per photon",
    "read_noise": "photons",
    "methods": "to compare methods, remove a #; `decon3d preview` shows the cost",
    "parts": "jobs per dataset and method; on a cluster, e.g. a quarter of the cores",
    "memory_gb": "memory of a block, per job",
}
"""Comments behind keys."""
METHOD_HINTS = {
    "rltv": "total variation, tuned on simulated objects like your data",
    "rl_roughness": "for smooth and textured objects",
    "rln": "a network, trained on simulated objects: best with a GPU",
    "rl_residual": "experimental: a network for many microscopes, without training",
}
"""Methods that can be added, each with what it is."""


@dataclass(frozen=True)
class Given:
    """Options of the command; None and empty = not given."""

    voxel_size_um: Triple | None = None
    optics: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the config's section."""
    emission_um: Sequence[float] = ()
    excitation_um: Sequence[float] = ()
    camera: Mapping[str, float] = field(default_factory=dict)
    methods: Sequence[str] = ("rl",)
    series: int | str | None = None
    axes: str | None = None
    psf: Mapping[str, Any] | None = None
    """A measured PSF, as the config's section."""


class _Missing:
    """Ask for values that are neither given nor stated, or collect them for one message."""

    def __init__(self, ask: Ask | None) -> None:
        self.ask = ask
        self.lacking: list[str] = []

    def text(self, option: str, question: str) -> str:
        if self.ask is None:
            self.lacking.append(f"{option} ({question})")
            return ""
        return self.ask(option, question)

    def number(self, option: str, question: str) -> float:
        answer = self.text(option, question)
        if self.ask is None:
            return 0.0
        try:
            return float(answer)
        except ValueError:
            raise UserError(f"{option}: {answer!r} is not a number") from None

    def check(self) -> None:
        if self.lacking:
            raise UserError(
                "the files do not state everything; give these options: " + ", ".join(self.lacking)
            )


def new_config(
    files: Sequence[str], *, name: str, given: Given, ask: Ask | None, path: str | Path
) -> str:
    """Compose a config for some files.

    Parameters
    ----------
    files
        Paths or patterns of the volumes, which share a microscope.
    name
        Name of the dataset.
    given
        The options.
    ask
        Asks the user; None = what is missing is an error.
    path
        Path of the config, for its header.

    Returns
    -------
    str
        YAML, valid for these files.

    Raises
    ------
    UserError
        If the files cannot be read or differ, something is missing, or the config would have
        problems.
    """
    sources = [
        os.path.abspath(f) for entry in files for f in matches(expand_path(entry)) or [entry]
    ]
    reading = Reading(given.series, given.axes)
    volumes = [open_volume(source, reading=reading) for source in sources]
    _check_alike(volumes, given)
    first, missing = volumes[0], _Missing(ask)
    notes = dict(NOTES)
    size = given.voxel_size_um
    if first.voxel_size_um is None and size is None:
        answer = missing.text("--voxel-size", "voxel size Z Y X in µm, e.g. 0.3 0.1 0.1")
        size = _triple(answer) if ask else None
    optics = _optics(first, given, missing, notes)
    channels = _channels(first, given, missing, optics["modality"], notes)
    missing.check()
    dataset: dict[str, Any] = {"volumes": sources}
    if len(sources) > LISTED and (pattern := _pattern(sources)):
        dataset["volumes"] = [pattern]
        notes["volumes"] = f"{len(sources)} files; files that are added later are restored, too"
    if size is not None:
        dataset["voxel_size_um"] = list(size)
    if given.series is not None:
        dataset["series"] = given.series
    if given.axes is not None:
        dataset["axes"] = given.axes
    camera = {key: given.camera.get(key) for key in ("offset", "gain", "read_noise")}
    dataset |= {"optics": optics, "camera": camera, "channels": channels}
    if first.voxel_size_um is not None and size is None:
        notes["optics"] = f"voxel size from the files: {in_words(first.voxel_size_um)}"
    config = {
        "schema_version": 1,
        "seed": 1,
        "datasets": {name: dataset},
        "methods": {method: {} for method in given.methods},
        "restoration": {"parts": 1, "memory_gb": 2},
    }
    settings = load_settings(config)
    with tempfile.TemporaryDirectory() as folder:
        check_headers(settings, list_inputs(settings), cache=Path(folder) / "headers.json")
    reference = workflow_folder() / "config" / "README.md"
    return HEADER.format(path=path, reference=reference) + _text(config, notes)


def _pattern(files: Sequence[str]) -> str | None:
    """Return a pattern of one folder and ending that names these files and no other, or None."""
    folder, name = os.path.split(files[0])
    endings = Path(name).suffixes
    for ending in ("".join(endings[-1:]), "".join(endings[-2:])):
        pattern = os.path.join(folder, f"*{ending}")
        if ending and matches(pattern) == sorted(files):
            return pattern
    return None


def _check_alike(volumes: Sequence[Volume], given: Given) -> None:
    """Refuse files that cannot be one dataset."""
    first = volumes[0]
    for volume in volumes[1:]:
        if volume.shape[1] != first.shape[1]:
            raise UserError(
                f"{volume.path} has {volume.shape[1]} channel(s), but {first.path} has "
                f"{first.shape[1]}; write a config for each kind of file"
            )
    if given.voxel_size_um is None:
        sizes = [(v.path, v.voxel_size_um) for v in volumes if v.voxel_size_um is not None]
        if problems := differing_voxels(sizes, key="volumes"):
            raise UserError("\n".join(problems))


def _optics(
    first: Volume, given: Given, missing: _Missing, notes: dict[str, str]
) -> dict[str, Any]:
    modality = given.optics.get("modality") or missing.text(
        "--modality", f"kind of microscope: {', '.join(MODALITIES)}"
    )
    kind = MODALITIES.get(modality)  # an unknown one is refused with the whole config
    optics: dict[str, Any] = {"modality": modality}
    for key, option, question in (
        ("numerical_aperture", "--na", "numerical aperture of the objective"),
        (
            "immersion_index",
            "--immersion-index",
            "refractive index of the immersion: air 1.0, water 1.333, glycerol 1.47, oil 1.515",
        ),
    ):
        value, stated = given.optics.get(key), getattr(first.stated, key)
        if value is None and stated is not None:
            value, notes[key] = stated, "from the file"
        optics[key] = missing.number(option, question) if value is None else value
    optics |= given.optics
    if kind is not None and kind.excitation == "sheet" and "sheet_thickness_um" not in optics:
        question = "full width at half maximum of the light sheet in µm"
        optics["sheet_thickness_um"] = missing.number("--sheet-thickness", question)
    if kind is not None and kind.depleted:
        sted = given.optics.get("sted", {})
        intensities = "peak depletion intensity over the saturation intensity"
        optics["sted"] = {
            key: sted[key] if key in sted else missing.number(option, question)
            for key, option, question in (
                ("depletion_um", "--depletion", "wavelength of the depletion laser in µm"),
                ("saturation_factor", "--saturation-factor", intensities),
            )
        }
    return optics


def _channels(
    first: Volume, given: Given, missing: _Missing, modality: str, notes: dict[str, str]
) -> dict[str, Any]:
    count = first.shape[1]
    for key, option in (("emission_um", "--emission"), ("excitation_um", "--excitation")):
        if len(getattr(given, key)) > count:
            raise UserError(
                f"{option}: got {len(getattr(given, key))} wavelengths, but {first.path} has "
                f"{count} channel(s); give one for each"
            )
    if given.psf and count > 1:
        raise UserError(
            f"--bead, --beads: {first.path} has {count} channels, each with its own PSF; leave the "
            "option out and add `psf` to the channels of the config"
        )
    kind = MODALITIES.get(modality)
    laser = kind is not None and kind.excitation == "two_photon"
    channels: dict[str, Any] = {}
    for index in range(count):
        own = first.channel_names[index] if index < len(first.channel_names) else ""
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", own).strip("_") or f"channel_{index}"
        while name in channels:
            name = f"{name}_{index}"
        channel: dict[str, Any] = {"index": index}
        for key, option, needed in (
            ("emission_um", "--emission", True),
            ("excitation_um", "--excitation", laser),
        ):
            listed, stated = getattr(given, key), getattr(first.stated, key)
            if index < len(listed):
                channel[key] = listed[index]
            elif index < len(stated) and stated[index] is not None:
                channel[key] = stated[index]
                notes[name] = "wavelengths from the file"
            elif needed:
                what = key.removesuffix("_um")
                whose = f"channel {index}"  # also the name of one without a name
                whose += "" if own in ("", whose) else f" ({own})"
                channel[key] = missing.number(option, f"{what} wavelength of {whose} in µm")
        if given.psf:
            channel["psf"] = {**given.psf, "path": os.path.abspath(given.psf["path"])}
        channels[name] = channel
    return channels


def _triple(text: str) -> Triple:
    values = re.split(r"[\s,]+", text.strip(" []()"))
    try:
        z, y, x = map(float, values)
    except ValueError:
        raise UserError(f"--voxel-size: {text!r} is not three numbers Z Y X") from None
    return z, y, x


def _text(config: Mapping[str, Any], notes: Mapping[str, str], indent: str = "") -> str:
    """Write YAML, a key on a line, with the notes behind their keys."""
    text = ""
    for key, value in config.items():
        note = f"  # {notes[key]}" if key in notes else ""
        if isinstance(value, Mapping) and value:
            text += f"{indent}{key}:{note}\n{_text(value, notes, indent + '  ')}"
            if "index" in value and "psf" not in value:
                text += f"{indent}  {PSF_HINT}\n"
        elif isinstance(value, list) and isinstance(value[0], str):
            lines = "".join(f"{indent}  - {_scalar(entry)}\n" for entry in value)
            text += f"{indent}{key}:{note}\n{lines}"
        else:
            text += f"{indent}{key}: {_scalar(value)}{note}\n"
        if key == "methods":
            hints = {n: h for n, h in METHOD_HINTS.items() if n not in value}
            text += "".join(f"  # {name + ': {}':<16} # {hint}\n" for name, hint in hints.items())
    return text


def _scalar(value: Any) -> str:
    written = yaml.safe_dump(value, allow_unicode=True, width=10_000, default_flow_style=True)
    return str(written).removesuffix("...\n").strip()
