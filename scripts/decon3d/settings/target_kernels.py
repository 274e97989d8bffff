"""The Gaussian kernel of what a method restores, from the config; without TensorFlow or SciPy."""

from typing import Any

from decon3d.networks.description import load_info
from decon3d.phantoms.sections import TRUTH_SIGMA
from decon3d.settings.config import Settings
from decon3d.settings.files import ready_bundle
from decon3d.settings.methods import is_network, is_trained


def target_kernels(settings: Settings, method: str) -> dict[str, Any] | None:
    """Return the Gaussian of the object that a method restores, and the widest of all methods.

    Richardson-Lucy restores the object itself. A network restores objects like those it was trained
    on: if all of their recipes end in a Gaussian, the object blurred by the narrowest of these.

    Parameters
    ----------
    settings
        The config.
    method
        A name of `settings.methods`, or of the report's own rows.

    Returns
    -------
    dict or None
        `own` and `common`, σ in voxels; None if all methods restore the object itself.
    """
    sigmas = {name: _sigma(settings, name) for name in settings.methods}
    common = max(sigmas.values())
    return {"own": sigmas.get(method, 0.0), "common": common} if common > 0 else None


def _sigma(settings: Settings, name: str) -> float:
    method = settings.methods[name]
    recipes: Any = ()
    if is_trained(method) and settings.simulated_pairs is not None:
        recipes = settings.simulated_pairs.train.recipes
    elif is_network(method):
        channels = {c for dataset in settings.datasets.values() for c in dataset.channels}
        folders = {f for c in sorted(channels) if (f := ready_bundle(method, c))}
        infos = map(load_info, sorted(folders))
        recipes = {r for info in infos for r in info.trained_on.made_as.get("recipes", ("",))}
    return min((TRUTH_SIGMA.get(recipe, 0.0) for recipe in recipes), default=0.0)
