"""Augmentation of crops: moves that leave the PSF unchanged, and other intensities.

A moved crop is a possible image of a moved specimen if the move leaves the PSF unchanged. Lateral
moves only: along Z, the depth in the specimen breaks the symmetry (spherical aberration), even if
the PSF of one depth is symmetric.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decon3d.optics.psf import Psf

SYMMETRY = 1e-2
"""Largest change of the PSF by an allowed move, as a share of its maximum."""
MOVES = {
    "none": (0, False),
    "turn_90": (1, False),
    "turn_180": (2, False),
    "turn_270": (3, False),
    "flip_x": (0, True),
    "swap": (1, True),
    "flip_y": (2, True),
    "swap_back": (3, True),
}
"""The symmetries of the square: flipped along X or not, then quarter turns from Y to X."""
Shape = tuple[int, int, int]


def moved(volume: NDArray[np.float32], move: str) -> NDArray[np.float32]:
    """Flip and turn a volume laterally.

    Parameters
    ----------
    volume
        (Z, Y, X), float32.
    move
        A key of `MOVES`.

    Returns
    -------
    array of float32, (Z, Y, X)
        A view; odd quarter turns exchange the lengths of Y and X.
    """
    turns, flipped = MOVES[move]
    return np.rot90(volume[..., ::-1] if flipped else volume, turns, (-2, -1))


def turns_over(move: str) -> bool:
    """Return whether a move exchanges Y and X."""
    return MOVES[move][0] % 2 == 1


def symmetries(psf: Psf) -> tuple[str, ...]:
    """Return the names of the moves that leave the PSF unchanged, within 1 % of its maximum.

    Those that exchange Y and X require the same voxel size along both (within 0.1 %).
    """
    _, y, x = psf.data.shape
    widest = max(y, x)
    square = np.pad(psf.data, ((0, 0), *[((widest - n) // 2,) * 2 for n in (y, x)]))
    even_voxels = math.isclose(*psf.voxel_size_um[1:], rel_tol=1e-3)
    limit = SYMMETRY * psf.data.max()
    return tuple(
        move
        for move in MOVES
        if (even_voxels or not turns_over(move))
        and np.abs(square - moved(square, move)).max() <= limit
    )


@dataclass(frozen=True)
class Augmentation:
    """How crops are augmented.

    Attributes
    ----------
    moves
        Names out of `MOVES`, each as likely as the others.
    intensity
        Range of a factor, drawn log-uniformly, for image and object. It scales the noise, too, like
        another gain or normalisation, so the signal-to-noise ratio stays the same.
    """

    moves: tuple[str, ...] = ("none",)
    intensity: tuple[float, float] = (1.0, 1.0)

    def fitting(self, crop: Shape, volume: Shape) -> "Augmentation":
        """Remove the moves whose crop (Z, Y, X) does not fit into the volume."""
        _, y, x = crop
        holds_turned = x <= volume[1] and y <= volume[2]
        moves = tuple(m for m in self.moves if holds_turned or not turns_over(m))
        return Augmentation(moves, self.intensity)

    def draw(self, rng: np.random.Generator) -> tuple[str, np.float32]:
        """Draw a move and a factor."""
        move = self.moves[int(rng.integers(len(self.moves)))]
        low, high = np.log(self.intensity)
        return move, np.float32(np.exp(rng.uniform(low, high)))
