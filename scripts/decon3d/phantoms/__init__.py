"""Phantoms: objects of a known shape, their images through a PSF and a camera, and stores of both.

`objects` holds geometry, `recipes` whole objects by name, `imaging` turns an object into an image,
`stores` makes the splits that networks learn from, `simulated` whole volumes with their truth,
`contact_sheet` the picture of a store.
"""
