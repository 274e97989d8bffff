"""Engines: what computes a network's function. TensorFlow, or OpenVINO on CPUs.

OpenVINO (an optional extra, Apache 2.0) keeps the layout of its convolutions from one to the next
and needs less memory; `make bench BENCH=restoration` compares them. The engine is chosen once, in
the plan: engines round differently, and no part may differ from another.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from decon3d.blocks.geometry import Triple
from decon3d.errors import UserError
from decon3d.logs import log
from decon3d.networks.backend import keras, tf
from decon3d.signals import signal_stack_kept

if TYPE_CHECKING:  # a classical method needs an engine's name, but no Keras
    from decon3d.networks.inference import Function

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


MEMORY = {("openvino", "float32"): 0.45, ("openvino", "bfloat16"): 0.33}
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
    model: keras.Model,
    *,
    halo: Triple,
    vectors: Sequence[NDArray[np.float32]] = (),
    engine: Engine = TENSORFLOW,
    threads: int = 1,
) -> Compiled:
    """Make an engine's version of a network.

    Parameters
    ----------
    model, halo, vectors
        As for `inference.inference_function`.
    engine
        What computes.
    threads
        CPU threads; TensorFlow's are set before (`devices.limit_threads`).

    Returns
    -------
    callable
        Maps a batch of one with its halo, N Z Y X C, float32, to that without.
    """
    if engine.name == "openvino":
        return _OpenVino(model, halo, vectors, engine.precision, threads)
    from decon3d.networks.inference import inference_function

    factors = tf.bfloat16 if engine.precision == "bfloat16" else tf.float32
    # Else GPUs round the factors of float32 convolutions to 10 bits.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    function = inference_function(model, halo=halo, vectors=vectors, precision=factors)
    # XLA fuses on a GPU (tested on a CPU only, where it has no fast convolutions). It compiles for
    # one shape, and a plan's blocks have but one.
    gpu = bool(tf.config.list_logical_devices("GPU"))
    run = _traced(function, model, jit_compile=gpu)
    return lambda batch: run(batch).numpy()


def _traced(function: Function, model: keras.Model, **options: Any) -> Any:
    spec = tf.TensorSpec((1, None, None, None, model.input_shape[-1]), tf.float32)
    return tf.function(function, input_signature=[spec], **options)


class _OpenVino:
    """A network on OpenVINO's CPU plugin, compiled for the shape of its last input."""

    def __init__(
        self,
        model: keras.Model,
        halo: Triple,
        vectors: Sequence[NDArray[np.float32]],
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
        with signal_stack_kept():
            self.core = openvino.Core()
            able = self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bfloat16" and "BF16" not in able:
            raise UserError(
                "restoration.precision: this CPU does not support bfloat16; use float32, or run "
                "the parts on nodes that support it (AVX512_BF16 or AMX)"
            )
        self.options = {
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # Several jobs share a node: none may hold fixed cores.
            "ENABLE_CPU_PINNING": False,
        }
        from decon3d.networks.inference import inference_steps

        self.model, self.halo, self.vectors = model, halo, vectors
        self.steps = inference_steps(model, halo=halo, vectors=vectors)
        self.shape: tuple[int, ...] = ()
        self.request: Any = None

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if batch.shape != self.shape:
            self.request = None  # frees what the last shape needed
            graph = self._graph(batch.shape)
            with signal_stack_kept():
                compiled_model = self.core.compile_model(graph, "CPU", self.options)
            self.request, self.shape = compiled_model.create_infer_request(), batch.shape
        given = np.ascontiguousarray(np.moveaxis(batch, -1, 1))
        self.request.infer([given], share_inputs=True)
        return np.moveaxis(self.request.get_output_tensor(0).data.copy(), 1, -1)

    def _graph(self, shape: tuple[int, ...]) -> Any:
        """Return OpenVINO's model for a shape (N Z Y X C): N C Z Y X to N C Z Y X."""
        from decon3d.networks.folding import NotFoldableError, fold  # needs Keras

        try:
            return fold(self.steps, self.model, shape[1:4], halo=self.halo)
        except NotFoldableError as unknown:
            log.info("the network is not folded: it contains %s", unknown)
        return self._as_it_is(shape)

    def _as_it_is(self, shape: tuple[int, ...]) -> Any:
        import openvino

        from decon3d.networks.inference import inference_function

        function = inference_function(self.model, halo=self.halo, vectors=self.vectors)

        def channels_first(batch: tf.Tensor) -> tf.Tensor:
            return tf.transpose(function(tf.transpose(batch, (0, 2, 3, 4, 1))), (0, 4, 1, 2, 3))

        _, z, y, x, channels = shape
        spec = tf.TensorSpec((1, channels, z, y, x), tf.float32)
        traced = tf.function(channels_first, input_signature=[spec])
        return openvino.convert_model(traced.get_concrete_function())
