"""Training: crops from pairs of volumes, losses, the loop that writes a bundle."""
