"""Restorers: functions from a block of counts to a block of restored counts.

One protocol for Richardson-Lucy and for every network. `prepare` makes a `State` once per channel,
a JSON and an npz that carry all a restoration needs; `open_restorer` makes the restorer from it. A
restorer that iterates with a PSF carries it in its state.
"""

import hashlib
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from decon3d.blocks.compute import Tiling
from decon3d.blocks.geometry import Block, Region, Triple, triple
from decon3d.classical import device
from decon3d.classical.estimates import Estimator, Run
from decon3d.classical.recipe import Recipe
from decon3d.errors import DamagedError, DeviceMemoryError, UserError, reason
from decon3d.files import digest, read_record, replacing, write_record
from decon3d.networks.engines import TENSORFLOW, Engine
from decon3d.networks.inputs import network_input
from decon3d.volumes.normalisation import Normalisation

GLOBAL_MEAN = "global_mean_"
"""Prefix of the names of calibrated vectors in a state's arrays."""


@dataclass(frozen=True)
class SecondStep:
    """A step that follows on the first one's result and is computed in smaller tiles of a block.

    Attributes
    ----------
    halo
        Context of a tile, in voxels (Z, Y, X), within the block's own.
    bytes_per_voxel
        Memory per voxel of a tile with its halo.
    held_bytes_per_voxel
        Memory that the first step leaves taken, per voxel of the block with its halo.
    """

    halo: Triple
    bytes_per_voxel: float
    held_bytes_per_voxel: float


@dataclass(frozen=True)
class State:
    """The state of a restorer for one channel: small values and arrays.

    `halo` and `stride` are voxels (Z, Y, X). `mirror` tells whether the halo is mirrored beyond the
    volume's faces; it is off for restorers with their own boundary handling. `bytes_per_voxel` is
    the memory per voxel of a block with its halo; with a `second_step`, that of the first.
    """

    kind: str
    halo: Triple
    stride: Triple
    mirror: bool
    bytes_per_voxel: float
    values: dict[str, Any]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    second_step: SecondStep | None = None

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
        if content["second_step"] is not None:
            step = content["second_step"]
            content["second_step"] = SecondStep(**{**step, "halo": tuple(step["halo"])})
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
            "second_step": self.second_step
            and {**asdict(self.second_step), "halo": list(self.second_step.halo)},
        }

    @property
    def identity(self) -> dict[str, Any]:
        """The key of the restored voxels: the description without the bundle's path and the dose.

        The dose changes voxels only through the runs of the estimates, which are in the key.
        """
        values = {k: value for k, value in self.values.items() if k not in ("bundle", "dose")}
        return {**self.description, "values": values}

    @property
    def of_network(self) -> bool:
        """Whether the restorer is a network, which needs an engine."""
        return "bundle" in self.values


def _array_digest(array: NDArray[Any]) -> list[Any]:
    values = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return [array.dtype.str, list(array.shape), values]


class Restorer(Protocol):
    """The protocol of a restorer."""

    def restore(
        self, block: NDArray[Any], origin: Triple, inner: Region | None = None
    ) -> NDArray[np.float32]:
        """Restore a region of a block of counts (Z, Y, X, any dtype) to counts (float32).

        `origin` is the block's first voxel in the volume (negative in a mirrored halo). `inner` is
        the region (None = the whole block); what lies around it is context. Voxels without data are
        NaN; the results there are not used.
        """


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


def open_restorer(
    state: State,
    *,
    threads: int,
    engine: Engine | None = TENSORFLOW,
    tile: Triple | None = None,
) -> Restorer:
    """Make the restorer of a state; loads a network's bundle.

    Parameters
    ----------
    engine
        Engine of a network; None for a classical method.
    tile
        Largest tile (Z, Y, X) of the state's `second_step`; None = all of a block at once.
    """
    if state.of_network:
        return _Network(state, threads, engine or TENSORFLOW, tile)
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

    def restore(
        self, block: NDArray[Any], origin: Triple, inner: Region | None = None
    ) -> NDArray[np.float32]:
        try:
            return self.estimator(block, origin=origin)[0][inner or ...]
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
    handles them itself. The estimates are made of the whole block, whose halo is that of
    Richardson-Lucy and of the network together. The network then works on the block's inner part
    alone, in tiles: what a tile sees around itself are estimates, mirrored only beyond the volume's
    faces.
    """

    def __init__(
        self, state: State, threads: int, engine: Engine, tile: Triple | None = None
    ) -> None:
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
        self.tile = tile
        self.tiling = Tiling(stride=self.predictor.stride, halo=self.predictor.halo, mirror=True)

    def restore(
        self, block: NDArray[Any], origin: Triple, inner: Region | None = None
    ) -> NDArray[np.float32]:
        shape = triple(block.shape)
        values = network_input(
            block, law=self.law, estimator=self.estimator, origin=origin, background=self.background
        )
        whole = triple(slice(0, n) for n in shape)
        wanted = inner or whole
        if self.estimator is None:
            restored = np.full(shape, np.nan, np.float32)
            inside = zip(shape, self.predictor.halo, strict=True)
            restored[tuple(slice(h, n - h) for n, h in inside)] = self._predicted(values)
            return restored[wanted]
        sizes = zip(wanted, self.predictor.stride, strict=True)
        tile = triple(-(-(w.stop - w.start) // s) * s for w, s in sizes)  # in whole strides
        if self.tile is not None:
            tile = triple(min(both) for both in zip(tile, self.tile, strict=True))
        return self.tiling.compute(
            lambda seen, _, part: self._predicted(seen)[
                tuple(slice(0, p.stop - p.start) for p in part)
            ],
            values,
            Block(write=wanted, read=whole, face=((0, 0),) * 3, inner=wanted),
            tile,
        )

    def _predicted(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.law.invert(self.predictor.predict(values))


@lru_cache(maxsize=4)
def _load_predictor(
    bundle: str, bundle_digest: str, threads: int, engine: Engine, vectors: tuple[bytes, ...]
) -> Any:
    """Make a network's predictor once per process, shared by its restorers."""
    from decon3d.networks.bundle import Predictor

    model, info = load_once(bundle, bundle_digest, threads)
    fixed = [np.frombuffer(vector, np.float32) for vector in vectors]
    return Predictor(model, info, vectors=fixed, engine=engine, threads=threads)


@lru_cache(maxsize=4)
def load_once(bundle: str, bundle_digest: str, threads: int) -> Any:
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
