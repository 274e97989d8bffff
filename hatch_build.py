"""Add the workflow to the wheel: `decon3d run` starts it from there."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TARGET = "decon3d/_workflow"
"""Where `decon3d.command.launch` finds it; the folders keep their places relative to each other."""
PATTERNS = (
    "Snakefile",
    "workflow/**/*",
    "scripts/*.py",
    "profiles/local/config.yaml",
    "profiles/slurm/config.yaml",
    "config/README.md",
    "config/config.yaml",
    "config/demo*.yaml",
    "config/examples/**/*",
    "envs/*.yaml",
)


class WorkflowFiles(BuildHookInterface[Any]):
    """Add the workflow to the wheel; an editable installation uses the clone's."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files; called by hatchling before it builds."""
        if version == "editable":
            return
        root = Path(self.root)
        files = (path for pattern in PATTERNS for path in root.glob(pattern) if path.is_file())
        build_data["force_include"].update(
            {str(path): f"{TARGET}/{path.relative_to(root)}" for path in files}
        )
