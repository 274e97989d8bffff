"""Restorers: functions from a block of counts to a block of restored counts.

One protocol for Richardson-Lucy and for every network. `prepare` runs once per channel and gives
a `State`, a JSON and an npz that carry all a restoration needs; `open_restorer` makes the
restorer from it. A restorer that iterates with a PSF carries it in its state.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from decon3d.classical import device
from decon3d.classical.channel import base_recipe, bytes_per_voxel, halo_of
from decon3d.classical.estimates import Estimator, Run
from decon3d.classical.kind import Classical, prior_of
from decon3d.classical.photons import photon_scale
from decon3d.classical.recipe import Recipe
from decon3d.classical.registry import CLASSICAL
from decon3d.errors import DamagedError, DeviceMemoryError, UserError, reason
from decon3d.files import digest, read_record, replacing, write_record
from decon3d.logs import log
from decon3d.networks.description import load_info
from decon3d.networks.engines import TENSORFLOW, Engine
from decon3d.networks.estimates import network_runs
from decon3d.networks.inputs import network_input
from decon3d.optics.psf import Psf, fingerprint, load_psf
from decon3d.restoration.blocks import Triple
from decon3d.restoration.decisions import stop_on_sample, tv_weight_from_snr
from decon3d.restoration.iterations import choose_iterations, nominal
from decon3d.seeds import stream_seed
from decon3d.volumes.camera import Camera
from decon3d.volumes.normalisation import Normalisation
from decon3d.volumes.statistics import ChannelStatistics

GLOBAL_MEAN = "global_mean_"
"""Prefix of the names of calibrated vectors in a state's arrays."""


@dataclass(frozen=True)
class State:
    """The state of a restorer for one channel: small values and arrays.

    `halo` and `stride` are voxels (Z, Y, X). `mirror` tells whether the halo is mirrored beyond the
    volume's faces; it is off for restorers with their own boundary handling.
    """

    kind: str
    halo: Triple
    stride: Triple
    mirror: bool
    bytes_per_voxel: float
    values: dict[str, Any]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write `path` (JSON) and the arrays beside it (npz)."""
        beside = Path(path).with_suffix(".npz")
        with replacing(beside) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, **cast(dict[str, Any], self.arrays))
        write_record(path, self.description)

    @classmethod
    def load(cls, path: str | Path) -> "State":
        """Read what `save` wrote.

        Raises
        ------
        DamagedError
            If one of the two files was changed.
        """
        beside = Path(path).with_suffix(".npz")
        content = read_record(path, beside=[beside])
        try:
            with np.load(beside) as arrays:
                loaded = {name: np.asarray(arrays[name]) for name in arrays.files}
        except FileNotFoundError:
            raise DamagedError(beside, "is missing", files=[path]) from None
        except Exception as error:  # of a damaged file: zipfile, zlib, NumPy's header, lookups
            raise DamagedError(beside, f"cannot be read: {reason(error)}", files=[path]) from None
        content.update(halo=tuple(content["halo"]), stride=tuple(content["stride"]))
        written = content.pop("arrays_digest")
        state = cls(**content, arrays=loaded)
        if state.description["arrays_digest"] != written:
            raise DamagedError(beside, f"does not belong to {path}", files=[path])
        return state

    @property
    def description(self) -> dict[str, Any]:
        """Everything but the arrays, which are represented by their hash."""
        return {
            "kind": self.kind,
            "halo": list(self.halo),
            "stride": list(self.stride),
            "mirror": self.mirror,
            "bytes_per_voxel": self.bytes_per_voxel,
            "values": self.values,
            "arrays_digest": digest({k: _array_digest(a) for k, a in self.arrays.items()}),
        }

    @property
    def identity(self) -> dict[str, Any]:
        """The key of the restored voxels: the description without the bundle's path."""
        values = {name: value for name, value in self.values.items() if name != "bundle"}
        return {**self.description, "values": values}

    @property
    def of_network(self) -> bool:
        """Whether the restorer is a network, which needs an engine."""
        return "bundle" in self.values


def _array_digest(array: NDArray[Any]) -> list[Any]:
    values = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return [array.dtype.str, list(array.shape), values]


Preparation = Callable[[ChannelStatistics, Sequence[NDArray[Any]]], State]


class Restorer(Protocol):
    """The protocol of a restorer."""

    def restore(self, block: NDArray[Any], origin: Triple) -> NDArray[np.float32]:
        """Restore a block of counts (Z, Y, X, any dtype), halo included, to counts (float32).

        `origin` is the block's first voxel in the volume (negative in a mirrored halo). Voxels
        without data are NaN; the results there and in the halo are not used.
        """
        ...


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
        The search's choice (the λ under its setting's name, `iterations`) where the method says
        `tune`, or empty.
        With `iterations: auto` the number is chosen here, on the sample.
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
        "%s: background %.5g ± %.2g counts (95 %%), plus each neighbourhood's own",
        method.kind,
        recipe.background,
        1.96 * statistics.background_error,
    )
    log.info("%s: %s, halo %s", method.kind, values, halo)
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
    halo, memory, estimator = info.halo, info.bytes_per_voxel, None
    if info.estimates:
        runs = network_runs(info.estimates, statistics=statistics, psf=psf, camera=camera)
        estimator = Estimator(runs, psf=psf.data, threads=threads)
        values["runs"] = [
            {"recipe": run.recipe.values, "iterations": list(run.iterations)} for run in runs
        ]
        values["psf_fingerprint"] = fingerprint(psf)
        arrays["psf"] = psf.data
        reach = zip(info.halo, halo_of(runs, psf=psf), info.stride, strict=True)
        z, y, x = (-(-(own + theirs) // s) * s for own, theirs, s in reach)
        halo, memory = (z, y, x), memory + bytes_per_voxel(runs)
    if info.global_means and attention == "calibrated":
        from decon3d.networks.bundle import calibrate

        model, _ = _load(str(folder), info.model_sha256, threads)
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


def claim_device(state: State, *, gpus: int, threads: int) -> str:
    """Set up the device that a restorer runs on, before it is opened; return its name.

    Raises
    ------
    UserError
        If it needs a GPU and there is none.
    """
    if not state.of_network:
        return _device(state).name
    from decon3d.networks import devices

    return devices.configure(gpus=gpus, threads=threads)["device"]


def open_restorer(state: State, *, threads: int, engine: Engine | None = TENSORFLOW) -> Restorer:
    """Make the restorer of a state; loads a network's bundle.

    Parameters
    ----------
    engine
        Engine of a network; None for a classical method.
    """
    if state.of_network:
        return _Network(state, threads, engine or TENSORFLOW)
    return _Classical(state, threads)


def _device(state: State) -> device.Device:
    """Return the device of a classical method."""
    return device.gpu() if state.values.get("device") == "gpu" else device.CPU


class _Classical:
    """Richardson-Lucy, with a prior or without."""

    def __init__(self, state: State, threads: int) -> None:
        names = {field.name for field in fields(Recipe)}
        values = {k: v for k, v in state.values.items() if k in names}
        recipe = Recipe.load(values, kind=state.kind)
        run = Run(recipe, (state.values["iterations"],))
        self.device = _device(state)
        self.estimator = Estimator(
            [run], psf=state.arrays["psf"], threads=threads, device=self.device
        )

    def restore(self, block: NDArray[Any], origin: Triple) -> NDArray[np.float32]:
        try:
            return self.estimator(block, origin=origin)[0]
        except MemoryError as error:
            if self.device.is_host:
                raise
            raise DeviceMemoryError(
                f"a block of {block.shape} voxels (Z, Y, X) does not fit into the memory of the "
                f"{self.device.name}; lower restoration.memory_gb ({error})"
            ) from None


class _Network:
    """A trained network between the normalisation and its inverse.

    With estimates, the block is not mirrored beyond the volume's faces, since Richardson-Lucy
    handles them itself; the network's input is mirrored after the estimates are made.
    """

    def __init__(self, state: State, threads: int, engine: Engine) -> None:
        names = sorted(n for n in state.arrays if n.startswith(GLOBAL_MEAN))
        self.predictor = _load_predictor(
            state.values["bundle"],
            state.values["bundle_digest"],
            threads,
            engine,
            tuple(state.arrays[n].astype(np.float32).tobytes() for n in names),
        )
        self.law = Normalisation(state.values["offset"], state.values["scale"])
        self.background = state.values["background"]
        self.estimator = None
        if "runs" in state.values:
            runs = [
                Run(Recipe.load(run["recipe"]), tuple(run["iterations"]))
                for run in state.values["runs"]
            ]
            self.estimator = Estimator(runs, psf=state.arrays["psf"], threads=threads)

    def restore(self, block: NDArray[Any], origin: Triple) -> NDArray[np.float32]:
        values = network_input(
            block, law=self.law, estimator=self.estimator, origin=origin, background=self.background
        )
        halo = self.predictor.halo
        if self.estimator is None:
            restored = np.full(block.shape, np.nan, np.float32)
            inner = tuple(slice(h, n - h) for n, h in zip(block.shape, halo, strict=True))
            restored[inner] = self.law.invert(self.predictor.predict(values))
            return restored
        sizes = zip(block.shape, halo, self.predictor.stride, strict=True)
        face = [(h, h + -n % s) for n, h, s in sizes]
        z, y, x = block.shape
        seen = np.pad(values, [(0, 0), *face], mode="symmetric")
        return self.law.invert(self.predictor.predict(seen)[:z, :y, :x])


@lru_cache(maxsize=4)
def _load_predictor(
    bundle: str, bundle_digest: str, threads: int, engine: Engine, vectors: tuple[bytes, ...]
) -> Any:
    """Make a network's predictor once per process, shared by its restorers."""
    from decon3d.networks.bundle import Predictor

    model, info = _load(bundle, bundle_digest, threads)
    fixed = [np.frombuffer(vector, np.float32) for vector in vectors]
    return Predictor(model, info, vectors=fixed, engine=engine, threads=threads)


@lru_cache(maxsize=4)
def _load(bundle: str, bundle_digest: str, threads: int) -> Any:
    """Load a bundle once per process, on the device that `claim_device` chose."""
    from decon3d.networks import devices
    from decon3d.networks.bundle import load_bundle

    devices.limit_threads(threads)
    model, info = load_bundle(bundle)
    if info.model_sha256 != bundle_digest:
        raise UserError(
            f"{bundle} has changed since the restoration was planned; run the same command again"
        )
    return model, info
