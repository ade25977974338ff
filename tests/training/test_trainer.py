from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mobilenet_tf.keras import keras, tf
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.quantization.qat import quantize_for_training, set_mode, set_norms
from mobilenet_tf.recipe import TrainSettings
from mobilenet_tf.training.trainer import Trainer, call_in_parts


def build_small() -> Any:
    keras.utils.set_random_seed(1)
    return build_variant(make_variant("mobilenet_v1", alpha=0.05, resolution_px=32, classes=10))


@pytest.fixture
def images() -> Any:
    return tf.constant(np.random.default_rng(0).uniform(-1, 1, (8, 32, 32, 3)), tf.float32)


def test_each_ghost_batch_is_normalised_by_its_own_images(images: Any) -> None:
    model = build_small()
    logits = call_in_parts(model, images, 2)
    assert logits.shape == (8, 10)
    for part in (slice(0, 4), slice(4, 8)):
        np.testing.assert_allclose(
            logits[part], model(images[part], training=True), rtol=1e-4, atol=1e-5
        )
    assert not np.allclose(logits, model(images, training=True), rtol=1e-2)


@pytest.mark.parametrize("quantized", [False, True])
def test_ghost_batches_keep_as_much_of_the_moving_statistics(images: Any, quantized: bool) -> None:
    kept = []
    for count in (1, 4):
        model = build_small()
        if quantized:
            model = quantize_for_training(model)
            set_mode(model, "observe")
            set_norms(model, live=True)
        (mean,) = [v for v in model.variables if v.name.endswith("conv1_bn/moving_mean:0")]
        mean.assign(tf.fill(mean.shape, 1000.0))  # next to which the images' means are nothing
        call_in_parts(model, images, count)
        kept.append(float(tf.reduce_mean(mean)) / 1000)
    np.testing.assert_allclose(kept[0], kept[1], atol=1e-3)


def test_one_ghost_batch_is_the_batch(images: Any) -> None:
    model = build_small()
    np.testing.assert_array_equal(call_in_parts(model, images, 1), model(images, training=True))


def test_without_live_statistics_a_step_in_parts_is_a_step(images: Any) -> None:
    labels, trained = tf.one_hot(np.arange(8) % 10, 10), []
    for count in (1, 4):
        model = build_small()
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        trainer = Trainer(model, TrainSettings(batch_size=8, ghost_batches=count))
        loss, share = trainer.step(images, labels)
        trained.append([loss, share, *(v.numpy() for v in model.trainable_variables)])
    for whole, in_parts in zip(*trained, strict=True):
        np.testing.assert_allclose(whole, in_parts, rtol=1e-4, atol=1e-6)
