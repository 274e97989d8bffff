"""The price of a training before it: steps are timed on random crops."""

from decon3d.networks.bundle import load_bundle
from decon3d.networks.kinds.rcan import Rcan
from decon3d.optics.psf import Psf
from decon3d.training.trial import try_untrained
from support.gaussians import gaussian_psf


def test_the_price_grows_with_the_steps_and_the_stand_in_is_a_bundle(tmp_path):
    method = Rcan.model_validate(
        {
            "kind": "rcan",
            **{"groups": 1, "blocks": 1, "channels": 4, "reduction": 2},
            "training": {"steps": 1000, "batch": 2, "crop": [8, 8, 8]},
        }
    )
    psf = Psf(gaussian_psf(), (0.3, 0.1, 0.1))
    seconds = try_untrained(tmp_path, method, psf=psf, shape=(16, 16, 16), threads=1)
    per_crop = seconds / 2000
    assert 1e-4 < per_crop < 5
    model, info = load_bundle(tmp_path)
    assert info.trained_on.law == "untrained" and model.input_shape[-1] == info.input_channels
