"""The start of a training from a bundle: the same network with the same inputs, or none."""

from dataclasses import replace

import numpy as np
import pytest

from decon3d.errors import UserError
from decon3d.networks.kind import Estimate
from decon3d.networks.kinds import rl_residual
from decon3d.training.initial_weights import start_from
from support.deconvolution import PSF
from support.small_networks import write

OPTIONS = {"inputs": 3, "channels": 2, "biases": False}
ESTIMATES = (Estimate((0.3, 1.0), 1.0),)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    model = rl_residual.build(**OPTIONS)
    write(
        folder,
        model,
        "rl_residual",
        options=OPTIONS,
        input_channels=3,
        estimates=ESTIMATES,
    )
    return folder, model


def started(folder, estimates):
    model = rl_residual.build(**OPTIONS)
    start_from(
        str(folder), model, kind="rl_residual", options=OPTIONS, psf=PSF, estimates=estimates
    )
    return model


def test_a_network_with_the_same_estimates_gets_the_weights(bundle):
    folder, model = bundle
    for found, given in zip(
        started(folder, ESTIMATES).get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, given)


@pytest.mark.parametrize(
    "change",
    [{"iteration_factors": (0.3, 2.0)}, {"tv_factor": 0.0}],
)
def test_other_estimates_are_refused(bundle, change):
    folder, _ = bundle
    with pytest.raises(UserError, match=r"start_from: .* was trained with estimates .*1\.0"):
        started(folder, [replace(ESTIMATES[0], **change)])
