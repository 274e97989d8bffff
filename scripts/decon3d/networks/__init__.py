"""Networks: one file each in `kinds`, found by name, and the bundle that a trained one is kept in.

Importing this package imports no TensorFlow; building or loading a network does.
"""
