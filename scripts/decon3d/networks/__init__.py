"""Networks: one file each, found by name, and the bundle that a trained one is kept in.

Importing this package does not import TensorFlow; building or loading a network does.
"""

import os
import sys
from typing import Any, cast

# Before TensorFlow's first import: its start-up notes would bury our own log.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

# OpenVINO's telemetry sends to the outside and forks inside a thread, after which SciPy's FFT pool
# hangs. Without this package OpenVINO uses a stub of its own.
cast(dict[str, Any], sys.modules)["openvino_telemetry"] = None
