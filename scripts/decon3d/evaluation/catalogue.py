"""Every metric: how it is called, which way is better, and what it cannot tell."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "one", "zero"]


@dataclass(frozen=True)
class Metric:
    """How to read a metric."""

    label: str
    unit: str
    """Empty for a pure number, which is `1` in `metrics.csv`."""
    better: Better
    """Which way is better: higher, lower, nearer to one, or nearer to zero."""
    digits: int
    caveat: str
    """What it cannot tell, in a sentence or two, for captions and tables."""
    ranked: bool = True
    """Whether methods may be ranked by it."""
    summarised: bool = True
    """Whether summaries list it; else it stands in `metrics.csv` alone."""

    @property
    def higher_is_better(self) -> bool:
        """Whether larger values are better."""
        return self.better == "higher"

    @property
    def target(self) -> str:
        """What is better, in words."""
        if self.better in ("one", "zero"):
            return f"nearer to {'1' if self.better == 'one' else '0'} is better"
        return f"{self.better} is better"

    def badness(self, value: float) -> float:
        """Map a value to a number that is smaller for a better value."""
        if self.better == "higher":
            return -value
        return {"lower": value, "one": abs(value - 1), "zero": abs(value)}[self.better]


_ARTIFICIAL = (
    "After a restoration it tells where the processed spectrum ends, which sharpening moves "
    "outwards whether or not there is anything; it is no physical resolution."
)

DEPENDENT = "the halves are not independent"
"""Stands in the `implementation` of a deviance that ranks nothing."""

METRICS: dict[str, Metric] = {
    "deviance": Metric(
        "Held-out deviance", "", "lower", 4,
        "Half of the photons are restored, blurred again and compared with the other half; about 1 "
        "per voxel is what photon noise leaves. Blind to everything beyond the microscope's "
        "cut-off, and it sees half the dose. Noise that correlates between neighbours makes it "
        "too small, the more so the more of the noise is restored; it ranks nothing there.",
    ),
    "deviance_part": Metric(
        "Held-out deviance of a part", "", "lower", 4,
        "The same for a part of 16 × 16 × 16 voxels of a block. The spread of the differences "
        "between two methods over the parts gives their mean its standard error.",
        ranked=False, summarised=False,
    ),
    "predicted_error": Metric(
        "Predicted error", "", "lower", 4,
        "Squared error within the microscope's pass band that Stein's risk predicts for a block, "
        "after the best match of brightness and less a constant, as it would be with other noise: "
        "only differences between methods mean anything. Blind beyond the cut-off, where a prior "
        "or a network may paint.",
        ranked=False, summarised=False,
    ),
    "light": Metric(
        "Light kept", "", "one", 3,
        "Light above the background of the restoration, blurred again, over that of the image. A "
        "total that is right does not say that the light is where it belongs.",
        ranked=False,
    ),
    "psnr": Metric(
        "PSNR", "dB", "higher", 2,
        "Compares voxels; it does not count invented or missed objects.",
    ),
    "ssim": Metric(
        "SSIM", "", "higher", 3,
        "Saturates on dim images; its window is in voxels. Read it beside NRMSE.",
    ),
    "microssim": Metric(
        "MicroSSIM", "", "higher", 3,
        "SSIM above the background, at the scale that is best for each image, in XY planes: it "
        "does not saturate on dim images, and does not see a wrong scale or offset.",
    ),
    "nrmse": Metric(
        "NRMSE", "", "lower", 3,
        "Compares voxels; as restored it also counts a wrong scale or offset.",
    ),
    "bead_fwhm": Metric(
        "Bead FWHM", "µm", "lower", 3,
        "Of bright, isolated, simulated beads through the assumed PSF. Narrow beads prove neither "
        "resolution in dense structure nor that the PSF is right.",
    ),
    "bead_shift": Metric(
        "Bead shift", "µm", "zero", 4,
        "Mean displacement of simulated beads from their true places.",
    ),
    "object_slope": Metric(
        "Per-object slope", "", "one", 3,
        "Restored against true light of isolated simulated balls over a 20-fold range of "
        "brightness. 0.95 to 1.05 keeps brightness comparable; dense structure may behave "
        "otherwise.",
    ),
    "object_exponent": Metric(
        "Per-object exponent", "", "one", 3,
        "Slope of the same light in logarithms: 1 = ratios of brightness are kept, > 1 = dim "
        "objects are dimmed further.",
    ),
    "fsc": Metric(
        "FSC resolution", "µm", "lower", 3,
        "Where two restorations of independent noise cease to agree (1/7). What a prior or a "
        "network invents alike in both agrees as well, so it bounds noise, not truth.",
        ranked=False,
    ),
    "decorrelation": Metric(
        "Decorrelation", "µm", "lower", 3, _ARTIFICIAL, ranked=False,
    ),
    "decorrelation_a0": Metric(
        "Decorrelation A₀", "", "higher", 3,
        "Correlation of the image with its normalised spectrum, a measure of the signal-to-noise "
        "ratio; any smoothing raises it. As published, it includes the image's mean and so depends "
        "on the background and the camera's offset.",
        ranked=False,
    ),
    "rsp": Metric(
        "SQUIRREL RSP", "", "higher", 4,
        "Correlation of the restoration, blurred again by a fitted Gaussian, with the raw image. "
        "The raw image itself scores 1: never rank by it alone.",
        ranked=False,
    ),
    "rse": Metric(
        "SQUIRREL RSE", "counts", "lower", 2,
        "Root mean square difference after the same fit; noise included. The raw image itself "
        "scores 0: never rank by it alone.",
        ranked=False,
    ),
    "asm": Metric(
        "ASM", "", "higher", 3,
        "Evenness of neighbouring grey levels: less noise raises it, and so does any blur. Read it "
        "beside sharpness.",
        ranked=False,
    ),
    "consistency_flagged": Metric(
        "Inconsistent voxels", "", "lower", 5,
        "Share of voxels where the restoration, blurred again, differs from the raw image by 5 σ "
        "or more. No truth detector: blind below the microscope's cut-off; the raw image blurred "
        "less is consistent, too.",
        ranked=False,
    ),
    "not_verifiable": Metric(
        "Not verifiable", "", "lower", 4,
        "Share of the restored energy at frequencies that the microscope does not pass: no raw "
        "image can confirm or deny it. Sharp edges that are there are of this kind, too.",
        ranked=False,
    ),
    "auc_added": Metric(
        "Map's AUC, added spots", "", "higher", 3,
        "How well the consistency map tells spots of signal-to-noise ratio 8 that were planted "
        "into restored phantoms: 1 = always, 0.5 = not at all. A property of the map, not of the "
        "method.",
        ranked=False,
    ),
    "auc_lateral": Metric(
        "Map's AUC, spots doubled", "", "higher", 3,
        "The same for spots doubled below the resolution: about 0.5, not verifiable.",
        ranked=False,
    ),
    "auc_axial": Metric(
        "Map's AUC, patches doubled along Z", "", "higher", 3,
        "The same for patches doubled along Z below the axial resolution: about 0.5, not "
        "verifiable.",
        ranked=False,
    ),
    "staircase": Metric(
        "Flat voxels", "", "lower", 4,
        "Share of bright foreground voxels whose gradient is below a tenth of the median. Many "
        "more than in Richardson-Lucy's estimate: smooth structure became flat patches with steps "
        "between them. Flat pieces that are smaller than the PSF look the same.",
        ranked=False,
    ),
    "staircase_rl": Metric(
        "Flat voxels of RL", "", "lower", 4,
        "The same of Richardson-Lucy's estimate of 15 iterations, as it is and smoothed by up to "
        "2 σ of the PSF, the largest share: what the object itself has. From 1 % on the object "
        "counts as flat, and no staircase can be told.",
        ranked=False, summarised=False,
    ),
    "dark_objects": Metric(
        "Objects in dark noise", "", "lower", 0,
        "Places above 5 σ after pure dark noise was restored and blurred again; there must be "
        "none. Specks too faint or too small to show in an image do not count.",
        ranked=False,
    ),
    "dark_specks": Metric(
        "Specks in dark noise", "σ", "lower", 1,
        "The brightest 0.01 % of the voxels after pure dark noise was restored, in σ of the raw "
        "noise. A raw image of nothing reaches about 4. It does not see specks near structure.",
        ranked=False,
    ),
    "dark_peak": Metric(
        "Highest place in dark noise", "σ", "lower", 1,
        "Of the same, in σ of the raw noise under a filter as wide as the PSF. A raw image of "
        "nothing reaches about 4.",
        ranked=False,
    ),
}  # fmt: skip
"""In the order of the tables."""

HEADLINE = ("deviance", "nrmse", "bead_fwhm", "object_slope")
"""Metrics of the first table; cost is its fifth figure."""
VOXELWISE = ("psnr", "ssim", "nrmse")
"""Metrics that compare voxels with a truth, raw and after an affine match."""
