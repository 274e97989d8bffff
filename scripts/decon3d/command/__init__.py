"""What the commands of `decon3d.cli` do beyond one call of the library."""
