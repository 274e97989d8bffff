"""Networks by the name of their kind."""

from decon3d.errors import UserError
from decon3d.kinds import find_kinds
from decon3d.networks import kinds
from decon3d.networks.kind import Network

NETWORKS: dict[str, Network] = find_kinds(kinds)


def network(kind: str) -> Network:
    """Return the network called `kind`.

    Raises
    ------
    UserError
        If there is none.
    """
    if kind not in NETWORKS:
        raise UserError(f"Unknown network kind {kind!r}; known: {', '.join(NETWORKS)}")
    return NETWORKS[kind]
