"""Classical methods by the name of their kind."""

from decon3d.classical import kinds
from decon3d.classical.kind import ClassicalKind
from decon3d.kinds import find_kinds

CLASSICAL: dict[str, ClassicalKind] = find_kinds(kinds)
