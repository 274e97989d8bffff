"""Published losses of the networks. Tensors are N Z Y X C in network units."""

import tensorflow as tf

AUXILIARY_WEIGHT = 0.1
FLOOR = 1e-4


def global_ssim(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Structural similarity from one mean, variance and covariance over the whole batch.

    RLN's own measure (Li et al. 2022), not the windowed SSIM of Wang et al. 2004: constants
    1e-4 and 9e-4 for values of order 1.
    """
    mean_a, mean_b = tf.reduce_mean(a), tf.reduce_mean(b)
    variance_a = tf.reduce_mean(tf.square(a - mean_a))
    variance_b = tf.reduce_mean(tf.square(b - mean_b))
    covariance = tf.reduce_mean((a - mean_a) * (b - mean_b))
    return ((2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)) / (
        (mean_a**2 + mean_b**2 + 1e-4) * (variance_a + variance_b + 9e-4)
    )


def rln_loss(
    *,
    restored: tf.Tensor,
    first: tf.Tensor,
    image: tf.Tensor,
    truth: tf.Tensor,
    auxiliary: bool = True,
) -> dict[str, tf.Tensor]:
    """RLN's loss (Li et al. 2022).

    mean (P − G)² + 1e-4 − ln((1 + SSIM) / 2) + 0.1 · (mean (e − (0.8 G + 0.2 x))² + 1e-4)

    Parameters
    ----------
    restored
        P, the network's output.
    first
        e, the first estimate before its normalisation.
    image
        x, the network's input.
    truth
        G.
    auxiliary
        Whether the term on e counts.

    Returns
    -------
    dict
        `mse`, `ssim`, `auxiliary` (each as it enters) and their sum, `loss`; scalars.
    """
    parts = {
        "mse": tf.reduce_mean(tf.square(restored - truth)) + FLOOR,
        "ssim": -tf.math.log((1 + global_ssim(restored, truth)) / 2),
    }
    if auxiliary:
        aim = 0.8 * truth + 0.2 * image
        parts["auxiliary"] = AUXILIARY_WEIGHT * (tf.reduce_mean(tf.square(first - aim)) + FLOOR)
    return {"loss": tf.add_n(list(parts.values())), **parts}
