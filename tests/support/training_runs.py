"""A tiny training of RLN."""

from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from decon3d.networks import devices
from decon3d.networks.kinds.rln import Rln, RlnTraining
from decon3d.networks.layers import ChannelMean
from decon3d.networks.registry import network
from decon3d.optics.psf import normalised_psf
from decon3d.training import loop
from decon3d.volumes.camera import Camera

SETTINGS = RlnTraining(
    steps=12, batch=2, crop=(12, 64, 12), validate_every=6, save_every=1, learning_rate=0.02
)


def run(store, folder, seed=1, **training):
    spot = np.zeros((5, 5, 5))
    spot[2, 2, 2] = 1
    loop.train(
        train_store=store,
        val_store=store,
        method=Rln(kind="rln", training=SETTINGS.model_copy(update=training)),
        psf=normalised_psf(gaussian_filter(spot, (1.5, 1, 1)), (0.2, 0.1, 0.1), {}),
        camera=Camera(offset=100),
        seed=seed,
        stream=("d", "c", "rln"),
        folder=folder,
        device=devices.configure(gpus=0, threads=2),
    )


def tiny():
    """Return a network of two layers under RLN's optimiser: the loop is what is tested."""

    def build(**_):
        image = keras.Input((None, None, None, 1))
        x = keras.layers.Conv3D(4, 3, padding="same")(image)
        return keras.Model(image, ChannelMean()(keras.layers.BatchNormalization()(x)))

    def loss(restored, image, truth, method):
        return {"loss": tf.reduce_mean(tf.square(restored - truth))}

    return replace(network("rln"), build=build, training_model=lambda model: model, loss=loss)
