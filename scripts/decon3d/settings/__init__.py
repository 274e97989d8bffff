"""The config as validated, immutable settings: every rule of the config lives here, once.

`load_settings` checks everything at once and raises one `ConfigError` that lists all problems.
The JSON schema in `workflow/schemas` is generated from these classes. Lengths are micrometres,
triples are in the order Z, Y, X.
"""

from decon3d.settings.config import Restoration, Settings
from decon3d.settings.datasets import Dataset, MeasuredPairs, Preview, Simulation, VolumeEntry
from decon3d.settings.duplicates import check_config_files
from decon3d.settings.explain import inner_model
from decon3d.settings.files import bundle_path, expand_path, listed_files, path_problem
from decon3d.settings.instruments import (
    BeadStack,
    CameraFrames,
    Instrument,
    InstrumentChannel,
    Objective,
)
from decon3d.settings.loading import load_settings
from decon3d.settings.methods import (
    METHOD_KINDS,
    ORACLE,
    Bundle,
    Care,
    NeuroDecon,
    Rcan,
    Rl,
    RlEstimate,
    Rln,
    RlResidual,
    Rltv,
    Trained,
    is_automatic,
    is_network,
    is_oracle,
    is_trained,
    is_tuned,
    may_use_gpu,
    needs_sample,
)
from decon3d.settings.microscope import (
    Aberrations,
    BeadsPsf,
    Camera,
    Channel,
    FilePsf,
    Normalisation,
    Optics,
    Sted,
    TheoryPsf,
)
from decon3d.settings.phantoms import ObjectFile, Phantoms, PsfVariation, Split
from decon3d.settings.profiles import instrument_folders, with_files
from decon3d.settings.training import (
    CareTraining,
    NeuroDeconTraining,
    RcanTraining,
    RlnTraining,
    RlResidualTraining,
    Training,
)
from decon3d.settings.values import NAME, RECIPES, RESERVED_METHODS, Section

__all__ = [
    "METHOD_KINDS",
    "NAME",
    "ORACLE",
    "RECIPES",
    "RESERVED_METHODS",
    "Aberrations",
    "BeadStack",
    "BeadsPsf",
    "Bundle",
    "Camera",
    "CameraFrames",
    "Care",
    "CareTraining",
    "Channel",
    "Dataset",
    "FilePsf",
    "Instrument",
    "InstrumentChannel",
    "MeasuredPairs",
    "NeuroDecon",
    "NeuroDeconTraining",
    "Normalisation",
    "ObjectFile",
    "Objective",
    "Optics",
    "Phantoms",
    "Preview",
    "PsfVariation",
    "Rcan",
    "RcanTraining",
    "Restoration",
    "Rl",
    "RlEstimate",
    "RlResidual",
    "RlResidualTraining",
    "Rln",
    "RlnTraining",
    "Rltv",
    "Section",
    "Settings",
    "Simulation",
    "Split",
    "Sted",
    "TheoryPsf",
    "Trained",
    "Training",
    "VolumeEntry",
    "bundle_path",
    "check_config_files",
    "expand_path",
    "inner_model",
    "instrument_folders",
    "is_automatic",
    "is_network",
    "is_oracle",
    "is_trained",
    "is_tuned",
    "listed_files",
    "load_settings",
    "may_use_gpu",
    "needs_sample",
    "path_problem",
    "with_files",
]
