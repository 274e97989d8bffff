"""Restoration: block-wise processing by networks and classical methods."""
