"""Networks, one per file; each defines `METHOD`, a `networks.kind.Network`."""
