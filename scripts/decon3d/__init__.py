"""decon3d: restoration of three-dimensional fluorescence volumes, with a report.

The packages follow the data: `optics` → `phantoms` → `networks` and `training`, `classical` →
`restoration` → `evaluation` → `report`; `volumes` and `settings` serve all of them. Axis order
is Z Y X everywhere (T C Z Y X for whole acquisitions), lengths are in micrometres.

    >>> import decon3d
    >>> decon3d.__all__
    ['Psf', 'UserError', 'deconvolve', 'make_psf', 'restore']

`make_psf`, `deconvolve` and `restore` are the Python interface (`decon3d.api`), `decon3d` is the
command for a shell (`decon3d.cli`).
"""

from typing import TYPE_CHECKING, Any

from decon3d.versions import __version__ as __version__

if TYPE_CHECKING:
    from decon3d.api import deconvolve, make_psf, restore
    from decon3d.errors import UserError
    from decon3d.optics.psf import Psf

__all__ = ["Psf", "UserError", "deconvolve", "make_psf", "restore"]


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used: `import decon3d` stays cheap."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from decon3d import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
