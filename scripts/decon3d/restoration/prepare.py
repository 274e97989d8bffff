"""Prepare a restorer for one channel: everything that is the same for all its blocks."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray

from decon3d.blocks.geometry import triple
from decon3d.classical.channel import base_recipe, bytes_per_voxel, halo_of
from decon3d.classical.estimates import Estimator, Run
from decon3d.classical.kind import Classical, prior_of
from decon3d.classical.photons import photon_scale
from decon3d.classical.registry import CLASSICAL
from decon3d.files import read_record
from decon3d.logs import log
from decon3d.networks.description import load_info
from decon3d.networks.estimates import network_runs, usual_photons
from decon3d.networks.inputs import network_input
from decon3d.optics.psf import Psf, fingerprint, load_psf
from decon3d.restoration.decisions import stop_on_sample, tv_weight_from_snr
from decon3d.restoration.iterations import choose_iterations, nominal
from decon3d.restoration.restorers import GLOBAL_MEAN, SecondStep, State, load_once
from decon3d.seeds import stream_seed
from decon3d.volumes.camera import Camera
from decon3d.volumes.statistics import ChannelStatistics

HELD_BYTES = 26.0
"""Memory per voxel that stays taken while a network works on estimates, beside its input: the block
of counts, the result, and transfer function, spectrum and weights of the blur."""
Preparation = Callable[[ChannelStatistics, Sequence[NDArray[Any]]], State]


def prepare_classical(
    method: Classical,
    *,
    statistics: ChannelStatistics,
    psf: Psf,
    tuned: dict[str, Any],
    camera: Camera | None = None,
    sample: Sequence[NDArray[Any]] = (),
    seed: int = 0,
    threads: int = 1,
) -> State:
    """Prepare Richardson-Lucy, with a prior or without, for one channel.

    Background, start, λ and iterations are fixed here, for all blocks alike.

    Parameters
    ----------
    tuned
        The search's choice where the method says `tune`, else empty: the λ under its setting's
        name, `iterations`, and `coarse_iterations`, if any. With `iterations: auto` the number is
        chosen here, on the sample.
    camera
        The channel's; None = not known, and the whole background counts as light.
    sample
        Blocks of counts (Z Y X), on which `iterations: auto`, a stopping rule and `tv_weight: snr`
        decide.
    seed
        The config's seed.

    Raises
    ------
    UserError
        If photons must be known and the camera's gain is not, or a rule lacks its sample.
    """
    recipe = base_recipe(method, statistics=statistics, psf=psf, camera=camera)
    iterations = tuned.get("iterations", method.iterations)
    prior = prior_of(method)
    weight = tuned.get(prior, getattr(method, prior)) if prior else 0.0
    stopping = getattr(method, "stopping", "fixed")
    if stopping == "rlgc" or weight == "snr":
        scale = photon_scale(camera)
        if weight == "snr":
            weight = tv_weight_from_snr(
                sample, background=recipe.background, scale=scale, voxel_size_um=psf.voxel_size_um
            )
        if stopping == "rlgc":
            recipe = replace(recipe, photons=scale, seed=stream_seed(seed, "consensus") >> 1)
    if prior:
        recipe = recipe.with_prior(prior, float(weight))
    stop: dict[str, Any] = {}
    coarse_iterations = int(tuned.get("coarse_iterations", 0))
    if stopping != "fixed":
        found = stop_on_sample(
            recipe,
            rule=stopping,
            most=int(iterations),
            sample=sample,
            psf=psf.data,
            threads=threads,
        )
        iterations, stop = found.iterations, {"stopping": asdict(found)}
    elif iterations == "auto":
        choice = (
            nominal(f"restored volumes (source: {method.source}) have no photon noise")
            if method.source
            else choose_iterations(
                recipe,
                sample=sample,
                psf=psf,
                camera=camera,
                seed=stream_seed(seed, "iterations"),
                threads=threads,
            )
        )
        iterations, stop = choice.iterations, {"choice": asdict(choice)}
        coarse_iterations = choice.coarse_iterations
    recipe = replace(recipe, coarse_iterations=coarse_iterations)
    runs = [Run(recipe, (int(iterations),))]
    halo = halo_of(runs, psf=psf)
    values = {
        **recipe.values,
        "background_error": statistics.background_error,
        "iterations": int(iterations),
        **stop,
        **({"device": "gpu"} if method.device == "gpu" else {}),
        "psf_fingerprint": fingerprint(psf),
    }
    log.info(
        "%s: %d iterations%s, background %.5g ± %.2g counts (95 %%) plus each neighbourhood's "
        "own%s; blocks see %s voxels (Z, Y, X) around them",
        method.kind,
        int(iterations),
        f" after {coarse_iterations} on binned data" if coarse_iterations else "",
        recipe.background,
        1.96 * statistics.background_error,
        f", {prior} {float(weight):.3g}" if prior else "",
        halo,
    )
    return State(
        kind=method.kind,
        halo=halo,
        stride=(1, 1, 1),
        mirror=False,
        bytes_per_voxel=bytes_per_voxel(runs, device=method.device),
        values=values,
        arrays={"psf": psf.data},
    )


def prepare_network(
    folder: str | Path,
    *,
    statistics: ChannelStatistics,
    psf: Psf,
    camera: Camera | None = None,
    sample: Sequence[NDArray[Any]] = (),
    attention: str = "calibrated",
    threads: int = 1,
) -> State:
    """Prepare a trained network for one channel: its bundle and the channel's normalisation.

    A network with Richardson-Lucy estimates as input carries the PSF and their constants; its halo
    is then the sum of theirs and its own.

    Parameters
    ----------
    psf
        The channel's.
    camera
        The channel's; None = not known, and the whole background counts as light.
    sample
        Blocks of counts (Z Y X) on which a network that averages over whole blocks is calibrated.
    attention
        `calibrated`, or `per_block`, as published.
    """
    info = load_info(folder)
    law = statistics.normalisation
    values: dict[str, Any] = {
        "bundle": str(folder),
        "bundle_digest": info.model_sha256,
        "offset": law.offset,
        "scale": law.scale,
        "background": statistics.background,
    }
    arrays: dict[str, NDArray[Any]] = {}
    halo, memory, estimator, second = info.halo, info.bytes_per_voxel, None, None
    if info.estimates:
        runs = network_runs(info.estimates, statistics=statistics, psf=psf, camera=camera)
        estimator = Estimator(runs, psf=psf.data, threads=threads)
        values["runs"] = [
            {"recipe": run.recipe.values, "iterations": list(run.iterations)} for run in runs
        ]
        values["dose"] = usual_photons(runs[0].recipe, statistics, camera)
        values["psf_fingerprint"] = fingerprint(psf)
        arrays["psf"] = psf.data
        reach = zip(info.halo, halo_of(runs, psf=psf), info.stride, strict=True)
        halo = triple(-(-(own + theirs) // s) * s for own, theirs, s in reach)
        channels = 4.0 * info.input_channels
        second = SecondStep(info.halo, memory, channels + HELD_BYTES)
        memory = channels + bytes_per_voxel(runs)
    if info.global_means and attention == "calibrated":
        from decon3d.networks.bundle import calibrate

        model, _ = load_once(str(folder), info.model_sha256, threads)
        seen = [
            network_input(block, law=law, estimator=estimator, background=statistics.background)
            for block in sample
        ]
        vectors = calibrate(model, info.stride, seen)
        arrays |= {f"{GLOBAL_MEAN}{i:03d}": vector for i, vector in enumerate(vectors)}
        log.info("%s: attention calibrated on %d block(s)", info.kind, len(sample))
    return State(
        kind=info.kind,
        halo=halo,
        stride=info.stride,
        mirror=not info.estimates,
        bytes_per_voxel=memory,
        values=values,
        arrays=arrays,
        second_step=second,
    )


def preparation(
    method: dict[str, Any],
    files: dict[str, Any],
    *,
    camera: Camera,
    seed: int,
    threads: int,
) -> Preparation:
    """Choose how a method is prepared.

    Parameters
    ----------
    method
        The method's settings as plain values.
    files
        Input files by role: `psf`; if tuned, `tuning`; for a network, `bundle`.
    camera
        The channel's.
    seed
        The config's seed.

    Returns
    -------
    callable
        Makes the state from a channel's statistics and a sample of its blocks (Z Y X, counts),
        which may be empty where the method decides nothing on it.
    """
    psf = load_psf(files["psf"])
    if "bundle" in files:
        folder = Path(files["bundle"]).parent
        attention = method.get("attention", "calibrated")
        return lambda statistics, sample: prepare_network(
            folder,
            statistics=statistics,
            psf=psf,
            camera=camera,
            sample=sample,
            attention=attention,
            threads=threads,
        )
    settings = cast(Classical, CLASSICAL[method["kind"]].settings.model_validate(method))
    tuned = read_record(files["tuning"])["chosen"] if "tuning" in files else {}
    return lambda statistics, sample: prepare_classical(
        settings,
        statistics=statistics,
        psf=psf,
        tuned=tuned,
        sample=sample,
        seed=seed,
        camera=camera,
        threads=threads,
    )
