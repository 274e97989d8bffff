"""Restorers: what turns a block of counts into a block of restored counts.

One protocol for Richardson-Lucy and for every network. `prepare` runs once per channel and gives
a `State`, a JSON and an npz that carry all a restoration needs; `open_restorer` makes the
restorer from it. A restorer that iterates with a PSF carries it in its state.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from decon3d.classical.operators import Blur
from decon3d.classical.photons import photon_scale
from decon3d.classical.recipe import Recipe
from decon3d.errors import UserError
from decon3d.files import digest, file_digest, read_json, write_json
from decon3d.logs import log
from decon3d.networks.description import load_info
from decon3d.optics.psf import Psf, fingerprint, half_width, load_psf
from decon3d.restoration.blocks import Triple
from decon3d.restoration.decisions import stop_on_sample, tv_weight_from_snr
from decon3d.seeds import stream_seed
from decon3d.settings import METHOD_KINDS, Camera, Rl, Rltv
from decon3d.volumes.ingest import ChannelStatistics
from decon3d.volumes.normalisation import Normalisation

TV_REACH = 4
"""Voxels of halo for the total variation: with a compact PSF 3e-4 of the maximum differ at a seam
without (99.9th percentile), 1e-4 with it."""
ASSUMED_GAIN = 1.0
"""Counts per photon where read noise is modelled and `camera.gain` is null."""
ASSUMED_READ_NOISE = 1.0
"""Photons, where `camera.read_noise` is null and the offset is known."""


@dataclass(frozen=True)
class State:
    """All that a restorer needs for one channel: small values and arrays.

    `halo` and `stride` are voxels (Z, Y, X). `mirror` says whether the halo is mirrored beyond
    the volume's faces; a restorer that knows its boundary itself has it off.
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
        with open(Path(path).with_suffix(".npz"), "wb") as stream:
            np.savez(stream, **cast(dict[str, Any], self.arrays))
        write_json(path, self.description)

    @classmethod
    def load(cls, path: str | Path) -> "State":
        """Read what `save` wrote."""
        content = read_json(path)
        with np.load(Path(path).with_suffix(".npz")) as arrays:
            loaded = {name: arrays[name] for name in arrays.files}
        content.update(halo=tuple(content["halo"]), stride=tuple(content["stride"]))
        content.pop("arrays_digest")
        return cls(**content, arrays=loaded)

    @property
    def description(self) -> dict[str, Any]:
        """Everything but the arrays, which are there by their hash."""
        return {
            "kind": self.kind,
            "halo": list(self.halo),
            "stride": list(self.stride),
            "mirror": self.mirror,
            "bytes_per_voxel": self.bytes_per_voxel,
            "values": self.values,
            "arrays_digest": digest({k: a.tobytes().hex() for k, a in self.arrays.items()}),
        }


Preparation = Callable[[ChannelStatistics, Sequence[NDArray[Any]]], State]


class Restorer(Protocol):
    """What the block machine drives."""

    def restore(self, block: NDArray[Any], origin: Triple) -> NDArray[np.float32]:
        """Restore a block of counts (Z, Y, X, any dtype), halo included, to counts (float32).

        `origin` is the block's first voxel in the volume (negative in a mirrored halo).
        """
        ...


def prepare_classical(
    method: Rl | Rltv,
    *,
    statistics: ChannelStatistics,
    psf: Psf,
    tuned: dict[str, Any],
    camera: Camera | None = None,
    sample: Sequence[NDArray[Any]] = (),
    seed: int = 0,
    threads: int = 1,
) -> State:
    """Prepare Richardson-Lucy or RLTV for one channel.

    Background, initial mean, λ and iterations are fixed here, for all blocks alike. The halo is
    three half-widths of the PSF, also of a compact one (two leave up to 1e-3 of the maximum at a
    seam after 15 accelerated iterations, 3e-3 after 40); the total variation adds some voxels. An
    unmatched back projector reaches twice as far, and does it once or twice.

    Parameters
    ----------
    tuned
        The search's choice (`tv_weight`, `iterations`) where the method says `tune`, or empty.
    camera
        The dataset's.
    sample
        Blocks of counts (Z Y X), on which a stopping rule and `tv_weight: snr` decide.
    seed
        The config's seed.

    Raises
    ------
    UserError
        If photons must be known and the camera's gain is not, or a rule lacks its sample.
    """
    camera = camera or Camera()
    recipe = base_recipe(method, statistics=statistics, psf=psf, camera=camera)
    iterations = tuned.get("iterations", method.iterations)
    tv_weight = tuned.get("tv_weight", getattr(method, "tv_weight", 0.0))
    if method.stopping == "rlgc" or tv_weight == "snr":
        scale = photon_scale(
            sample, offset=camera.offset, gain=camera.gain, read_noise=camera.read_noise
        )
        if tv_weight == "snr":
            tv_weight = tv_weight_from_snr(
                sample, background=recipe.background, scale=scale,
                voxel_size_um=psf.voxel_size_um,
            )  # fmt: skip
        if method.stopping == "rlgc":
            recipe = replace(recipe, photons=scale, seed=stream_seed(seed, "consensus") >> 1)
    recipe = replace(recipe, tv_weight=float(tv_weight))
    stop: dict[str, Any] = {}
    if method.stopping != "fixed":
        found = stop_on_sample(
            recipe, rule=method.stopping, most=int(iterations), sample=sample, psf=psf.data,
            threads=threads,
        )  # fmt: skip
        iterations, stop = found.iterations, {"stopping": asdict(found)}
    wide = 3 if recipe.back_projector == "matched" else 4
    extra = min(TV_REACH, int(iterations)) if recipe.tv_weight else 0
    z, y, x = (wide * max(h, 1) + extra for h in half_width(psf))
    values = {
        **recipe.values,
        "iterations": int(iterations),
        **stop,
        "psf_fingerprint": fingerprint(psf),
    }
    log.info("%s: %s, halo %s", method.kind, values, (z, y, x))
    return State(
        kind=method.kind,
        halo=(z, y, x),
        stride=(1, 1, 1),
        mirror=False,
        # Padded float32 arrays that are alive at once; measured, see the bench.
        bytes_per_voxel=4.0 * (18 if recipe.photons else 14 if recipe.tv_weight else 10),
        values=values,
        arrays={"psf": psf.data},
    )


def base_recipe(
    method: Rl | Rltv, *, statistics: ChannelStatistics, psf: Psf, camera: Camera
) -> Recipe:
    """Fix the constants that follow from a channel's statistics and from the camera.

    Richardson-Lucy leaves the camera's offset out of the noise model, since it has no shot noise:
    the same quality in a third of the iterations. RLTV keeps it, since an evener weight of bright
    and dark voxels suits the total variation: measured on phantoms, its optimum is 0.2 dB (500
    photons) to 0.6 dB (50) better. Where `camera.offset` is null, the whole background counts as
    light.
    """
    offset = statistics.normalisation.offset
    read_noise = camera.read_noise
    if read_noise is None:
        read_noise = 0.0 if camera.offset is None else ASSUMED_READ_NOISE
    dark = (camera.offset or 0.0) - (camera.gain or ASSUMED_GAIN) * read_noise**2
    if isinstance(method, Rltv):
        dark = min(dark, 0.0)
    return Recipe(
        background=offset,
        initial=max(statistics.mean - offset, 1e-3 * statistics.normalisation.scale),
        voxel_size_um=psf.voxel_size_um,
        acceleration=method.acceleration,
        back_projector=getattr(method, "back_projector", "matched"),
        dark_level=min(dark, offset),
    )


def prepare_network(
    folder: str | Path,
    *,
    statistics: ChannelStatistics,
    sample: Sequence[NDArray[Any]] = (),
    attention: str = "calibrated",
    threads: int = 1,
) -> State:
    """Prepare a trained network for one channel: its bundle and the channel's normalisation.

    Parameters
    ----------
    sample
        Blocks of counts (Z Y X) on which a network that averages over whole blocks is calibrated.
    attention
        `calibrated`, or `per_block`, as published.
    """
    info = load_info(folder)
    law = statistics.normalisation
    vectors: list[NDArray[np.float32]] = []
    if info.global_means and attention == "calibrated":
        used = _load_predictor(str(folder), info.model_sha256, threads)
        vectors = used.calibrate([law.apply(block) for block in sample])
        log.info("%s: attention calibrated on %d block(s)", info.kind, len(sample))
    return State(
        kind=info.kind,
        halo=info.halo,
        stride=info.stride,
        mirror=True,
        bytes_per_voxel=info.bytes_per_voxel,
        values={
            "bundle": str(folder),
            "bundle_digest": info.model_sha256,
            "offset": law.offset,
            "scale": law.scale,
        },
        arrays={f"global_mean_{i:03d}": vector for i, vector in enumerate(vectors)},
    )


def preparation(
    method: dict[str, Any],
    files: dict[str, Any],
    *,
    camera: dict[str, Any],
    seed: int,
    threads: int,
) -> Preparation:
    """Choose how a method is prepared.

    Parameters
    ----------
    method
        The method's settings as plain values.
    files
        What it is prepared from, by role: `psf` and, where tuned, `tuning`; or `bundle`.
    camera
        The dataset's camera settings as plain values.
    seed
        The config's seed.

    Returns
    -------
    callable
        Makes the state from a channel's statistics and a sample of its blocks (Z Y X, counts),
        which may be empty where the method decides nothing on it.
    """
    if "bundle" in files:
        folder = Path(files["bundle"]).parent
        attention = method.get("attention", "calibrated")
        return lambda statistics, sample: prepare_network(
            folder, statistics=statistics, sample=sample, attention=attention, threads=threads
        )
    settings = cast(Rl | Rltv, METHOD_KINDS[method["kind"]].model_validate(method))
    tuned = read_json(files["tuning"])["chosen"] if "tuning" in files else {}
    psf = load_psf(files["psf"])
    return lambda statistics, sample: prepare_classical(
        settings, statistics=statistics, psf=psf, tuned=tuned, sample=sample, seed=seed,
        camera=Camera.model_validate(camera), threads=threads,
    )  # fmt: skip


def claim_device(state: State, *, gpus: int, threads: int) -> str:
    """Set up the device that a restorer runs on, before it is opened; return its name."""
    if "bundle" not in state.values:
        return "cpu"
    from decon3d import devices

    return devices.configure(gpus=gpus, threads=threads)["device"]


def open_restorer(state: State, *, threads: int) -> Restorer:
    """Make the restorer that a state describes; a network's bundle is loaded here."""
    if "bundle" in state.values:
        return _Network(state, threads)
    return _Classical(state, threads)


class _Classical:
    """Richardson-Lucy and RLTV; the blur's transfer function is kept per block shape."""

    def __init__(self, state: State, threads: int) -> None:
        names = {field.name for field in fields(Recipe)}
        self.recipe = Recipe.load({k: v for k, v in state.values.items() if k in names})
        self.iterations = state.values["iterations"]
        self.psf = state.arrays["psf"]
        self.threads = threads
        self.blurs: dict[tuple[int, ...], Blur] = {}

    def restore(self, block: NDArray[Any], origin: Triple) -> NDArray[np.float32]:
        shape: Triple = block.shape  # type: ignore[assignment]
        if shape not in self.blurs:
            self.blurs = {}  # the last shape's goes first
            self.blurs[shape] = self.recipe.model(shape, psf=self.psf, threads=self.threads)
        steps = self.recipe.iterate(block, model=self.blurs[shape], origin=origin)
        _, estimate = next(islice(steps, self.iterations - 1, None))
        return estimate + np.float32(self.recipe.background)


class _Network:
    """A trained network between the normalisation and its inverse."""

    def __init__(self, state: State, threads: int) -> None:
        self.predictor = _load_predictor(
            state.values["bundle"], state.values["bundle_digest"], threads
        )
        self.vectors = [state.arrays[name] for name in sorted(state.arrays)]
        self.law = Normalisation(state.values["offset"], state.values["scale"])

    def restore(self, block: NDArray[Any], origin: Triple) -> NDArray[np.float32]:
        if self.vectors:  # the predictor is shared; another channel's may be in it
            self.predictor.fix(self.vectors)
        return self.law.invert(self.predictor.predict(self.law.apply(block)))


@lru_cache(maxsize=4)
def _load_predictor(bundle: str, bundle_digest: str, threads: int) -> Any:
    """Load a network once per process, however many restorers use it."""
    from decon3d.networks.bundle import predictor

    if file_digest(Path(bundle) / "model.keras") != bundle_digest:
        raise UserError(f"{bundle} has changed since the restoration was planned; run again")
    return predictor(bundle, threads=threads)
