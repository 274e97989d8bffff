"""The paths of all outputs below the working directory.

Every function takes names and returns a path relative to the working directory; called with
the `{wildcard}` itself it returns the pattern that the workflow's rules use.
"""

INDEX = "results/index.html"
"""Links the pages of all datasets."""

PARTIAL_REPORT = "logs/partial_report.txt"
"""Time of the last pages made after an error: an input of the pages' rules."""

RUN_LOG = "logs/run.log"
"""What Snakemake and the jobs of `decon3d run` print."""

LOCKS = ".snakemake/locks"
"""Folder of Snakemake's locks; empty unless a run works here, or was killed."""


def psf(dataset: str, channel: str) -> str:
    """PSF on the image's grid (`psf.json` lies beside it)."""
    return f"results/{dataset}/psf/{channel}/psf.tif"


def simulated(dataset: str, volume: str) -> str:
    """A simulated volume."""
    return f"results/{dataset}/simulated/{volume}.ome.tif"


def simulated_truth(dataset: str, volume: str) -> str:
    """The truth of a simulated volume, in counts."""
    return f"results/{dataset}/simulated/{volume}.truth.ome.tif"


def ingested(dataset: str, volume: str, source: str | None = None) -> str:
    """Description of an ingested volume: path of its OME-Zarr, axes, histograms.

    Of the volume restored by the method `source`, if another method starts from it.
    """
    folder = "ingest" if source is None else f"after/{source}/ingest"
    return f"results/{dataset}/{folder}/{volume}.json"


def camera_maps(dataset: str) -> str:
    """A camera's pixels, measured from its dark and flat frames (arrays: `.npz` beside it)."""
    return f"results/{dataset}/camera/maps.json"


INSTRUMENTS = "instruments"
"""Folder in `results` of the measurements of microscopes; no dataset has this name."""


def instrument_page(instrument: str) -> str:
    """The page of a microscope."""
    return f"results/{INSTRUMENTS}/{instrument}.html"


def instrument_beads(instrument: str, objective: str, day: str, channel: str) -> str:
    """Measurements of one channel in a dated bead stack."""
    return f"results/{INSTRUMENTS}/{instrument}/beads/{objective}/{day}.{channel}.json"


def instrument_camera(instrument: str, day: str) -> str:
    """Calibration by the camera's frames of a day."""
    return f"results/{INSTRUMENTS}/{instrument}/camera/{day}.json"


def statistics(dataset: str, channel: str, source: str | None = None) -> str:
    """Statistics and normalisation of a channel over all volumes and time points."""
    folder = "statistics" if source is None else f"after/{source}/statistics"
    return f"results/{dataset}/{folder}/{channel}.json"


def phantoms(dataset: str, channel: str, split: str, source: str | None = None) -> str:
    """Store of one split of the pairs: phantoms or measured, their images restored by `source`."""
    folder = f"training/{channel}" if source is None else f"after/{source}/training/{channel}"
    return f"results/{dataset}/{folder}/{split}.zarr"


def measured_pairs(dataset: str, channel: str) -> str:
    """Registration, matching and split of a channel's measured pairs."""
    return f"results/{dataset}/training/{channel}/pairs.json"


def likeness(dataset: str, channel: str) -> str:
    """Similarity of a channel's test phantoms and data."""
    return f"results/{dataset}/likeness/{channel}.json"


def model(dataset: str, channel: str, method: str) -> str:
    """Folder of a trained network's bundle."""
    return f"results/{dataset}/models/{channel}/{method}"


def tuning(dataset: str, channel: str, method: str) -> str:
    """Outcome of a parameter search."""
    return f"results/{dataset}/tuning/{channel}/{method}.json"


def prepared(dataset: str, channel: str, method: str) -> str:
    """A restorer's state for one channel (arrays: `.npz` beside it)."""
    return f"results/{dataset}/prepared/{channel}/{method}.json"


def plan(dataset: str, method: str) -> str:
    """The plan of a restoration."""
    return f"results/{dataset}/plans/{method}.json"


def part(dataset: str, method: str, part: str | int) -> str:
    """Marker of a finished part (progress: `.progress` beside it)."""
    return f"results/{dataset}/parts/{method}/{part}.json"


def restored(dataset: str, volume: str, method: str) -> str:
    """A restored volume, OME-Zarr 0.5."""
    return f"results/{dataset}/restored/{volume}/{method}.ome.zarr"


def restored_phantoms(dataset: str, channel: str, method: str) -> str:
    """The phantoms' test split, restored."""
    return f"results/{dataset}/restored_phantoms/{channel}/{method}.zarr"


def noise(dataset: str, channel: str) -> str:
    """The measured noise of a channel's raw counts."""
    return f"results/{dataset}/noise/{channel}.json"


def psf_fit(dataset: str, channel: str) -> str:
    """Whether the PSF fits the raw data of a channel."""
    return f"results/{dataset}/psf_fit/{channel}.json"


def consistency(dataset: str, volume: str, method: str) -> str:
    """The consistency map of a restored volume, OME-Zarr 0.5."""
    return f"results/{dataset}/consistency/{volume}/{method}.ome.zarr"


def consistency_record(dataset: str, method: str) -> str:
    """Results of a method's consistency maps: scale, shares, worst places."""
    return f"results/{dataset}/consistency/{method}.json"


def stability(dataset: str, method: str) -> str:
    """How much a method's result changes between two halves of the photons, per channel."""
    return f"results/{dataset}/evaluation/{method}/stability.npz"


def evaluation(dataset: str, method: str, kind: str) -> str:
    """Metric records of a method.

    Kind: `phantoms`, `volumes`, `sample` or `consistency`.
    """
    return f"results/{dataset}/evaluation/{method}/{kind}.json"


def table(dataset: str, name: str) -> str:
    """A report table, CSV (see `report.tables.write_tables`), or `summary.html`."""
    return f"results/{dataset}/tables/{name}"


def figures(dataset: str) -> str:
    """Folder of the figures."""
    return f"results/{dataset}/figures"


def finished(dataset: str, method: str) -> str:
    """Marker of a method's complete volumes, with seam indices and clipped voxels."""
    return f"results/{dataset}/finished/{method}.json"


def report(dataset: str) -> str:
    """The dataset's page."""
    return f"results/{dataset}/report.html"


def volume_page(dataset: str, volume: str) -> str:
    """A page of one volume, made on request."""
    return f"results/{dataset}/volumes/{volume}.html"


def card(dataset: str) -> str:
    """A dataset's entry in the index: its summary, the recommendations and a picture."""
    return f"results/{dataset}/report.json"


def preview(dataset: str) -> str:
    """The page of a dataset's preview."""
    return f"results/{dataset}/preview.html"


def preview_costs(dataset: str) -> str:
    """The costs on this page, as a record."""
    return f"results/{dataset}/preview.json"


def store_marker(store: str) -> str:
    """Return the file that stands for a whole zarr store in the workflow."""
    return f"{store}/zarr.json"
