"""The config as validated, immutable settings, with all rules of the config.

`load_settings` raises one `ConfigError` that lists all problems.
Lengths are micrometres, triples are in the order Z, Y, X.
"""

from decon3d.field_types import NAME, Section
from decon3d.optics.sections import (
    Aberrations,
    BeadsPsf,
    Channel,
    ChannelOptics,
    FilePsf,
    Optics,
    Sted,
)
from decon3d.pairs.sections import MeasuredPairs
from decon3d.phantoms.sections import (
    Microscopes,
    ObjectFile,
    Phantoms,
    PsfVariation,
    Simulation,
    Split,
)
from decon3d.restoration.sections import Restoration
from decon3d.settings.config import Settings
from decon3d.settings.datasets import Dataset, Preview
from decon3d.settings.duplicates import check_config_files
from decon3d.settings.error_messages import inner_model
from decon3d.settings.files import ready_bundle
from decon3d.settings.instrument_defaults import (
    chosen,
    instrument_files,
    instrument_folders,
    read_instrument,
    read_instruments,
    with_files,
)
from decon3d.settings.instruments import (
    UNDATED,
    BeadStack,
    CameraFrames,
    Instrument,
    Objective,
)
from decon3d.settings.loading import load_settings
from decon3d.settings.methods import (
    KINDS,
    METHOD_KINDS,
    ORACLE,
    RESERVED_METHODS,
    Bundle,
    is_automatic,
    is_network,
    is_oracle,
    is_trained,
    is_tuned,
    may_use_gpu,
    needs_sample,
    uses_shipped,
)
from decon3d.settings.volumes import list_volumes, previewed_volume
from decon3d.user_paths import expand_path, path_problem
from decon3d.volumes.inputs import listed_files
from decon3d.volumes.sections import CameraSection, NormalisationSection, VolumeEntry

__all__ = [
    "KINDS",
    "METHOD_KINDS",
    "NAME",
    "ORACLE",
    "RESERVED_METHODS",
    "UNDATED",
    "Aberrations",
    "BeadStack",
    "BeadsPsf",
    "Bundle",
    "CameraFrames",
    "CameraSection",
    "Channel",
    "ChannelOptics",
    "Dataset",
    "FilePsf",
    "Instrument",
    "MeasuredPairs",
    "Microscopes",
    "NormalisationSection",
    "ObjectFile",
    "Objective",
    "Optics",
    "Phantoms",
    "Preview",
    "PsfVariation",
    "Restoration",
    "Section",
    "Settings",
    "Simulation",
    "Split",
    "Sted",
    "VolumeEntry",
    "check_config_files",
    "chosen",
    "expand_path",
    "inner_model",
    "instrument_files",
    "instrument_folders",
    "is_automatic",
    "is_network",
    "is_oracle",
    "is_trained",
    "is_tuned",
    "list_volumes",
    "listed_files",
    "load_settings",
    "may_use_gpu",
    "needs_sample",
    "path_problem",
    "previewed_volume",
    "read_instrument",
    "read_instruments",
    "ready_bundle",
    "uses_shipped",
    "with_files",
]
