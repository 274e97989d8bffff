"""One optimiser step: on one device or several, in float32 or in mixed precision."""

from collections.abc import Sequence
from typing import Any

from decon3d.errors import UserError
from decon3d.networks.backend import keras, tf
from decon3d.networks.kind import Network, NetworkSection


class Step:
    """Trains a model batch by batch: `step(images, objects)` returns the parts of the loss.

    Several devices split the batch; statistics, losses and the norm of the gradient are those of
    the whole batch, so that the result is that of one device up to rounding. In mixed precision,
    all layers but the last compute in float16, the weights stay float32, and the loss is scaled so
    that small gradients are not lost. A step whose gradient exceeds float16 is skipped and the
    scale halved. In both cases a copy of the model is trained; `model` itself stays float32 on one
    device, and `bring_back` copies the weights to it.

    Parameters
    ----------
    model
        The model to train.
    network
        Its loss and optimiser.
    method
        Its settings.
    crop
        Voxels of a crop (Z, Y, X).
    mixed
        Whether to compute in float16.
    devices
        TensorFlow's names of the devices that split the batch; fewer than two = the default one.

    Attributes
    ----------
    trained
        The model that is trained: `model` or its copy.
    optimizer
        Built, with all its variables.

    Raises
    ------
    UserError
        If the batch cannot be split evenly.
    """

    def __init__(
        self,
        model: keras.Model,
        network: Network,
        method: NetworkSection,
        *,
        crop: tuple[int, int, int],
        mixed: bool = False,
        devices: Sequence[str] = (),
    ) -> None:
        training = method.training
        self._network, self._method, self._model = network, method, model
        several = len(devices) > 1
        if training.batch % max(1, len(devices)):
            raise UserError(
                f"methods.….training.batch: a batch of {training.batch} crops cannot be split "
                f"evenly over {len(devices)} GPUs; give a multiple, or ask for fewer GPUs"
            )
        self._strategy = (
            tf.distribute.MirroredStrategy(list(devices))
            if several
            else tf.distribute.get_strategy()
        )
        self._share = training.batch // max(1, len(devices))
        with self._strategy.scope():
            self.trained = _copy(model, mixed=mixed) if several or mixed else model
            self._outputs = network.training_model(self.trained)
            optimizer = network.optimizer(method)
            optimizer.clipnorm = None
            # Gradients are means over the devices, and the optimiser sums them up.
            clip = training.gradient_clip
            optimizer.global_clipnorm = clip and clip / self._strategy.num_replicas_in_sync
            self._scaled = mixed
            self.optimizer = keras.optimizers.LossScaleOptimizer(optimizer) if mixed else optimizer
            self._weights = self._outputs.trainable_weights
            self.optimizer.build(self._weights)
        shape = (training.batch, *crop)
        self._run = tf.function(
            self._whole_batch,
            input_signature=[
                tf.TensorSpec((*shape, model.input_shape[-1])),
                tf.TensorSpec((*shape, 1)),
            ],
        )

    def __call__(self, images: Any, objects: Any) -> dict[str, tf.Tensor]:
        """Take a step on a batch (N, Z, Y, X, C), float32, network units."""
        return self._run(images, objects)

    def bring_back(self) -> None:
        """Copy the present weights to the plain model."""
        if self.trained is not self._model:
            self._model.set_weights(self.trained.get_weights())

    def _whole_batch(self, images: tf.Tensor, objects: tf.Tensor) -> dict[str, tf.Tensor]:
        parts = self._strategy.run(self._one_device, args=(images, objects))
        return {
            name: self._strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
            for name, value in parts.items()
        }

    def _one_device(self, images: tf.Tensor, objects: tf.Tensor) -> dict[str, tf.Tensor]:
        context = tf.distribute.get_replica_context()
        devices = context.num_replicas_in_sync
        first = context.replica_id_in_sync_group * self._share
        images, objects = (
            tf.slice(t, [first, 0, 0, 0, 0], [self._share, *t.shape[1:]]) for t in (images, objects)
        )
        with tf.GradientTape() as tape:
            outputs = self._outputs(images, training=True)
            outputs = tf.nest.map_structure(lambda t: tf.cast(t, tf.float32), outputs)
            parts = self._network.loss(outputs, images, objects, self._method)
            share = parts["loss"] / devices
            if self._scaled:
                share = self.optimizer.scale_loss(share)
        gradients = tape.gradient(share, self._weights)
        # Summed here, before the norm is clipped and the scale updated; the optimiser sums again.
        whole = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        self.optimizer.apply([gradient / devices for gradient in whole], self._weights)
        return parts


def _copy(model: keras.Model, *, mixed: bool) -> keras.Model:
    """Copy a model with its weights; with mixed precision in all layers but the last."""
    last = {tensor._keras_history.operation.name for tensor in model.outputs}

    def layer_copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if mixed and layer.name not in last:
            config["dtype"] = "mixed_float16"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=layer_copy)
    copy.set_weights(model.get_weights())
    return copy
