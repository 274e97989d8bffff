"""Published losses of the networks. Tensors are N Z Y X C in network units.

Where several devices share a batch, each computes its own losses and their mean is taken. That is
the loss of the whole batch wherever it is a mean; what comes after a mean (a logarithm, a root)
needs `batch_mean`.
"""

from __future__ import annotations

from decon3d.networks.backend import tf
from decon3d.networks.replicas import batch_mean

AUXILIARY_WEIGHT = 0.1
FLOOR = 1e-4
WINDOW_RADIUS, WINDOW_SIGMA = 5, 1.5


def global_ssim(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Structural similarity from one mean, variance and covariance over the whole batch.

    RLN's own measure (Li et al. 2022), not the windowed SSIM of Wang et al. 2004: constants
    1e-4 and 9e-4 for values of order 1.
    """
    mean_a, mean_b = batch_mean(a), batch_mean(b)
    variance_a = batch_mean(tf.square(a - mean_a))
    variance_b = batch_mean(tf.square(b - mean_b))
    covariance = batch_mean((a - mean_a) * (b - mean_b))
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


def hessian(x: tf.Tensor) -> tf.Tensor:
    """NeuroDecon's smoothness: sqrt of the mean squared second differences (N Z Y X C).

    sqrt(mean(dzz² + dyy² + dxx² + 2 dzy² + 2 dzx² + 2 dyx²) + 2.5e-5), over the voxels where all
    differences exist (Sachuk et al. 2025).
    """

    def second(a: int, b: int) -> tf.Tensor:
        return _difference(_difference(x, a), b)

    shape = tf.shape(x)
    common = [shape[axis] - 2 for axis in (1, 2, 3)]

    def cut(values: tf.Tensor) -> tf.Tensor:
        return values[:, : common[0], : common[1], : common[2]]

    total = tf.add_n([tf.square(cut(second(a, a))) for a in (1, 2, 3)])
    total += 2 * tf.add_n([tf.square(cut(second(a, b))) for a, b in ((1, 2), (1, 3), (2, 3))])
    return tf.sqrt(batch_mean(total) + 2.5e-5)


def _difference(x: tf.Tensor, axis: int) -> tf.Tensor:
    first = [slice(None)] * 5
    then = [slice(None)] * 5
    first[axis], then[axis] = slice(None, -1), slice(1, None)
    return x[tuple(then)] - x[tuple(first)]


def windowed_ssim(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Structural similarity in 3D (Wang et al. 2004) with a Gaussian window, mean over voxels.

    Window 11³, σ 1.5; constants 0.01² and 0.03² for values of order 1 (N Z Y X, one channel);
    only where the window fits. Along an axis of fewer than 11 voxels it is cut to the largest odd
    length that fits.
    """
    radii = [min(WINDOW_RADIUS, (n - 1) // 2) for n in b.shape[1:4]]

    def smooth(x: tf.Tensor) -> tf.Tensor:
        for axis, radius in enumerate(radii):
            window = tf.exp(-tf.square(tf.range(-radius, radius + 1.0)) / (2 * WINDOW_SIGMA**2))
            shape = [1] * 5
            shape[axis] = 2 * radius + 1
            weights = tf.reshape(window / tf.reduce_sum(window), shape)
            x = tf.nn.conv3d(x, weights, [1] * 5, "VALID")
        return x

    mean_a, mean_b = smooth(a), smooth(b)
    variance_a = smooth(a * a) - mean_a**2
    variance_b = smooth(b * b) - mean_b**2
    covariance = smooth(a * b) - mean_a * mean_b
    ratio = ((2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)) / (
        (mean_a**2 + mean_b**2 + 1e-4) * (variance_a + variance_b + 9e-4)
    )
    return tf.reduce_mean(ratio)


def laplace(mean: tf.Tensor, scale: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
    """Negative log likelihood of a Laplace distribution: mean(|μ − y| / σ + ln σ + ln 2)."""
    return tf.reduce_mean(tf.abs(mean - truth) / scale + tf.math.log(scale) + tf.math.log(2.0))
