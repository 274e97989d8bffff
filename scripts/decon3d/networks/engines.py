"""Engines: what computes a network's function. TensorFlow, or OpenVINO on CPUs.

OpenVINO (an optional extra, Apache 2.0) keeps the layout of its convolutions from one to the next
and needs less memory; `make bench BENCH=restoration` compares them. The engine is chosen once, in
the plan: engines round differently, and no part may differ from another.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import UserError
from decon3d.networks.backend import tf

Compiled = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Engine:
    """What computes, and in which precision its convolutions do."""

    name: Literal["tensorflow", "openvino"] = "tensorflow"
    precision: Literal["float32", "bfloat16"] = "float32"

    @property
    def memory(self) -> float:
        """Memory for a block, relative to TensorFlow's in float32."""
        return MEMORY.get((self.name, self.precision), 1.0)


MEMORY = {("openvino", "float32"): 0.65, ("openvino", "bfloat16"): 0.48}
TENSORFLOW = Engine()


def choose_engine(name: str, precision: str, *, gpu: bool) -> Engine:
    """Choose the engine of a plan.

    Parameters
    ----------
    name, precision
        `restoration.engine` (`auto`: OpenVINO where it is installed and the jobs get no GPU) and
        `restoration.precision`.
    gpu
        Whether the jobs ask for a GPU.

    Raises
    ------
    UserError
        If OpenVINO is asked for and is not installed, or the jobs get a GPU.
    """
    installed = find_spec("openvino") is not None
    if name == "auto":
        name = "openvino" if installed and not gpu else "tensorflow"
    elif name == "openvino" and not installed:
        raise UserError(
            "restoration.engine: openvino is not installed; run pip install 'decon3d[openvino]', "
            "or use auto or tensorflow"
        )
    elif name == "openvino" and gpu:
        raise UserError(
            "restoration.engine: openvino only runs on CPUs, but the profile gives the "
            "restorations a GPU; use auto or tensorflow, or remove the GPU from the rule "
            "restore_part_gpu"
        )
    return Engine(name, precision)  # type: ignore[arg-type]


def compiled(
    function: Callable[[tf.Tensor], tf.Tensor], *, channels: int, engine: Engine, threads: int
) -> Compiled:
    """Make an engine's version of a network's function (N Z Y X C to N Z Y X C, float32).

    Parameters
    ----------
    function
        From `inference.inference_function`.
    channels
        Of its input.
    threads
        CPU threads; TensorFlow's are set before (`devices.limit_threads`).
    """
    if engine.name == "openvino":
        return _OpenVino(function, channels, engine.precision, threads)
    return _tensorflow(function, channels)


def _signature(function: Callable[[tf.Tensor], tf.Tensor], channels: int, **options: Any) -> Any:
    spec = tf.TensorSpec((1, None, None, None, channels), tf.float32)
    return tf.function(function, input_signature=[spec], **options)


def _tensorflow(function: Callable[[tf.Tensor], tf.Tensor], channels: int) -> Compiled:
    # XLA fuses on a GPU (tested on a CPU only, where it has no fast convolutions). It compiles for
    # one shape, and a plan's blocks have but one.
    gpu = bool(tf.config.list_logical_devices("GPU"))
    run = _signature(function, channels, jit_compile=gpu)
    return lambda batch: run(batch).numpy()


class _OpenVino:
    """A function on OpenVINO's CPU plugin, compiled for the shape of its last input."""

    def __init__(
        self,
        function: Callable[[tf.Tensor], tf.Tensor],
        channels: int,
        precision: str,
        threads: int,
    ) -> None:
        try:
            # OpenVINO's telemetry sends to the outside and forks inside a thread, after which
            # SciPy's FFT pool hangs. Without this package OpenVINO uses a stub of its own.
            cast(dict[str, Any], sys.modules)["openvino_telemetry"] = None
            import openvino
        except ImportError:
            raise UserError(
                "the plan's engine is openvino, which is not installed here; install it on the "
                "machines of the parts (pip install 'decon3d[openvino]'), or set "
                "restoration.engine: tensorflow"
            ) from None
        self.core = openvino.Core()
        able = self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bfloat16" and "BF16" not in able:
            raise UserError(
                "restoration.precision: this CPU does not support bfloat16; use float32, or run "
                "the parts on nodes that support it (AVX512_BF16 or AMX)"
            )
        concrete = _signature(function, channels).get_concrete_function()
        self.model = openvino.convert_model(concrete)
        self.options = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # Several jobs share a node: none may hold fixed cores.
            "ENABLE_CPU_PINNING": False,
        }
        self.shape: tuple[int, ...] = ()
        self.request: Any = None

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if batch.shape != self.shape:
            self.request = None  # frees what the last shape needed
            self.model.reshape(batch.shape)
            compiled_model = self.core.compile_model(self.model, "CPU", self.options)
            self.request, self.shape = compiled_model.create_infer_request(), batch.shape
        self.request.infer([np.ascontiguousarray(batch)], share_inputs=True)
        return self.request.get_output_tensor(0).data.copy()
