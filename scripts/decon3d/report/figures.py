"""The figures of a dataset, from the results that exist, and their captions.

Each figure is written as PNG (300 dpi) and SVG under a fixed name; `figures/index.json` lists
them with section, title and caption, and what could not be drawn.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from decon3d import paths
from decon3d.classical.risk import LONGER_PRIOR
from decon3d.errors import UserError, needs_traceback
from decon3d.evaluation.catalogue import VOXELWISE
from decon3d.evaluation.statistics import estimate_mean
from decon3d.files import full_disk, read_json, write_digests, write_json
from decon3d.logs import log
from decon3d.optics.psf import load_psf
from decon3d.report import plots
from decon3d.report.beads import draw_beads
from decon3d.report.consistency import draw_consistency
from decon3d.report.differences import draw_minus_reference, draw_stability
from decon3d.report.entries import Drawn, Entry, Job, exists, of_channel, projection_caption
from decon3d.report.independent import VOLUME, test_specimens, with_volumes
from decon3d.report.labels import (
    INPUT,
    TRUTH,
    after_binned,
    method_label,
    prior_weight,
    with_groups,
)
from decon3d.report.likeness import draw_likeness
from decon3d.report.overview import shown_volumes, volume_rows
from decon3d.report.phantom_figures import restored_recipes, split_sheet
from decon3d.report.run_status import stored
from decon3d.report.run_warnings import still_to_gain
from decon3d.report.tables import collect_metrics
from decon3d.report.templating import number, quantity
from decon3d.report.views import DETAIL_SHAPE, Source, Triple, brightest, detail, overview
from decon3d.settings import Settings, list_volumes
from decon3d.volumes.reader import Reading, open_volume
from decon3d.volumes.volume_record import VolumeRecord, load_record
from decon3d.workers import worker_pool

DPI = 300
INDEX = "index.json"
TUNED_ON = {
    "phantoms": "Mean affine-matched PSNR on the validation volumes.",
    "data": (
        "Score: the negative squared error that Stein's unbiased risk predicts for blocks of the "
        "data. No truth is used. The score does not measure errors beyond the microscope's cut-off."
    ),
    "test_truth": (
        "Oracle: mean affine-matched PSNR on the test volumes themselves, an upper bound for any "
        "settings. Real data have no such truth."
    ),
}


def make_figures(
    root: Path, *, dataset: str, settings: Settings, processes: int = 1
) -> list[Entry]:
    """Draw all figures that the results allow; log and skip those that fail.

    Parameters
    ----------
    root
        The working directory of the workflow.
    processes
        How many figures are drawn at once. More than 1 only where no threads run yet, zarr's
        included: processes are forked.

    Returns
    -------
    list of Entry
        What was drawn, as in `figures/index.json`.
    """
    job = Job(root, dataset, settings)
    folder = root / paths.figures(dataset)
    folder.mkdir(parents=True, exist_ok=True)
    entries: list[Entry] = []
    problems: list[str] = []
    with ExitStack() as stack:
        drawings: list[tuple[str, Callable[[], list[Entry]]]] = [
            (what, partial(_draw, draw, folder)) for what, draw in _tasks(job)
        ]
        if processes > 1:
            pool = stack.enter_context(worker_pool(processes))
            drawings = [(what, pool.submit(draw).result) for what, draw in drawings]
        for what, drawing in drawings:
            # A failed run can leave incomplete results. Catch every error, log it and show it on
            # the page.
            try:
                entries += drawing()
            except Exception as error:
                if full_disk(error, folder):  # no figure can be written: let the job fail
                    raise
                log.warning(
                    "%s could not be drawn: %s", what, error, exc_info=needs_traceback(error)
                )
                problems.append(f"{what} could not be drawn: {error}")
    content = {"figures": [asdict(entry) for entry in entries], "problems": problems}
    write_json(folder / INDEX, content)
    drawn = [folder / f"{entry.name}.{ending}" for entry in entries for ending in ("png", "svg")]
    write_digests([folder / INDEX, *filter(Path.is_file, drawn)])
    return entries


def volume_figures(root: Path, *, dataset: str, volume: str, settings: Settings) -> list[Entry]:
    """Draw the figures of one volume, all channels.

    Parameters
    ----------
    root
        The working directory of the workflow.
    volume
        Name of an ingested volume.
    """
    job = Job(root, dataset, settings)
    folder = root / paths.figures(dataset)
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for channel in job.dataset.channels:
        entries += _draw(partial(_volume, job, volume, channel), folder)
    return entries


def _draw(draw: Callable[[], Drawn], folder: Path) -> list[Entry]:
    """Draw and write figures that belong together."""
    entries = []
    with matplotlib.rc_context(plots.STYLE):
        for entry, figure in draw():
            _save(figure, folder / entry.name)
            entries.append(entry)
    return entries


def _save(figure: Figure, stem: Path) -> None:
    quick = {"compress_level": 3}  # a third of the time to draw is compression; a quarter larger
    figure.savefig(f"{stem}.png", dpi=DPI, metadata={"Software": None}, pil_kwargs=quick)
    figure.set_layout_engine("none")  # already laid out; doing it again costs as much time
    figure.savefig(f"{stem}.svg", dpi=DPI, metadata={"Date": None})


def _tasks(job: Job) -> Iterator[tuple[str, Callable[[], Drawn]]]:
    rows = volume_rows(job.root, dataset=job.name, settings=job.settings)[1]
    for volume in shown_volumes(rows):
        for channel in job.dataset.channels:
            yield f"volume {volume}, {channel}", partial(_volume, job, volume, channel)
            what = f"consistency of {volume}, {channel}"
            yield what, partial(draw_consistency, job, volume, channel)
            what = f"{volume}, {channel}: networks minus Richardson-Lucy"
            yield what, partial(draw_minus_reference, job, volume, channel)
    for channel in job.dataset.channels:
        yield f"stability, {channel}", partial(draw_stability, job, channel)
    for channel in job.dataset.channels:
        if (job.root / paths.psf(job.name, channel)).is_file():
            yield f"PSF of {channel}", partial(_psf, job, channel)
        if (job.root / paths.psf(job.name, channel)).with_name("beads.tif").is_file():
            yield f"beads of {channel}", partial(_beads, job, channel)
        if (job.root / paths.likeness(job.name, channel)).is_file():
            yield f"data and phantoms of {channel}", partial(draw_likeness, job, channel)
        for split in ("train", "test"):
            if exists(job.root / paths.phantoms(job.name, channel, split)):
                yield f"{split} phantoms of {channel}", partial(split_sheet, job, channel, split)
        if exists(job.root / paths.phantoms(job.name, channel, "test")):
            yield f"phantoms of {channel}", partial(restored_recipes, job, channel)
        for method in job.settings.methods:
            if (job.root / paths.model(job.name, channel, method) / "history.csv").is_file():
                yield f"training of {method}, {channel}", partial(_training, job, channel, method)
            if (job.root / paths.tuning(job.name, channel, method)).is_file():
                yield f"tuning of {method}, {channel}", partial(_tuning, job, channel, method)
    yield "metrics", partial(_metrics, job)


def _volume(job: Job, volume: str, channel: str) -> Drawn:
    record = load_record(job.root / paths.ingested(job.name, volume))
    panels = sources(job, record, channel)
    voxel = record.voxel_size_um
    whole = [(s.label, overview(s, voxel_size_um=voxel)) for s in panels]
    raw = whole[0][1]
    place = brightest(raw)
    crops = [(s.label, detail(s, centre_um=place, voxel_size_um=voxel)) for s in panels]
    where = f"{volume}{of_channel(job, channel)}"
    stem = f"{volume}_{channel}"
    figure, shown = plots.projections(whole)
    coarser = [round(a / b) for a, b in zip(raw.voxel_size_um, voxel, strict=True)]
    reduced = (
        f" Blocks of {coarser[0]} × {coarser[1]} × {coarser[2]} voxels (Z, Y, X) were averaged."
        if max(coarser) > 1
        else ""
    )
    drawn: Drawn = [
        (
            Entry(
                f"projections_{stem}",
                "pictures",
                f"{where}: the whole volume",
                projection_caption(shown) + reduced,
            ),
            figure,
        )
    ]
    if max(coarser) > 1 or any(
        n > 2 * m for n, m in zip(raw.counts.shape[1:], DETAIL_SHAPE[1:], strict=True)
    ):
        figure, shown = plots.projections(crops)
        caption = "Crop around the brightest place of the raw image, at full resolution. "
        drawn.append(
            (
                Entry(
                    f"detail_{stem}",
                    "pictures",
                    f"{where}: detail",
                    caption + projection_caption(shown),
                ),
                figure,
            )
        )
    around = brightest(crops[0][1])
    z, y, x = (quantity(v) for v in around)
    caption = (
        f"Counts through the brightest place of the raw image (z = {z}, y = {y}, x = {x} µm). "
        "Restored peaks should be narrower and higher. Only the truth shows whether they are "
        "correct."
    )
    drawn.append(
        (
            Entry(f"profile_{stem}", "pictures", f"{where}: line profiles", caption),
            plots.profiles(crops, centre_um=around),
        )
    )
    return drawn


def restored_times(job: Job, record: VolumeRecord) -> Sequence[int]:
    """Return the time points of a volume that are restored."""
    return job.dataset.times or range(record.shape[0])


def sources(job: Job, record: VolumeRecord, channel: str, *, moment: int = 0) -> list[Source]:
    """List the panels of a volume: raw, every method that has restored it, truth.

    `moment` is the position of the time point among those that are restored.
    """
    time = restored_times(job, record)[moment]
    index = job.dataset.channels[channel].index
    position = list(job.dataset.channels).index(channel)
    found = [Source("raw", job.root / record.path, time, index)]
    for method in job.settings.methods:
        store = job.root / paths.restored(job.name, record.name, method)
        if exists(store):
            found.append(Source(method_label(method), store, moment, position))
    reference = _reference(job, record.name)
    if reference is not None:
        reading = Reading.of(job.dataset)
        n_times, n_channels = open_volume(reference, reading=reading).shape[:2]
        place = (min(time, n_times - 1), min(index, n_channels - 1))
        found.append(Source(TRUTH, reference, *place, reading))
    return found


def _reference(job: Job, volume: str) -> Path | None:
    try:
        known = list_volumes(job.name, job.dataset)
    except UserError:  # the inputs were moved after the run; the results still exist
        return None
    reference = known[volume].reference if volume in known else None
    if reference is None or not (job.root / reference).exists():
        return None
    return job.root / reference


def _psf(job: Job, channel: str) -> Drawn:
    path = job.root / paths.psf(job.name, channel)
    info = read_json(path.with_suffix(".json"))
    voxel: Triple = tuple(info["voxel_size_um"])
    fwhm: Triple | None = tuple(info["fwhm_um"]) if info.get("fwhm_um") else None
    caption = "Planes through the centre of the point spread function, square root of intensity."
    entry = Entry(
        f"psf_{channel}", "psf", f"Point spread function{of_channel(job, channel)}", caption
    )
    if fwhm is not None:
        z, y, x = (number(v, 3) for v in fwhm)
        entry = replace(
            entry,
            caption=f"{caption} Dashed: full width at half maximum.",
            columns=["PSF", "Z (µm)", "Y (µm)", "X (µm)"],
            rows=[["Full width at half maximum", z, y, x]],
        )
    figure = plots.psf_views(load_psf(path).data, voxel_size_um=voxel, fwhm_um=fwhm)
    return [(entry, figure)]


def _beads(job: Job, channel: str) -> Drawn:
    figure, caption, rows = draw_beads(job.root / paths.psf(job.name, channel))
    title = f"Beads of the point spread function{of_channel(job, channel)}"
    columns = ["Beads", "Value"]
    return [(Entry(f"beads_{channel}", "psf", title, caption, "", columns, rows), figure)]


def _training(job: Job, channel: str, method: str) -> Drawn:
    folder = job.root / paths.model(job.name, channel, method)
    history = pd.read_csv(folder / "history.csv")
    info = stored(folder / "model.json")
    blurred = info.get("validation", {}).get("input", {}).get("psnr_affine")
    best = info.get("best_step")
    caption = "Loss on the training crops; loss and PSNR on the validation volumes. "
    if best is None:
        caption += "The training has not finished."
    else:
        caption += f"The weights of step {best} were kept, with the smallest validation error."
        if best == history["step"].max():
            caption += " This is the last step; longer training may improve the result."
    label = f"Training of {method_label(method)}{of_channel(job, channel)}"
    figure = plots.training_curve(history, best_step=best, input_psnr=blurred)
    return [(Entry(f"training_{channel}_{method}", "training", label, caption), figure)]


def _tuning(job: Job, channel: str, method: str) -> Drawn:
    found = read_json(job.root / paths.tuning(job.name, channel, method))
    chosen = found["chosen"]
    weight = prior_weight(chosen)
    on_data = found["on"] == "data"
    note = still_to_gain(found, job.settings.datasets[job.name])
    if found["ended_by"]:
        note += f" The search ended at a limit ({found['ended_by']})."
    if on_data and weight:
        note += (
            f" The number of iterations is {LONGER_PRIOR:g} times that of the highest score, which "
            "was better in simulations."
        )
    if on_data and found["photons"]["gain_from"] == "data":
        note += (
            f" The camera's gain, {found['photons']['gain']:.3g} counts per photon, was estimated "
            "from the data (variance against mean). If you know the gain, set camera.gain."
        )
    entry = Entry(
        f"tuning_{channel}_{method}",
        "tuning",
        f"Tuning of {method_label(method)}{of_channel(job, channel)}",
        TUNED_ON[found["on"]],
        note.strip(),
        ["Chosen λ", "Iterations", found["measure"]],
        [
            [
                f"{weight:.2g}" if weight else "–",
                f"{chosen['iterations']}{after_binned(chosen)}",
                f"{chosen['score']:.5g}".replace("-", "−"),
            ]
        ],
    )
    figure = plots.tuning_curve(
        pd.DataFrame(found["curve"]), chosen=chosen, measure=found["measure"]
    )
    return [(entry, figure)]


def _metrics(job: Job) -> Drawn:
    specimens = test_specimens(job.root, dataset=job.name, settings=job.settings)
    values = with_groups(collect_metrics(job.root, dataset=job.name), settings=job.settings)
    values = with_volumes(values, settings=job.settings, specimens=specimens)
    values = values[values["metric"].isin(VOXELWISE) & values["group"].isin(plots.GROUP_STYLES)]
    values = values[~values["variant"].str.startswith("common")]
    drawn: Drawn = []
    keys = ["metric", "variant", "method", "group"]
    for channel, points in values.groupby("channel", sort=False):
        found = {
            key: (
                part["value"].dropna(),
                estimate_mean(
                    list(part.groupby(VOLUME)["value"].mean()),
                    seed=job.settings.seed,
                    name="/".join(key),
                ),
            )
            for key, part in points.groupby(keys)
        }
        order = [INPUT, *job.settings.methods]
        methods = [m for m in order if m in set(points["method"])]
        caption = (
            "Small marks: volumes with truth. Open mark and bar: mean and its 95 % interval (the "
            "wider of bootstrap and Student's t). Above: after an affine match of brightness to "
            "the truth; below: as restored."
        )
        entry = Entry(
            f"metrics_{channel}", "metrics", f"All values{of_channel(job, str(channel))}", caption
        )
        drawn.append((entry, plots.metric_plot(found, methods=methods)))
    return drawn
