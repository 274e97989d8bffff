"""The whole config."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from decon3d.field_types import Name, Section
from decon3d.paths import INSTRUMENTS
from decon3d.phantoms.sections import Phantoms
from decon3d.restoration.sections import Restoration
from decon3d.settings.datasets import Dataset
from decon3d.settings.instruments import Instrument
from decon3d.settings.methods import (
    ORACLE,
    RESERVED_METHODS,
    Method,
    counts_photons,
    is_oracle,
    is_trained,
    is_tuned,
    uses_shipped,
)


class Settings(Section):
    """The whole config."""

    schema_version: Literal[1] = 1
    """Version of this config format."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Seed of all random number generators."""
    require_gpu: bool = True
    """Whether a job that requested a GPU fails if it finds none; false = it uses the CPU."""
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    """Datasets by name."""
    instruments: dict[Name, Instrument] = {}  # noqa: RUF012 (pydantic copies it)
    """Microscopes by name. Each may be in its own file instead, `instruments/<name>.yaml` beside
    the config or in the clone's `config`; paths in that file are relative to its folder."""
    methods: Annotated[dict[Name, Method], Field(min_length=1)]
    """Restoration methods by a name of your choice. The method's `kind` may be left out if the name
    is a kind."""
    phantoms: Phantoms | None = None
    """Simulated pairs. Null = the default phantoms if a method needs training or tuning, else
    none."""
    restoration: Restoration = Restoration()

    @model_validator(mode="after")
    def _names(self) -> "Settings":
        if INSTRUMENTS in self.datasets:
            raise PydanticCustomError(
                "methods",
                "datasets.{name}: results/{name} holds the pages of microscopes; rename the "
                "dataset",
                {"name": INSTRUMENTS},
            )
        taken = RESERVED_METHODS & set(self.methods)
        if taken:
            raise PydanticCustomError(
                "methods",
                "methods.{name}: the report uses this name for its own rows; rename the method",
                {"name": min(taken)},
            )
        for name, method in self.methods.items():
            if is_oracle(method) != name.endswith(ORACLE):
                raise PydanticCustomError(
                    "methods",
                    "methods.{name}: {problem}; rename it",
                    {
                        "name": name,
                        "problem": f"the name of a method with tune_on: test_truth and iterations: "
                        f"tune must end in {ORACLE}"
                        if is_oracle(method)
                        else f"only a method with tune_on: test_truth and iterations: tune may "
                        f"have a name that ends in {ORACLE}",
                    },
                )
        return self

    @model_validator(mode="after")
    def _sources(self) -> "Settings":
        for name, method in self.methods.items():
            chain = [name]
            while (source := self.methods[chain[-1]].source) is not None:
                if source not in self.methods:
                    raise PydanticCustomError(
                        "methods",
                        "methods.{name}.source: unknown method {source}; known: {known}",
                        {
                            "name": chain[-1],
                            "source": repr(source),
                            "known": ", ".join(n for n in self.methods if n != chain[-1])
                            or "no other method",
                        },
                    )
                if source in chain:
                    raise PydanticCustomError(
                        "methods",
                        "methods.{name}.source: {circle} is a cycle; one of these methods must "
                        "start from the raw volumes (source: null)",
                        {"name": name, "circle": " → ".join([*chain, source])},
                    )
                chain.append(source)
            if method.source is not None and counts_photons(method):
                raise PydanticCustomError(
                    "methods",
                    "methods.{name}: tune_on: data, stopping: rlgc and tv_weight: snr need photon "
                    "noise, which restored volumes (source: {source}) no longer have; remove these "
                    "options or `source`",
                    {"name": name, "source": method.source},
                )
        return self

    @model_validator(mode="after")
    def _shipped(self) -> "Settings":
        for name, method in self.methods.items():
            if not uses_shipped(method):
                continue
            for key, field in type(method).model_fields.items():
                fixed = key not in ("kind", "source", "training")
                if fixed and getattr(method, key) != field.get_default():
                    raise PydanticCustomError(
                        "methods",
                        "methods.{name}.{key}: the network that comes with decon3d has fixed "
                        "options; add `training: {braces}` to train another one, or remove this "
                        "key",
                        {"name": name, "key": key, "braces": "{}"},
                    )
        return self

    @model_validator(mode="after")
    def _training_data(self) -> "Settings":
        if self.phantoms is not None and all(d.pairs for d in self.datasets.values()):
            raise PydanticCustomError(
                "methods",
                "phantoms: every dataset has measured pairs, so no phantoms are made; remove this "
                "section",
            )
        return self

    @model_validator(mode="after")
    def _depths(self) -> "Settings":
        measured = [
            f"datasets.{name}.channels.{channel}.psf"
            for name, dataset in self.datasets.items()
            for channel, value in dataset.channels.items()
            if value.psf.source != "theory"
        ]
        for split in ("train", "val", "test") if self.phantoms and measured else ():
            variation = getattr(self.phantoms, split).psf_variation
            if variation and variation.depth_um:
                raise PydanticCustomError(
                    "phantoms",
                    "phantoms.{split}.psf_variation.depth_um: {key} is measured, so the PSF at "
                    "other depths is unknown; vary `width` instead",
                    {"split": split, "key": measured[0]},
                )
        return self

    @model_validator(mode="after")
    def _microscopes(self) -> "Settings":
        drawn = [
            s for s in ("train", "val") if self.phantoms and getattr(self.phantoms, s).microscopes
        ]
        for name, method in self.methods.items():
            if drawn and is_trained(method) and method.source is not None:
                raise PydanticCustomError(
                    "methods",
                    "methods.{name}.source: {source} restores with the dataset's PSF, but every "
                    "volume of phantoms.{split} has its own microscope; remove `source`, or "
                    "phantoms.{split}.microscopes",
                    {"name": name, "source": method.source, "split": drawn[0]},
                )
            tuned_on = is_tuned(method) and getattr(method, "tune_on", None)
            if "val" in drawn and tuned_on and tuned_on not in ("data", "test_truth"):
                raise PydanticCustomError(
                    "methods",
                    "methods.{name}: cannot be tuned on phantoms.val, where every volume has its "
                    "own microscope; set methods.{name}.tune_on: data, or remove "
                    "phantoms.val.microscopes",
                    {"name": name},
                )
        return self

    @property
    def simulated_pairs(self) -> Phantoms | None:
        """The phantoms to make; None if nothing needs them."""
        needed = any(
            is_trained(m) or (is_tuned(m) and getattr(m, "tune_on", "") != "data")
            for m in self.methods.values()
        ) and not all(dataset.pairs for dataset in self.datasets.values())
        return self.phantoms or (Phantoms() if needed else None)

    def has_pairs(self, dataset: str) -> bool:
        """Return whether a dataset has pairs with truth, measured ones or phantoms."""
        return self.datasets[dataset].pairs is not None or self.simulated_pairs is not None
