"""Networks of every kind, made narrow and with random weights, as bundles."""

import keras
import numpy as np

from decon3d.networks.bundle import write_bundle
from decon3d.networks.geometry import halo_and_stride
from decon3d.networks.kinds import care, densedecon, neurodecon, rcan, rln
from decon3d.networks.layers import global_means
from support.records import bundle_info

BUILD = {
    "rln": rln.build,
    "care": care.build,
    "neurodecon": neurodecon.build,
    "densedecon": densedecon.build,
    "rcan": lambda: rcan.build(groups=2, blocks=1, channels=16, reduction=4),
}


def narrow(model, factor):
    """Divide the channels of all convolutions, but not those that hand out a single one."""
    config = model.get_config()
    for layer in config["layers"]:
        layer.pop("build_config", None)  # the shapes of the weights
        if "filters" in layer["config"]:
            layer["config"]["filters"] = max(1, layer["config"]["filters"] // factor)
    return keras.Model.from_config(config)


def small(kind):
    """A network of a kind whose normalisations have seen something."""
    keras.utils.set_random_seed(1)
    model = BUILD[kind]()
    if kind in ("care", "neurodecon"):
        model = narrow(model, 8)
    rng = np.random.default_rng(2)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            drawn = [rng.uniform(*limits, shape) for limits in ((0.5, 1), (0, 0.3), (0, 0.3))]
            layer.set_weights([*drawn, rng.uniform(0.5, 2, shape)])
    return model


def identity():
    """A network that does nothing."""
    image = keras.Input((None, None, None, 1))
    return keras.Model(image, keras.layers.Rescaling(1.0)(image))


def write(folder, model, kind, **changes):
    """Write a network as a bundle, with changed records."""
    halo, stride = halo_and_stride(model)
    of_network = {"halo": halo, "stride": stride, "global_means": bool(global_means(model))}
    info = vars(bundle_info(kind=kind, **of_network, **changes))
    made_here = ("schema_version", "versions", "model_sha256", "weights_sha256")
    given = {k: v for k, v in info.items() if not k.startswith("_") and k not in made_here}
    return write_bundle(folder, model, **given)


def write_rcan(folder, **changes):
    """Write a small RCAN as a bundle, with changed records."""
    keras.utils.set_random_seed(1)
    options = {"groups": 1, "blocks": 1, "channels": 4, "reduction": 2}
    write(folder, rcan.build(**options), "rcan", options=options, **changes)
