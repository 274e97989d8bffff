"""Sphinx settings: `make docs` builds the pages into build/docs."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "docs")]

os.environ["PYTHONPATH"] = str(ROOT / "scripts")  # of the notebook's kernel

import generated  # noqa: E402

from decon3d import __version__  # noqa: E402

project = "decon3d"
author = "The decon3d developers"
copyright = author
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns: list[str] = []
html_theme = "furo"
html_title = f"decon3d {release}"
html_static_path: list[str] = []
html_show_sourcelink = False
html_copy_source = False

# Links to `page.md#heading` are checked.
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

# The notebook is stored without outputs; the build runs it.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_output_stderr = "remove"  # progress bars
nb_execution_timeout = 300

napoleon_google_docstring = False
napoleon_use_rtype = False
maximum_signature_line_length = 80
default_role = "code"
smartquotes = False
# Types of packages whose documentation is not available offline.
nitpick_ignore = [("py:class", "decon3d.optics.psf.Companion")]
nitpick_ignore_regex = [
    (r"py:.*", r"(np|numpy|npt|collections|os|pathlib|typing|Path|ArrayLike).*")
]

generated.write(ROOT / "build" / "docs_generated")
