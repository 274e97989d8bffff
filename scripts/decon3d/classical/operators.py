"""The image as a blurred object: forward operator, its adjoint and the boundary weights.

A microscope's image is a linear, not a circular convolution, and light from beyond the image's
faces reaches it. So the object is estimated on a domain that is larger than the image by the
PSF's half-width on each side, and the image is the part of the convolution that needs nothing
from outside. Object voxels that the image sees only in part get their due weight (Bertero &
Boccacci 2005, "A simple method for the reduction of boundary effects in the Richardson-Lucy
approach to image deconvolution", A&A 437, 369).
"""

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decon3d.classical.device import CPU, Device
from decon3d.classical.light import neighbourhood
from decon3d.classical.slabs import Slabs
from decon3d.errors import UserError

FloatArray = NDArray[np.float32]
Shape = tuple[int, int, int]
SlabUse = Callable[[slice, FloatArray], None]
"""What is done with the values of a slab of planes (Z), while they are in the cache."""
Comparison = Callable[[slice, FloatArray], FloatArray]
"""The same, where other values follow from them."""

LEAST_SEEN = 0.01
"""Object voxels that send no more than this share of their light to the image stay 0."""


class Blur:
    """The forward model of one image shape: y = Hx, and Hᵀ.

    Both products go by FFT, in single precision, on fast lengths ≥ N + P - 1, so that nothing
    wraps around. The transforms leave out rows and planes that are zero or not wanted, which
    saves a third of the work. One `Blur` holds the OTF and one spectrum; its products must not
    run at the same time. Blocks of one shape share it.

    Parameters
    ----------
    shape
        Shape of the image (Z Y X), in voxels.
    psf
        Point spread function (Z Y X) on the image's grid: odd sizes, the centre in the middle
        voxel, not negative, sum 1. It may be larger than the image.
    back
        Kernel of the back projection in place of the PSF (same shape, sum 1; may be negative
        somewhere): `adjoint` is then not Hᵀ, see `back_projectors`.
    threads
        Threads of the transforms, on the CPU.
    device
        Where to compute. Images and objects are arrays of this device.

    Attributes
    ----------
    psf
        As given, float32, sum 1.
    shape
        Shape of the image.
    object_shape
        Shape of the object's domain, N + P - 1.
    inside
        Where the image lies in the object's domain: slices of Z, Y, X.
    neighbourhood, wide_neighbourhood
        What local means are taken over (Z, Y, X), in voxels; see `light`.
    device
        As given.
    slabs
        The threads, for work on arrays of this model.

    Raises
    ------
    UserError
        If the PSF is not as described.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        psf: ArrayLike,
        back: FloatArray | None = None,
        threads: int = 1,
        device: Device = CPU,
    ) -> None:
        psf = checked_psf(psf)
        p = psf.shape
        self.psf = psf
        self.shape = shape
        self.object_shape: Shape = (shape[0] + p[0] - 1, shape[1] + p[1] - 1, shape[2] + p[2] - 1)
        self.inside = tuple(slice(m // 2, m // 2 + n) for n, m in zip(shape, p, strict=True))
        self.neighbourhood = neighbourhood(psf)
        self.wide_neighbourhood = neighbourhood(psf, 3)
        self.device = device
        self.slabs = Slabs(threads) if device.is_host else Slabs(whole=True)
        self._lengths = [
            device.fft.next_fast_len(n, real=axis == 2) for axis, n in enumerate(self.object_shape)
        ]
        self._otf = self._spectrum(psf)
        self._back_otf = self._otf if back is None else self._spectrum(back)
        self._spectra = device.xp.empty((self.object_shape[0], *self._otf.shape[1:]), np.complex64)

    def _spectrum(self, kernel: FloatArray) -> NDArray[np.complex64]:
        # With the PSF's *last* voxel at the origin, the image is the corner [0, N) of the
        # circular convolution and the object the corner [0, N + P - 1): all padding is behind.
        p = kernel.shape
        padded = self.device.xp.zeros(self._lengths, np.float32)
        padded[: p[0], : p[1], : p[2]] = self.device.put(kernel)
        padded = np.roll(padded, [1 - m for m in p], axis=(0, 1, 2))
        return self._transform(padded)

    def _transform(self, padded: FloatArray) -> NDArray[np.complex64]:
        workers = {"workers": self.slabs.threads} if self.device.is_host else {}
        return self.device.fft.rfftn(padded, **workers)

    @property
    def lengths(self) -> Shape:
        """Lengths of the transforms (Z, Y, X), at least the object's domain."""
        z, y, x = self._lengths
        return z, y, x

    @property
    def power(self) -> FloatArray:
        """|OTF|² on the transforms' frequencies (Z, Y, half of X), float32."""
        return self._otf.real**2 + self._otf.imag**2

    def spectrum(self, values: FloatArray) -> NDArray[np.complex64]:
        """Transform an array (Z Y X), at most of `lengths`, with zeros behind it."""
        padded = self.device.xp.zeros(self._lengths, np.float32)
        padded[tuple(slice(0, n) for n in values.shape)] = values
        return self._transform(padded)

    def forward(self, x: FloatArray) -> FloatArray:
        """Blur an object (Z Y X, `object_shape`, float32) into an image (`shape`, float32)."""
        return self._product(x, self.object_shape, self.shape, adjoint=False)

    def adjoint(self, y: FloatArray) -> FloatArray:
        """Return Hᵀy on the object's domain, for an image y (Z Y X, `shape`, float32).

        It multiplies by conj(OTF); a flipped PSF in a padded array is easily a voxel off.
        """
        return self._product(y, self.shape, self.object_shape, adjoint=True)

    @cached_property
    def weights(self) -> FloatArray:
        """Bertero's weights on the object's domain: 1 / Hᵀ1 where Hᵀ1 > 0.01, else 0."""
        return self._weights(self.device.xp.ones(self.shape, np.float32))

    def weights_for(self, seen: FloatArray | None) -> FloatArray:
        """Return the weights 1 / Hᵀm of an image of which only a share m of each voxel was seen.

        Bertero's argument holds for any part of the image that was not seen, not only for what
        lies beyond its faces. `seen` is a NumPy array (Z Y X) of 0 to 1; None = all was seen. The
        weights are on the device.
        """
        return self.weights if seen is None else self._weights(self.device.put(seen))

    def _weights(self, image: FloatArray) -> FloatArray:
        seen = self.adjoint(image)
        seen[seen <= LEAST_SEEN] = np.inf
        return np.reciprocal(seen, out=seen)

    def compared(
        self,
        x: FloatArray,
        *,
        between: Callable[[], None],
        compare: Comparison,
        use: SlabUse,
    ) -> None:
        """Blur an object, compare the image with what was seen, and project that back: Hᵀ r(Hx).

        The image exists slab by slab only. That saves an array and two passes over it.

        Parameters
        ----------
        x
            Object (Z Y X, `object_shape`, float32).
        between
            Called after all of `x` was read: it may overwrite `x`.
        compare
            Called then with each slab of planes of the image and their values, which it may
            overwrite. It returns what to project back.
        use
            Called with each slab of planes of the result, after all comparisons.
        """
        _check_shape(x, self.object_shape)

        def compare_planes(planes: slice) -> None:
            values = compare(planes, self._planes_from_spectra(planes, self.shape))
            self._spectra_from_planes(planes, values)

        length, plane_bytes = self.shape[0], self._lengths[1] * self._row_bytes
        self._to_spectra(x)
        between()
        self._filter(self.object_shape[0], length, self._otf, conjugate=False)
        self.slabs.run(compare_planes, length=length, item_bytes=plane_bytes)
        self._filter(length, self.object_shape[0], self._back_otf, conjugate=True)
        self._from_spectra(self.object_shape, use)

    def _product(
        self, source: FloatArray, given: Shape, wanted: Shape, *, adjoint: bool
    ) -> FloatArray:
        _check_shape(source, given)
        self._to_spectra(source)
        otf = self._back_otf if adjoint else self._otf
        self._filter(given[0], wanted[0], otf, conjugate=adjoint)
        result = self.device.xp.empty(wanted, np.float32)

        def keep(planes: slice, values: FloatArray) -> None:
            result[planes] = values

        self._from_spectra(wanted, keep)
        return result

    def _to_spectra(self, source: FloatArray) -> None:
        """Transform planes along Y and X."""

        def work(planes: slice) -> None:
            self._spectra_from_planes(planes, source[planes])

        plane_bytes = self._lengths[1] * self._row_bytes
        self.slabs.run(work, length=source.shape[0], item_bytes=plane_bytes)

    def _filter(
        self, given: int, wanted: int, otf: NDArray[np.complex64], *, conjugate: bool
    ) -> None:
        """Multiply the spectra of `given` planes by the OTF, and keep `wanted` planes."""
        fft, spectra = self.device.fft, self._spectra
        length_z, length_y, _ = self._lengths

        def work(rows: slice) -> None:
            columns = fft.fft(spectra[:given, rows], n=length_z, axis=0, overwrite_x=True)
            columns *= otf[:, rows].conj() if conjugate else otf[:, rows]
            spectra[:wanted, rows] = fft.ifft(columns, axis=0, overwrite_x=True)[:wanted]

        self.slabs.run(work, length=length_y, item_bytes=length_z * self._row_bytes)

    def _from_spectra(self, wanted: Shape, use: SlabUse) -> None:
        """Transform planes back, and hand them to `use`."""

        def work(planes: slice) -> None:
            use(planes, self._planes_from_spectra(planes, wanted))

        plane_bytes = self._lengths[1] * self._row_bytes
        self.slabs.run(work, length=wanted[0], item_bytes=plane_bytes)

    def _spectra_from_planes(self, planes: slice, values: FloatArray) -> None:
        fft, (_, length_y, length_x) = self.device.fft, self._lengths
        rows = fft.rfft(values, n=length_x, axis=2)
        self._spectra[planes] = fft.fft(rows, n=length_y, axis=1, overwrite_x=True)

    def _planes_from_spectra(self, planes: slice, wanted: Shape) -> FloatArray:
        fft = self.device.fft
        rows = fft.ifft(self._spectra[planes], axis=1, overwrite_x=True)[:, : wanted[1]]
        return fft.irfft(rows, n=self._lengths[2], axis=2)[:, :, : wanted[2]]

    @property
    def _row_bytes(self) -> int:
        """Bytes of a row (X) of the spectra."""
        return 8 * self._spectra.shape[2]


def _check_shape(values: FloatArray, shape: Shape) -> None:
    if values.shape != shape:
        raise ValueError(f"an array of shape {values.shape} where {shape} is needed")


def checked_psf(psf: ArrayLike) -> FloatArray:
    """Return the PSF as float32 with a sum of exactly 1.

    Raises
    ------
    UserError
        If it is not 3D, not of odd sizes, not finite, negative somewhere, or its sum is not 1.
    """
    psf = np.asarray(psf, np.float32)
    if psf.ndim != 3:
        raise UserError(f"the PSF has {psf.ndim} axes; three are needed (Z Y X)")
    if any(size % 2 == 0 for size in psf.shape):
        raise UserError(
            f"the PSF has the shape {psf.shape} (Z Y X); the sizes must be odd, so that its "
            "centre is a voxel: resample it"
        )
    if not np.isfinite(psf).all() or psf.min() < 0:
        raise UserError(
            "the PSF contains negative or non-finite values; remove its background first"
        )
    total = math.fsum(psf.sum(axis=(1, 2), dtype=np.float64))
    if abs(total - 1) > 1e-3:
        raise UserError(f"the PSF sums to {total:.4g}; divide it by its sum")
    return (psf / total).astype(np.float32)
