"""The options of the commands of `decon3d.cli`, and what these do beyond one library call."""
