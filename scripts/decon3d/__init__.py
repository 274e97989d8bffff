"""decon3d: restoration of three-dimensional fluorescence volumes, with a report.

The packages follow the data: `optics` → `phantoms` → `networks` and `training`, `classical` →
`restoration` → `evaluation` → `report`; `volumes` and `settings` serve all of them. Axis order
is Z Y X everywhere (T C Z Y X for whole acquisitions), lengths are in micrometres.
"""

__version__ = "0.1.0"
