"""Phantoms: objects of a known shape, their images through a PSF and a camera, and stores of both.

`grids`, `objects` and `ellipsoids` hold geometry, `recipes` whole objects by name (`published`,
`broad`, `tubes`, `cells`, `reticulum`, and a user's `own`), `imaging` turns an object into an
image, `variation` gives every volume its own PSF, `stores` makes the splits that networks learn
from, `simulated` whole volumes with their truth, `contact_sheet` the picture of a store.
"""
