"""Deconvolution without learning: Richardson-Lucy, two priors, and their fair tuning.

`operators` holds the forward model Hx, its adjoint and the boundary weights; `richardson_lucy`
iterates on them, with momentum and with a prior, `total_variation` or `roughness`; `tuning` finds
the number of iterations and the weight of the prior where the truth is known. Everything is
float32, in counts, on axes Z Y X; nothing wraps around at the faces.
"""
