"""Means over a batch that several devices share: each holds a part and needs the mean of all."""

from __future__ import annotations

from decon3d.networks.backend import tf


def shared() -> bool:
    """Say whether this computation is one device's share of a larger batch."""
    context = tf.distribute.get_replica_context()
    return context is not None and context.num_replicas_in_sync > 1


def mean_over_replicas(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """Average over the devices, each of which has as many elements; differentiable."""
    if not shared():
        return values
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, values)


def batch_mean(x: tf.Tensor) -> tf.Tensor:
    """Average all elements of the whole batch, whichever devices hold it."""
    return mean_over_replicas([tf.reduce_mean(x)])[0]
