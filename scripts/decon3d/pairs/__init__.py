"""Measured pairs of raw and true volumes as training data: found, registered, matched, split."""
