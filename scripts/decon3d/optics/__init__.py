"""Everything that ends in a PSF on the image's voxel grid.

`build.make_psf` is the entrance: a channel of the config in, a `psf.Psf` out.

- `diffraction`: the light behind one objective, on radii and focus positions.
- `zernike`, `pupil`: aberrations, and the light through a pupil without symmetry.
- `microscope`, `focus`: the product that is a modality's PSF, and the position of its focus.
- `theory`: the microscope's PSF on a voxel grid.
- `measured`: from the image of a bead in a file to a PSF.
- `beads`: from a stack of many beads to a PSF and to the pair (measured bead, ideal bead), with
  `bead_detection`, `bead_rejection`, `bead_average` and `ball`, the bead's own shape.
- `plausibility`, `mismatch`: comparison of a measured PSF with theory.
- `resampling`: other voxel grids, sub-voxel centring, the crop rule.
- `tails`, `pedestal`: light beyond the measured image, and counts without light.
- `chromatic`: the shift between two channels.
- `psf`: the PSF itself, its widths, its files.

One convention for all of them: axes are Z Y X, Z grows with the depth into the specimen, a voxel
holds the PSF integrated over the voxel's volume, sizes are odd, the core's centroid lies in the
middle of the middle voxel, and the sum is 1.
"""
