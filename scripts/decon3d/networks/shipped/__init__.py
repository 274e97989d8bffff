"""The trained networks that come with decon3d: a folder (bundle) for each kind that has one.

`python -m decon3d.networks.ship` writes them (`networks.ship`).
"""

from pathlib import Path

from decon3d.user_paths import expand_path

SHIPPED = "shipped"
"""Word in the config for the bundle that comes with decon3d, in place of a folder."""
FOLDER = Path(__file__).parent
VERSION_DIGITS = 12


def shipped_bundle(kind: str) -> Path:
    """Return the folder of the bundle that comes with decon3d for a kind of network.

    It does not exist if there is none for this kind.
    """
    return FOLDER / kind


def bundle_folder(text: str, *, kind: str) -> str:
    """Return the folder that `training.start_from` names.

    Parameters
    ----------
    text
        `shipped`, or a path, in which `~` and environment variables are expanded.
    kind
        The network's.
    """
    return str(shipped_bundle(kind)) if text == SHIPPED else expand_path(text)


def version_of(digest: str) -> str:
    """Shorten a bundle's `model_sha256` to what a methods section calls its version."""
    return digest[:VERSION_DIGITS]
