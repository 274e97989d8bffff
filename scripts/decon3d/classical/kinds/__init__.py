"""Classical methods, one per file; each defines `METHOD`, a `classical.kind.ClassicalKind`."""
