"""The report: one self-contained page per dataset, made from whatever exists, and an index.

The page loads nothing, escapes every name and text from outside, and runs no script but its own.
"""

import datetime
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from decon3d import paths
from decon3d.errors import needs_traceback
from decon3d.evaluation.catalogue import METRICS, VOXELWISE
from decon3d.files import DIGESTS, check_digests, write_digests, write_json, write_text
from decon3d.logs import log
from decon3d.report.consistency import dark_warnings
from decon3d.report.embed import embedded, figures_by_section, tables
from decon3d.report.figures import make_figures, volume_figures
from decon3d.report.first_screen import cost_overview, swipe_pictures
from decon3d.report.headline_table import correlated_noise_warnings
from decon3d.report.independent import VOLUME, with_volumes
from decon3d.report.index import build_index
from decon3d.report.labels import method_label, seen_recipes
from decon3d.report.likeness import likeness_warnings
from decon3d.report.methods_text import Methods, methods_paragraph, restoration_summary
from decon3d.report.overview import (
    LEAST,
    ODD,
    add_pictures,
    same_for_all,
    shown_volumes,
    volume_rows,
)
from decon3d.report.run_status import (
    effective_settings,
    incomplete_methods,
    pair_rows,
    provenance,
    psf_cards,
)
from decon3d.report.run_warnings import data_warnings, result_warnings
from decon3d.report.scenes import volume_scenes
from decon3d.report.tables import Numbers, collect_numbers, summary_blocks, write_tables
from decon3d.report.templating import date_in_words, listed, render
from decon3d.report.verdict import judge
from decon3d.report.vetoes import staircase_warnings
from decon3d.settings import Settings, is_trained
from decon3d.settings.decisive import decisive

VIEWER_BYTES = 12_000_000
"""Largest size of all volumes in the viewer, as text; pages of single volumes show the others."""
PARTS = {
    "better": {
        "metrics": "Quality against the truth",
        "pictures": "Pictures",
        "phantoms": "Phantoms with known truth",
        "pairs": "Measured pairs",
    },
    "trust": {
        "consistency": "Consistency with the raw data",
        "likeness": "Your data and the phantoms",
        "psf": "Point spread function",
    },
    "done": {"tuning": "Tuning", "training": "Training"},
}
"""The folded parts of the page and their sections; a section of another name joins `trust`."""


def report_what_exists(root: Path, settings: Settings) -> None:
    """Remake tables, figures and page of every dataset from what exists, and the index.

    Failures are logged, and the other pages are made.
    """
    for dataset in settings.datasets:
        for make in (write_tables, make_figures):
            try:
                make(root, dataset=dataset, settings=settings)
            except Exception as error:
                log.warning(
                    "%s: %s: %s", dataset, make.__name__, error, exc_info=needs_traceback(error)
                )
        build_report(root, dataset=dataset, settings=settings)
    build_index(root, settings.datasets)


def check_drawn(root: Path, *, dataset: str) -> None:
    """Compare a dataset's tables and figures with their digests before a page is made of them.

    Raises
    ------
    DamagedError
        If one is missing or was changed. The error names the file whose removal makes all again.
    """
    tables, figures = root / paths.table(dataset, DIGESTS), root / paths.figures(dataset)
    check_digests(tables, beside=[tables.with_name("metrics.csv")])
    if (figures / DIGESTS).is_file():  # a volume's page needs none
        check_digests(figures / DIGESTS, beside=[figures / "index.json"])


def build_report(
    root: Path, *, dataset: str, settings: Settings, numbers: Numbers | None = None
) -> Path:
    """Write a dataset's page.

    Parameters
    ----------
    root
        The working directory of the workflow. Figures come from `figures/`; everything else from
        the results themselves.
    numbers
        From `write_tables`; None = computed here, and the page lists those that fail.

    Returns
    -------
    Path
        The page.
    """
    problems: list[str] = []

    def attempt(what: str, make: Callable[[], Any], otherwise: Any) -> Any:
        # A broken result must not prevent the page that reports it.
        try:
            return make()
        except Exception as error:
            log.warning("%s: %s: %s", dataset, what, error, exc_info=needs_traceback(error))
            problems.append(f"{what} could not be read: {error}")
            return otherwise

    named: dict[str, Any] = {"dataset": dataset, "settings": settings}
    if numbers is None:
        numbers = collect_numbers(root, **named, attempt=attempt)
    metrics, cost, advice = numbers.metrics, numbers.cost, numbers.advice
    placed = {name: title for part in PARTS.values() for name, title in part.items()}
    sections = dict(placed)
    figures, undrawn = attempt(
        "the figures",
        lambda: figures_by_section(root, dataset=dataset, sections=sections),
        ({}, []),
    )
    cards = attempt("the PSF", lambda: psf_cards(root, **named), [])
    # First what makes the results doubtful: the restorations, then the PSF of all methods.
    warnings = attempt("the flat patches", lambda: staircase_warnings(metrics), [])
    warnings += attempt("the dark noise", lambda: dark_warnings(root, **named), [])
    warnings += attempt("the restorations", lambda: result_warnings(root, **named), [])
    warnings += [f"PSF of {card['channel']}: {w}" for card in cards for w in card["warnings"]]
    warnings += attempt("the phantoms", lambda: likeness_warnings(root, **named), [])
    warnings += attempt("the volumes", lambda: data_warnings(root, **named), [])
    warnings += attempt("the held-out deviance", lambda: correlated_noise_warnings(metrics), [])
    facts, rows = attempt("the overview", lambda: volume_rows(root, **named), ({}, []))
    # Beside the raw thumbnails: the method that the page judges, else the first with a result.
    wanted = [r.judged for r in advice] + list(settings.methods)
    best = next((m for m in wanted if any(m not in row.missing for row in rows)), None)
    attempt("the thumbnails", lambda: add_pictures(root, rows, **named, method=best), None)
    shown = shown_volumes(rows)
    label = None if best is None else method_label(best)
    scenes = attempt("the viewer", lambda: _scenes(root, shown, **named, method=label), [])
    incomplete = attempt("the methods' state", lambda: incomplete_methods(root, **named), [])
    records = [row.record for row in rows if row.record is not None]
    restored = attempt(
        "what was restored",
        lambda: restoration_summary(
            sorted(records, key=lambda r: r.name),
            dataset=settings.datasets[dataset],
            settings=settings,
            finished=not incomplete,
        ),
        "",
    )
    others = {name: title for name, title in sections.items() if name not in placed}
    drawn = {entry["name"] for entry in figures.get("consistency", []) if entry["data"]}
    verdicts = {
        item.channel: attempt(
            f"the verdict on {item.channel}",
            partial(judge, root, item, metrics, **named, drawn=drawn),
            None,
        )
        for item in advice
    }
    crop = attempt(
        "the crop",
        lambda: (
            swipe_pictures(root, **named, volume=shown[0], method=label)
            if shown and label
            else None
        ),
        None,
    )
    made = datetime.datetime.now().astimezone()
    card = {
        "restored": restored,
        "volumes": len(rows),
        "odd": [row.name for row in rows if row.odd and not row.lacking],
        "recommendations": [r.summary for r in advice],
        "pictures": next((row.pictures for row in rows if row.name in shown[:1]), []),
        "made": made.isoformat("T", "minutes"),
        "missing": [f"{method_label(item['method'])}: {item['in_short']}" for item in incomplete],
    }
    write_json(root / paths.card(dataset), card)
    text = render(
        "page.html.j2",
        dataset=dataset,
        made=date_in_words(made),
        several_channels=len(settings.datasets[dataset].channels) > 1,
        restored=restored,
        crop=crop,
        costs_first=attempt("the cost per method", lambda: cost_overview(cost), []),
        scenes=scenes,
        facts=facts,
        rows=rows,
        same=same_for_all(facts, rows),
        odd=int(ODD) if len(rows) >= LEAST else None,
        advice=advice,
        verdicts=verdicts,
        headline=numbers.headline.to_dict(orient="records"),
        incomplete=incomplete,
        parts={**PARTS, "trust": {**PARTS["trust"], **others}},
        figures=figures,
        blocks=summary_blocks(numbers.summary) if len(numbers.summary) else [],
        cost=cost.astype(object).where(cost.notna(), None).to_dict(orient="records"),
        methods=attempt("the settings", lambda: effective_settings(root, **named), []),
        paragraph=attempt(
            "the methods paragraph",
            lambda: methods_paragraph(root, **named, splits=set(metrics["split"])),
            Methods([], []),
        ),
        psf_cards=cards,
        pairs=attempt("the measured pairs", lambda: pair_rows(root, **named), []),
        tables=attempt("the tables", lambda: tables(root, dataset=dataset), []),
        provenance=attempt("the provenance", lambda: provenance(root, **named), []),
        config=yaml.safe_dump(decisive(settings, dataset), sort_keys=False, allow_unicode=True),
        warnings=warnings,
        caveats=_caveats(metrics, settings),
        problems=problems + undrawn,
    )
    path = root / paths.report(dataset)
    write_text(path, text)
    write_digests([path, root / paths.card(dataset)])
    return path


def build_volume_page(root: Path, *, dataset: str, volume: str, settings: Settings) -> Path:
    """Write the page of one volume: its viewer, figures, warnings and numbers.

    Parameters
    ----------
    root
        The working directory of the workflow.

    Returns
    -------
    Path
        The page.
    """
    named: dict[str, Any] = {"dataset": dataset, "settings": settings}
    facts, rows = volume_rows(root, **named)
    row = next(r for r in rows if r.name == volume)
    of_volume = (f"{volume}:", f"{volume},")
    folder = root / paths.figures(dataset)
    figures = [
        {**vars(entry), **embedded(folder / f"{entry.name}.png")}
        for entry in volume_figures(root, volume=volume, **named)
    ]
    text = render(
        "volume.html.j2",
        dataset=dataset,
        row=row,
        facts=facts,
        scenes=_scenes(root, [volume], **named),
        figures=figures,
        warnings=[
            warning
            for make in (result_warnings, data_warnings)
            for warning in make(root, **named)
            if warning.startswith(of_volume)
        ],
        report=f"../{Path(paths.report(dataset)).name}",
    )
    path = root / paths.volume_page(dataset, volume)
    write_text(path, text)
    return path


def _scenes(
    root: Path,
    volumes: Iterable[str],
    *,
    dataset: str,
    settings: Settings,
    method: str | None = None,
) -> list[dict[str, Any]]:
    """Make the viewer's scenes up to the page's size limit, but at least the first volume.

    A time series' film belongs to its volume.
    """
    scenes: list[dict[str, Any]] = []
    size = 0
    for scene in volume_scenes(root, volumes, dataset=dataset, settings=settings, method=method):
        panels = [panel for channel in scene["channels"] for panel in channel["panels"]]
        size += sum(len(p["image"]) + len((p["overlay"] or {}).get("image", "")) for p in panels)
        of_first = len(scenes) == 1 and scene["moments"]
        if scenes and size > VIEWER_BYTES and not of_first:
            break
        scenes.append(scene)
    return scenes


def _caveats(metrics: pd.DataFrame, settings: Settings) -> list[str]:
    """List the limits of the numbers."""
    caveats = []
    phantoms = metrics[metrics["split"] == "test"] if len(metrics) else metrics
    if len(phantoms):
        volumes = with_volumes(phantoms, settings=settings)
        count = volumes.groupby(["channel", "recipe"])[VOLUME].nunique().min()
        caveats += [
            "The phantoms are simulated with the point spread function and the noise that the "
            "restorations assume. The numbers show how well each method removes this known blur. "
            "They do not show how it performs if the real point spread function, background or "
            "noise differ.",
            f"Intervals on phantoms are over simulated volumes, at least {count} per recipe (crops "
            "of one clean volume, or one object at several doses, count as one). They do not "
            "include the variation over other microscopes, doses or kinds of structure.",
        ]
        seen = sorted(seen_recipes(settings))
        unseen = sorted(set(phantoms["recipe"]) - set(seen))
        if seen and unseen:
            caveats.append(
                f"Seen structure: phantom recipe {', '.join(seen)}. Unseen: {', '.join(unseen)}. "
                "The structure of your specimen is unseen."
            )
    elif len(metrics) and (metrics["split"] == "measured").any():
        caveats += [
            "The truth of a measured pair is another image, with its own noise and blur. The "
            "numbers show how close a method comes to that image. A method that resolves more "
            "detail than that image gets worse numbers.",
            "Intervals on measured pairs are over specimens: all test pairs of one specimen count "
            "once. They do not include the variation over other microscopes, doses or kinds of "
            "specimen.",
        ]
    else:
        caveats.append(
            "Nothing was compared with simulated truth. The pictures alone do not prove that newly "
            "visible structures are real."
        )
    trained = [method_label(n) for n, m in settings.methods.items() if is_trained(m)]
    if trained:
        caveats.append(
            f"{listed(trained)}: trained once, with one seed. Another seed may change the results "
            "by more than their intervals."
        )
    if len(metrics) and (metrics["split"] == "volume").any():
        caveats.append(
            "The references of your volumes are used as they are: their noise and blur count as "
            "errors of the methods."
        )
    caveats.append(
        "Detail below the microscope's cut-off cannot be verified from the data. It comes from the "
        "assumptions or the training of the method."
    )
    against_truth = metrics[metrics["split"].isin(["test", "measured", "volume"])]
    if against_truth["metric"].isin(VOXELWISE).any():
        caveats.append(
            f"{listed([METRICS[m].label for m in VOXELWISE])} compare voxels. They do not count "
            "invented or missed objects."
        )
    return caveats
