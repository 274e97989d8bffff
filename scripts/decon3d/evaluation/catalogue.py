"""Every metric: its label, the direction that is better, and its limits."""

from decon3d.evaluation import metrics
from decon3d.evaluation.metric import Metric, MetricWithTruth
from decon3d.kinds import find_records

WITH_TRUTH: dict[str, MetricWithTruth] = {
    metric.name: metric
    for metric in sorted(find_records(metrics, "METRIC"), key=lambda m: (m.place, m.name))
}
"""Metrics that compare with the truth: the files of `metrics`, by place and name."""

_ARTIFICIAL = (
    "After a restoration, it is the end of the processed spectrum, which sharpening moves "
    "outwards even without real detail. It is not a physical resolution."
)

DEPENDENT = "the halves are not independent"
"""Part of the `implementation` of a deviance that is not ranked."""

METRICS: dict[str, Metric] = {
    "deviance": Metric(
        "Held-out deviance",
        "",
        "lower",
        4,
        "Half of the photons are restored, blurred again and compared with the other half; photon "
        "noise alone gives about 1 per voxel. It does not measure detail beyond the "
        "microscope's cut-off, and it is measured at half the dose. If the noise of neighbouring "
        "voxels is correlated, it is too small for noisy restorations; then it is not ranked.",
    ),
    "deviance_part": Metric(
        "Held-out deviance of a part",
        "",
        "lower",
        4,
        "The same for a part of 16 × 16 × 16 voxels of a block. The spread of the differences "
        "between two methods over the parts gives their mean its standard error.",
        ranked=False,
        summarised=False,
    ),
    "predicted_error": Metric(
        "Predicted error",
        "",
        "lower",
        4,
        "Squared error of a block within the microscope's pass band, predicted by Stein's risk "
        "for other noise, after the best match of brightness and minus a constant: only "
        "differences between methods are meaningful. It does not measure structure "
        "beyond the cut-off that a prior or a network adds.",
        ranked=False,
        summarised=False,
    ),
    "light": Metric(
        "Light kept",
        "",
        "one",
        3,
        "Light above the background of the re-blurred restoration, divided by that of the image. "
        "A correct total does not mean that the light is in the right place.",
        ranked=False,
    ),
    **WITH_TRUTH,
    "bead_fwhm": Metric(
        "Bead FWHM",
        "µm",
        "lower",
        3,
        "Of bright, isolated, simulated beads with the assumed PSF. Narrow beads prove neither "
        "resolution in dense structure nor a correct PSF.",
    ),
    "bead_shift": Metric(
        "Bead shift",
        "µm",
        "zero",
        4,
        "Mean displacement of simulated beads from their true positions.",
    ),
    "object_slope": Metric(
        "Per-object slope",
        "",
        "one",
        3,
        "Restored against true light of isolated simulated balls over a 20-fold range of "
        "brightness. Between 0.95 and 1.05, brightness stays comparable; dense structure may "
        "behave differently.",
    ),
    "object_exponent": Metric(
        "Per-object exponent",
        "",
        "one",
        3,
        "Slope of the same light in logarithms: 1 = ratios of brightness are preserved, > 1 = dim "
        "objects become dimmer.",
    ),
    "fsc": Metric(
        "FSC resolution",
        "µm",
        "lower",
        3,
        "Detail at which two restorations with independent noise cease to agree (1/7). Structure "
        "that a prior or a network invents in both agrees, too, so it measures noise, not truth.",
        ranked=False,
    ),
    "decorrelation": Metric("Decorrelation", "µm", "lower", 3, _ARTIFICIAL, ranked=False),
    "decorrelation_a0": Metric(
        "Decorrelation A₀",
        "",
        "higher",
        3,
        "Correlation of the image with its normalised spectrum, a measure of the signal-to-noise "
        "ratio. Any smoothing raises it. As published, it includes the image's mean, so it "
        "depends on the background and the camera's offset.",
        ranked=False,
    ),
    "rsp": Metric(
        "SQUIRREL RSP",
        "",
        "higher",
        4,
        "Correlation of the restoration, blurred again by a fitted Gaussian, with the raw image. "
        "The raw image itself has 1, so do not rank by it alone.",
        ranked=False,
    ),
    "rse": Metric(
        "SQUIRREL RSE",
        "counts",
        "lower",
        2,
        "Root mean square difference after the same fit, including noise. The raw image itself "
        "has 0, so do not rank by it alone.",
        ranked=False,
    ),
    "asm": Metric(
        "ASM",
        "",
        "higher",
        3,
        "Uniformity of neighbouring grey levels: less noise raises it, and so does any blur. Read "
        "it together with sharpness.",
        ranked=False,
    ),
    "consistency_flagged": Metric(
        "Inconsistent voxels",
        "",
        "lower",
        5,
        "Share of voxels where the re-blurred restoration differs from the raw image by 5 σ or "
        "more. It cannot prove that a restoration is correct, since it does not measure detail "
        "below the microscope's cut-off. A slightly sharpened raw image is consistent, too.",
        ranked=False,
    ),
    "not_verifiable": Metric(
        "Not verifiable",
        "",
        "lower",
        4,
        "Share of the restored energy at frequencies that the microscope does not pass, so no raw "
        "image can confirm or contradict it. Real sharp edges are part of it, too.",
        ranked=False,
    ),
    "auc_added": Metric(
        "Map's AUC, added spots",
        "",
        "higher",
        3,
        "How well the consistency map detects spots of signal-to-noise ratio 8 that were planted "
        "into restored phantoms: 1 = always, 0.5 = not at all. A property of the map, not of the "
        "method.",
        ranked=False,
    ),
    "auc_lateral": Metric(
        "Map's AUC, spots doubled",
        "",
        "higher",
        3,
        "The same for spots doubled below the resolution: about 0.5, not verifiable.",
        ranked=False,
    ),
    "auc_axial": Metric(
        "Map's AUC, patches doubled along Z",
        "",
        "higher",
        3,
        "The same for patches doubled along Z below the axial resolution: about 0.5, not "
        "verifiable.",
        ranked=False,
    ),
    "staircase": Metric(
        "Flat voxels",
        "",
        "lower",
        4,
        "Share of bright foreground voxels whose gradient is below a tenth of the median. Many "
        "more than in Richardson-Lucy's estimate mean that smooth structure became flat patches "
        "with steps between them. Real flat pieces smaller than the PSF look the same.",
        ranked=False,
    ),
    "staircase_rl": Metric(
        "Flat voxels of RL",
        "",
        "lower",
        4,
        "The same share in Richardson-Lucy's estimate of 15 iterations, unchanged and smoothed by "
        "up to 2 σ of the PSF; the largest value estimates the object's own. From 1 %, the object "
        "counts as flat, and a staircase cannot be detected.",
        ranked=False,
        summarised=False,
    ),
    "dark_objects": Metric(
        "Objects in dark noise",
        "",
        "lower",
        0,
        "Places above 5 σ after pure dark noise was restored and blurred again; there should be "
        "none. Specks that are too faint or too small to be visible in an image are not counted.",
        ranked=False,
    ),
    "dark_specks": Metric(
        "Specks in dark noise",
        "σ",
        "lower",
        1,
        "The brightest 0.01 % of the voxels after pure dark noise was restored, in σ of the raw "
        "noise. An empty raw image has about 4. It does not measure specks near structure.",
        ranked=False,
    ),
    "dark_peak": Metric(
        "Highest place in dark noise",
        "σ",
        "lower",
        1,
        "Of the same, in σ of the raw noise under a filter as wide as the PSF. An empty raw image "
        "has about 4.",
        ranked=False,
    ),
}
"""All metrics, in the order of the tables."""

VOXELWISE = ("psnr", "ssim", "nrmse")
"""Metrics that compare voxels with a truth, raw and after an affine match."""
