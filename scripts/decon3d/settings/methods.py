"""Restoration methods in the config, and what can be asked of one."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator
from pydantic_core import PydanticCustomError

from decon3d.field_types import Name, Section
from decon3d.settings.training import (
    CareTraining,
    NeuroDeconTraining,
    RcanTraining,
    RlnTraining,
    RlResidualTraining,
)

RESERVED_METHODS = {"input", "truth"}
"""Names of the report's own rows."""


Tuned = Literal["tune"]


Stopping = Literal["fixed", "relative_change", "rlgc"]


TuneOn = Literal["phantoms", "data", "test_truth"]


ORACLE = "_oracle"
"""End of the names of methods that are tuned on the test truth."""


STOPPING_LIMIT = 500
"""Iterations that a stopping rule may take unless the config says otherwise."""


class MethodSection(Section):
    """What all methods have in common."""

    source: Name | None = None
    """Another method, whose restored volumes this one starts from (first denoise, then sharpen):
    negative counts become 0, the normalisation is theirs, and it is trained, tuned and tested on
    what that method makes of the training data. Null = the raw volumes."""


class _Iterative(MethodSection):
    """What Richardson-Lucy with and without a prior has in common."""

    device: Literal["cpu", "gpu"] = "cpu"
    """Where volumes and test phantoms are restored. `gpu`: on one GPU, by the rules for GPUs; it
    needs CuPy (the extra `cupy`), fails without a GPU, and `restoration.memory_gb` is then the
    GPU's memory. Searches and stopping rules run on the CPU. Tested with a stand-in for CuPy's
    arrays only, not yet on a GPU; results differ from the CPU's by rounding."""

    @model_validator(mode="before")
    @classmethod
    def _limit(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("stopping", "fixed") == "fixed":
            return values
        # Momentum carries voxels past the point where the halves begin to disagree.
        slow = {"acceleration": "none"} if values["stopping"] == "rlgc" else {}
        return {"iterations": STOPPING_LIMIT, **slow, **values}

    @model_validator(mode="after")
    def _one_decision(self) -> "_Iterative":
        stopping, iterations = getattr(self, "stopping", "fixed"), getattr(self, "iterations", 1)
        if stopping != "fixed" and iterations in ("auto", "tune"):
            raise PydanticCustomError(
                "tune",
                "iterations: {choice} and stopping: {rule} both choose the number of iterations; "
                "remove one of them",
                {"choice": iterations, "rule": stopping},
            )
        if stopping == "rlgc" and getattr(self, "acceleration", "none") != "none":
            raise PydanticCustomError(
                "tune",
                "stopping: rlgc needs acceleration: none, since momentum amplifies noise",
            )
        return self


class Rl(_Iterative):
    """Richardson-Lucy deconvolution."""

    kind: Literal["rl"]
    """Richardson-Lucy."""
    iterations: PositiveInt | Literal["auto", "tune"] = "auto"
    """Iterations; or `auto`: those with the least predicted error on a sample of the data, found in
    seconds without phantoms; or `tune`: the best by `tune_on`; with a stopping rule the most
    (default 500)."""
    stopping: Stopping = "fixed"
    """`fixed`; `relative_change`: below 1 % per iteration; `rlgc`: each voxel stops when two
    halves of its photons disagree, all when < 1 % of a sample's voxels move."""
    tune_on: TuneOn = "phantoms"
    """What `tune` searches on: `phantoms` (val split); `data` (the error that they predict, no
    truth); `test_truth` (an oracle: the method's name must end in _oracle)."""
    acceleration: Literal["heavy_ball", "none"] = "heavy_ball"
    """Momentum; without it about twice as many iterations are needed. Its best is 0.15 to 0.22 dB
    higher; past it, momentum adds noise faster (twice as many iterations as the best lose up to
    3.9 dB, 2.6 without). With `stopping: rlgc` none, since momentum runs on
    into the noise (7 dB lost at 50 photons)."""
    back_projector: Literal["matched", "wiener_butterworth"] = "matched"
    """`wiener_butterworth` (Guo 2020): one or two iterations, with acceleration: none."""

    @model_validator(mode="after")
    def _unmatched(self) -> "Rl":
        if self.back_projector != "matched" and (
            self.acceleration != "none" or self.stopping != "fixed"
        ):
            raise PydanticCustomError(
                "tune",
                "back_projector: {name} needs acceleration: none and stopping: fixed (1 or 2 "
                "iterations); otherwise it diverges",
                {"name": self.back_projector},
            )
        return self


class Rltv(_Iterative):
    """Richardson-Lucy deconvolution with total variation (Dey 2006)."""

    kind: Literal["rltv"]
    """Richardson-Lucy with total variation."""
    iterations: PositiveInt | Tuned = "tune"
    """Iterations, or `tune`: the best by `tune_on`, together with tv_weight; with a stopping rule
    the most (default 500)."""
    tv_weight: PositiveFloat | Tuned | Literal["snr"] = "tune"
    """λ of the total variation, differences relative to the smallest voxel; or `tune`; or `snr`:
    50 / (SNR · smallest voxel in nm), from the brightest place of a sample (Laasmaa 2011)."""
    stopping: Stopping = "fixed"
    """`fixed`; `relative_change`: below 1 % per iteration; `rlgc`: each voxel stops when two
    halves of its photons disagree, all when < 1 % of a sample's voxels move."""
    tune_on: TuneOn = "phantoms"
    """What `tune` searches on: `phantoms` (val split); `data` (the error that they predict, no
    truth); `test_truth` (an oracle: the method's name must end in _oracle)."""
    acceleration: Literal["heavy_ball", "none"] = "heavy_ball"
    """Momentum; without it about twice as many iterations are needed. With `stopping: rlgc` none,
    since momentum runs on into the noise (7 dB lost at 50 photons)."""

    @model_validator(mode="after")
    def _together(self) -> "Rltv":
        _tuned_together(self.iterations, self.tv_weight, "tv_weight")
        return self


class RlRoughness(_Iterative):
    """Richardson-Lucy deconvolution with Good's roughness (Verveer & Jovin 1997)."""

    kind: Literal["rl_roughness"]
    """Richardson-Lucy with Good's roughness: for smooth and textured objects, which total variation
    may turn into flat patches."""
    iterations: PositiveInt | Tuned = "tune"
    """Iterations, or `tune`: the best by `tune_on`, together with roughness_weight."""
    roughness_weight: PositiveFloat | Tuned = "tune"
    """λ of Good's roughness, differences relative to the smallest voxel; or `tune`. Best values are
    0.01 to 0.5, the smaller the more photons; none is too large to converge."""
    tune_on: TuneOn = "phantoms"
    """What `tune` searches on: `phantoms` (val split); `data` (the error that they predict, no
    truth); `test_truth` (an oracle: the method's name must end in _oracle)."""
    acceleration: Literal["heavy_ball", "none"] = "heavy_ball"
    """Momentum; without it up to eight times as many iterations are needed."""

    @model_validator(mode="after")
    def _together(self) -> "RlRoughness":
        _tuned_together(self.iterations, self.roughness_weight, "roughness_weight")
        return self


def _tuned_together(iterations: object, weight: object, name: str) -> None:
    if (iterations == "tune") != (weight == "tune"):
        raise PydanticCustomError(
            "tune",
            "iterations and {name} are tuned together; give `tune` for both or for neither",
            {"name": name},
        )


class Rln(MethodSection):
    """The Richardson-Lucy network (Li et al. 2022), trained on the pairs."""

    kind: Literal["rln"]
    """The Richardson-Lucy network."""
    epsilon: PositiveFloat = 1e-4
    """Added to the denominators of the network's two divisions."""
    training: RlnTraining = RlnTraining()


class NeuroDecon(MethodSection):
    """NeuroDecon (Sachuk et al. 2025), trained on the pairs."""

    kind: Literal["neurodecon"]
    """NeuroDecon."""
    large: bool = False
    """The large form: 6,058,690 parameters in place of 1,509,331."""
    training: NeuroDeconTraining = NeuroDeconTraining()


class Care(MethodSection):
    """CARE's U-Net (Weigert et al. 2018), trained on the pairs."""

    kind: Literal["care"]
    """CARE."""
    depth: Annotated[int, Field(ge=1, le=4)] = 2
    """Levels below the first."""
    probabilistic: bool = False
    """Learn the scale of a Laplace distribution beside the mean."""
    training: CareTraining = CareTraining()


class Rcan(MethodSection):
    """3D-RCAN (Chen et al. 2021), trained on the pairs."""

    kind: Literal["rcan"]
    """3D-RCAN."""
    groups: PositiveInt = 5
    """Residual groups."""
    blocks: PositiveInt = 3
    """Residual blocks per group."""
    channels: PositiveInt = 32
    """Channels of every convolution."""
    reduction: PositiveInt = 8
    """Factor by which the attention narrows the channels."""
    residual_scaling: PositiveFloat = 1.0
    """Weight of a block's residual."""
    loss: Literal["mae", "mse"] = "mae"
    """Mean absolute or mean squared error."""
    attention: Literal["calibrated", "per_block"] = "calibrated"
    """Pooled vectors fixed on a sample of the data, so that any tiling restores the same, or those
    of each block, as published."""
    training: RcanTraining = RcanTraining()


class RlEstimate(Section):
    """A run of Richardson-Lucy (heavy ball) that a network looks at."""

    iterations: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (25,)
    """Iterations after which it does, ascending; an input channel each."""
    tv_weight: Annotated[float, Field(ge=0)] = 0.0
    """λ of the total variation, as RLTV's; 0 = none."""

    @field_validator("iterations")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)):
            raise PydanticCustomError("tune", "the iterations must ascend; sort them, each once")
        return value


class RlResidual(MethodSection):
    """A network of this project that learns what Richardson-Lucy leaves undone."""

    kind: Literal["rl_residual"]
    """Richardson-Lucy's residual."""
    estimates: Annotated[tuple[RlEstimate, ...], Field(min_length=1)] = (
        RlEstimate(iterations=(8, 25)),
        RlEstimate(iterations=(50,), tv_weight=0.0005),
        RlEstimate(iterations=(50,), tv_weight=0.002),
    )
    """What the network looks at beside the image; it corrects the last estimate of the last run."""
    channels: PositiveInt = 12
    """Channels of the convolutions at full resolution; twice as many at half."""
    biases: bool = False
    """Whether the convolutions have biases. Without, a network that is given twice the counts
    returns twice the counts, whatever the normalisation."""
    training: RlResidualTraining = RlResidualTraining()


class Bundle(MethodSection):
    """A network that was trained before: no training, the bundle's folder is used."""

    kind: Literal["bundle"]
    """An existing bundle."""
    bundle: str
    """Folder with model.keras and model.json; variables are expanded, `{channel}` is the
    channel's name."""


Trained = Rln | NeuroDecon | Care | Rcan | RlResidual


Classical = Rl | Rltv | RlRoughness


Method = Annotated[Classical | Trained | Bundle, Field(discriminator="kind")]


METHOD_KINDS: dict[str, type[Section]] = {
    "rl": Rl,
    "rltv": Rltv,
    "rl_roughness": RlRoughness,
    "rln": Rln,
    "neurodecon": NeuroDecon,
    "care": Care,
    "rcan": Rcan,
    "rl_residual": RlResidual,
    "bundle": Bundle,
}


CLASSICAL = (Rl, Rltv, RlRoughness)


Prior = Literal["tv_weight", "roughness_weight"]


PRIORS: tuple[Prior, ...] = get_args(Prior)
"""Settings of the classical methods that are the λ of a prior."""


def prior_of(method: Section) -> Prior | None:
    """Return the setting that is the λ of a method's prior, or None."""
    return next((name for name in PRIORS if hasattr(method, name)), None)


def is_tuned(method: Section) -> bool:
    """Say whether a method's parameters are searched."""
    return getattr(method, "iterations", None) == "tune"


def is_oracle(method: Section) -> bool:
    """Say whether a method is tuned on the test truth itself, so that it is no competitor."""
    return is_tuned(method) and getattr(method, "tune_on", None) == "test_truth"


def is_automatic(method: Section) -> bool:
    """Say whether a method chooses its iterations from the data as it is prepared."""
    return getattr(method, "iterations", None) == "auto"


def needs_sample(method: Section) -> bool:
    """Say whether preparing a method needs blocks of the data themselves, and so some work."""
    return (
        is_automatic(method)
        or getattr(method, "stopping", "fixed") != "fixed"
        or getattr(method, "tv_weight", None) == "snr"
        or getattr(method, "attention", None) == "calibrated"
        or isinstance(method, Bundle)  # may hold a network whose attention is calibrated
    )


def counts_photons(method: Section) -> bool:
    """Say whether a method's parameters follow from the noise of its input's photons."""
    return (
        (is_tuned(method) and getattr(method, "tune_on", None) == "data")
        or getattr(method, "stopping", None) == "rlgc"
        or getattr(method, "tv_weight", None) == "snr"
    )


def is_trained(method: Section) -> bool:
    """Say whether a method trains a network."""
    return hasattr(method, "training")


def is_network(method: Section) -> bool:
    """Say whether a method restores with a network."""
    return not isinstance(method, CLASSICAL)


def may_use_gpu(method: Section) -> bool:
    """Say whether a method's restorations may use a GPU, and so go to the rules for GPUs."""
    return is_network(method) or getattr(method, "device", "cpu") == "gpu"
