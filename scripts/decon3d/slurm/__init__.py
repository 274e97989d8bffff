"""What a SLURM cluster offers, and the profile that follows from it."""
