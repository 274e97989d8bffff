"""Networks: one file each, found by name, and the bundle that a trained one is kept in.

Importing this package does not import TensorFlow; building or loading a network does.
"""

import os

# Before TensorFlow's first import: its start-up notes would bury our own log.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
