"""The page of a microscope: its PSFs, its camera and its shifts between channels over time."""

import datetime
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from decon3d import paths
from decon3d.files import read_record, write_text
from decon3d.report.contradictions import age_warning
from decon3d.report.embed import embedded
from decon3d.report.plots import COLORS, STYLE, WIDTH
from decon3d.report.templating import date_in_words, number, quantity, render
from decon3d.settings import UNDATED, Instrument

WIDER = 0.15
"""Relative change of a width, from the median of the earlier stacks, from which it is a warning."""
GAIN_CHANGE = 0.05
READ_NOISE_CHANGE = 0.2
DPI = 130


@dataclass(frozen=True)
class Measured:
    """The measurements of one bead stack in one channel, or of one day's camera frames.

    Attributes
    ----------
    where
        Objective and channel; `camera` alone for frames.
    day
        Date of the recording (ISO 8601), or `UNDATED`.
    values
        From `optics.quality.measure_stack` or `volumes.camera_maps.Calibration`.
    """

    where: tuple[str, ...]
    day: str
    values: dict[str, Any]

    @property
    def name(self) -> str:
        """Its name in sentences."""
        return ", ".join((*self.where, self.day))

    @property
    def problem(self) -> str | None:
        """The reason why it could not be measured; None = it was measured."""
        return self.values.get("problem")

    @property
    def date(self) -> datetime.date:
        """Date of the recording."""
        return datetime.date.fromisoformat(self.day)


def build_instrument_page(
    root: Path,
    *,
    name: str,
    instrument: Instrument,
    file: str | None,
    today: datetime.date,
) -> Path:
    """Write the page of a microscope from the measurements of its bead stacks and frames.

    Parameters
    ----------
    root
        The working directory of the workflow.
    file
        Where the instrument is described; None = in the config.
    today
        Day of the page, from which ages are counted.

    Returns
    -------
    Path
        The page.
    """
    stacks = [
        Measured(
            (objective, channel),
            str(stack.date),
            read_record(root / paths.instrument_beads(name, objective, str(stack.date), channel)),
        )
        for objective, value in instrument.objectives.items()
        for channel in instrument.channels
        for stack in sorted(value.beads, key=lambda stack: stack.date)
        if channel in stack.channels
    ]
    frames = [
        Measured(("camera",), day, read_record(root / paths.instrument_camera(name, day)))
        for day in instrument.frame_days
    ]
    text = render(
        "instrument.html.j2",
        name=name,
        title=instrument.title or name,
        file=file,
        made=date_in_words(today),
        objectives=[
            _objective(objective, instrument, [s for s in stacks if s.where[0] == objective])
            for objective in instrument.objectives
        ],
        camera=[_camera_row(f) for f in frames],
        camera_figure=_camera_figure([f for f in frames if not f.problem and f.day != UNDATED]),
        configured=[
            (key, value)
            for key, value in instrument.camera
            if value is not None and key not in ("dark", "flat")
        ],
        warnings=[
            *_stale(instrument, today),
            *_changed_widths(stacks),
            *_own_warnings([*stacks, *frames]),
            *_camera_changes([f for f in frames if not f.problem], instrument),
        ],
        chromatic=instrument.chromatic,
    )
    path = root / paths.instrument_page(name)
    write_text(path, text)
    return path


def _objective(name: str, instrument: Instrument, stacks: list[Measured]) -> dict[str, Any]:
    """Describe an objective on the page."""
    optics = instrument.objectives[name].optics
    return {
        "name": name,
        "what": f"{optics.kind.label}, NA {optics.numerical_aperture:g} in n = "
        f"{optics.immersion_index:g}",
        "figure": _widths_figure(name, stacks),
        "rows": [_row(s) for s in stacks],
        "shifts": [
            [
                f"{s.where[1]} against {instrument.reference}, {s.day}",
                *(
                    f"{number(shift, 3)} ± {number(error, 3)}"
                    for shift, error in zip(c["shift_um"], c["error_um"], strict=True)
                ),
                str(c["beads"]),
            ]
            for s in stacks
            if (c := s.values.get("chromatic"))
        ],
    }


def _stale(instrument: Instrument, today: datetime.date) -> list[str]:
    found = []
    limit = instrument.stale_after_days
    for objective, value in instrument.objectives.items():
        for channel in instrument.channels:
            if newest := value.stack_of(channel, None):
                what = f"{objective}, {channel}: the newest beads"
                found += age_warning(what, newest.date, used=today, limit=limit)
    if frames := instrument.frames_for(None):
        found += age_warning("camera: the newest frames", frames.date, used=today, limit=limit)
    return found


def _changed_widths(stacks: Sequence[Measured]) -> list[str]:
    """Compare the newest width of each objective and channel with the earlier ones."""
    found = []
    for where in dict.fromkeys(s.where for s in stacks):
        series = [s for s in stacks if s.where == where and not s.problem]
        if len(series) < 2:
            continue
        widths = np.array([s.values["fwhm_um"] for s in series])
        change = widths[-1] / np.median(widths[:-1], axis=0) - 1
        axis = int(np.argmax(np.abs(change)))
        if abs(change[axis]) > WIDER:
            found.append(
                f"{series[-1].name}: the PSF is {abs(change[axis]):.0%} "
                f"{'wider' if change[axis] > 0 else 'narrower'} along {'ZYX'[axis]} than the "
                "median of the earlier stacks; check objective, immersion, correction collar and "
                "beads"
            )
    return found


def _own_warnings(measured: Sequence[Measured]) -> list[str]:
    """List what could not be measured, and the warnings of the newest recording of each kind."""
    newest = {m.where: m for m in measured if not m.problem}
    return [f"{m.name}: not measured: {m.problem}" for m in measured if m.problem] + [
        f"{m.name}: {text}" for m in newest.values() for text in m.values["warnings"]
    ]


def _camera_changes(frames: Sequence[Measured], instrument: Instrument) -> list[str]:
    """Compare the newest frames with the earlier ones, and with the instrument's description."""
    if not frames:
        return []
    found = []
    newest, camera = frames[-1].values, instrument.camera
    against = [(f"the {f.day} frames", f.values) for f in frames[-2:-1]]
    if camera.offset is not None or camera.gain is not None:
        stated = {"offset": camera.offset, "gain": camera.gain, "read_noise_counts": None}
        against.append(("the instrument's description", stated))
    for where, earlier in against:
        for key, what, limit, unit in (
            ("offset", "offset", max(newest["read_noise_counts"], 1.0), "counts"),
            ("gain", "gain", GAIN_CHANGE * (newest["gain"] or 1), "counts per photon"),
            (
                "read_noise_counts",
                "read noise",
                READ_NOISE_CHANGE * newest["read_noise_counts"],
                "counts",
            ),
        ):
            before, now = earlier[key], newest[key]
            if before is not None and now is not None and abs(now - before) > limit:
                found.append(
                    f"{frames[-1].name}: the {what} is {now:.4g} {unit}, but {before:.4g} in "
                    f"{where}; check the camera's settings"
                )
    return found


def _row(stack: Measured) -> list[str]:
    head = f"{stack.where[1]}, {stack.day}"
    if stack.problem:
        return [head, *5 * "–", "not measured"]
    values = stack.values
    widths, theory = values["fwhm_um"], values["theory_fwhm_um"]
    ratio = ", ".join(number(w / t, 2) for w, t in zip(widths, theory, strict=True))
    return [
        head,
        *(number(w, 3) for w in widths),
        ", ".join(number(t, 3) for t in theory),
        ratio,
        f"{values['beads']} of {values['found']}",
    ]


def _camera_row(frames: Measured) -> list[str]:
    if frames.problem:
        return [frames.day, *5 * "–", "not measured"]
    v = frames.values
    gain, spread = v["gain"], v["gain_spread"]
    return [
        frames.day,
        f"{number(v['offset'], 2)} ± {number(v['offset_spread'], 2)}",
        "–" if gain is None else f"{quantity(gain)} ± {number(100 * spread, 1)} %",
        f"{number(v['read_noise_counts'], 2)}"
        + ("" if gain is None else f" ({number(v['read_noise_counts'] / gain, 2)} photons)"),
        f"{v['noisy_pixels']:,}",
        f"{v['bad_pixels']:,}",
        f"{v['dark_frames']} dark, {v['flat_frames']} flat",
    ]


def _widths_figure(objective: str, stacks: Sequence[Measured]) -> dict[str, Any] | None:
    """Draw the widths along Z, Y, X over time, with theory's as dashes."""
    known = [s for s in stacks if not s.problem]
    if not known:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        for axis, axes in enumerate(figure.subplots(1, 3)):
            for color, channel in zip(
                COLORS * 9, dict.fromkeys(s.where[1] for s in known), strict=False
            ):
                series = [s for s in known if s.where[1] == channel]
                dates: Any = [s.date for s in series]
                axes.plot(
                    dates,
                    [s.values["fwhm_um"][axis] for s in series],
                    "o-",
                    color=color,
                    markersize=5,
                    linewidth=1.2,
                    label=channel,
                )
                axes.axhline(
                    series[-1].values["theory_fwhm_um"][axis],
                    color=color,
                    linestyle="--",
                    linewidth=0.8,
                )
            axes.set(title=f"along {'ZYX'[axis]}", ylabel="FWHM (µm)")
            axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
            _date_axis(axes, [s.date for s in known])
        figure.axes[0].legend(fontsize=7)
        return _drawn(
            figure,
            f"Width of the PSF, {objective}",
            "Full width at half maximum of the PSF after removal of the bead's diameter, by the "
            "date of the bead stack. Dashed: theory.",
        )


def _camera_figure(frames: Sequence[Measured]) -> dict[str, Any] | None:
    """Draw offset, gain and read noise over time."""
    if len(frames) < 2:
        return None
    dates: Any = [f.date for f in frames]
    panels = (
        ("offset", "Offset (counts)"),
        ("gain", "Gain (counts per photon)"),
        ("read_noise_counts", "Read noise (counts)"),
    )
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
        for axes, (key, words) in zip(figure.subplots(1, 3), panels, strict=True):
            values = [f.values[key] for f in frames]
            some: Any = [np.nan if v is None else v for v in values]
            axes.plot(dates, some, "o-", color=COLORS[0], markersize=5, linewidth=1.2)
            axes.set(ylabel=words)
            _date_axis(axes, dates)
        return _drawn(figure, "Camera", "Means over the good pixels, by the date of the frames.")


def _date_axis(axes: Any, dates: Iterable[datetime.date]) -> None:
    """Label some of the dates, with margins on both sides."""
    days = sorted(set(dates))
    shown = days[:: max(1, -(-len(days) // 6))]
    axes.set_xticks(shown, [str(day) for day in shown], rotation=30, ha="right", fontsize=7)
    margin = datetime.timedelta(days=max(5, (days[-1] - days[0]).days // 15))
    axes.set_xlim(days[0] - margin, days[-1] + margin)


def _drawn(figure: Figure, title: str, caption: str) -> dict[str, Any]:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    stream.seek(0)
    return {"title": title, "caption": caption, **embedded(stream)}
