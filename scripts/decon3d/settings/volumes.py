"""The volumes of a dataset, by name."""

from decon3d import paths
from decon3d.errors import ConfigError
from decon3d.settings.datasets import Dataset
from decon3d.volumes.inputs import VolumeSource, find_volumes


def list_volumes(name: str, dataset: Dataset) -> dict[str, VolumeSource]:
    """Resolve `datasets.<name>.volumes` or `simulate` to named volumes, in the config's order.

    Raises
    ------
    ConfigError
        With every name that is unusable or given twice, and every problem of a sheet.
    """
    if dataset.simulate is not None:
        made = {volume: paths.simulated(name, volume) for volume in dataset.simulate}
        return {v: VolumeSource(v, p, paths.simulated_truth(name, v)) for v, p in made.items()}
    assert dataset.volumes is not None
    entries = dataset.volumes if isinstance(dataset.volumes, list) else [dataset.volumes]
    return find_volumes(entries, key=f"datasets.{name}.volumes", each_image=dataset.series is None)


def previewed_volume(name: str, dataset: Dataset, volumes: dict[str, VolumeSource]) -> VolumeSource:
    """Choose the volume that a preview shows: `datasets.<name>.preview.volume`, or the first.

    Parameters
    ----------
    name
        Name of the dataset.
    dataset
        Its section.
    volumes
        From `list_volumes`.

    Raises
    ------
    ConfigError
        If there is no such volume.
    """
    wanted = dataset.preview.volume
    if wanted is None:
        return next(iter(volumes.values()))
    if wanted not in volumes:
        some = ", ".join(list(volumes)[:5]) + (" …" if len(volumes) > 5 else "")
        raise ConfigError(
            [f"datasets.{name}.preview.volume: unknown volume {wanted!r}; known: {some}"]
        )
    return volumes[wanted]
