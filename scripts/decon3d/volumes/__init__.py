"""Volumes: reading, statistics, normalisation and writing, T C Z Y X."""
