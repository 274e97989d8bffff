"""Facts about a SLURM cluster, and a profile for it."""
