"""Restoration: one block machine for networks and classical methods alike."""
