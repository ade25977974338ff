from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mobilenet_tf.keras import keras, tf
from mobilenet_tf.models import batch_norm
from mobilenet_tf.models.batch_norm import BatchNormalization


def train_once(kind: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a training call computes: outputs, gradients, moving statistics."""
    _, height, width, channels = images.shape
    layer = kind(momentum=0.9, epsilon=1e-3)
    layer.build((None, height, width, channels))
    layer.gamma.assign(np.linspace(-1, 2, channels))
    layer.beta.assign(np.linspace(3, -1, channels))
    weights = tf.constant(np.random.default_rng(1).normal(size=images.shape).astype("f4"))

    @tf.function(input_signature=[tf.TensorSpec((None, height, width, channels))])
    def step(batch: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(batch)
            outputs = layer(batch, training=True)
            loss = tf.reduce_sum(outputs * weights)
        return outputs, tape.gradient(loss, [batch, layer.gamma, layer.beta])

    outputs, gradients = step(tf.constant(images))
    named = zip(("images", "gamma", "beta"), gradients, strict=True)
    found = {f"gradient of {name}": gradient for name, gradient in named}
    found |= {"mean": layer.moving_mean, "variance": layer.moving_variance, "outputs": outputs}
    return {name: value.numpy() for name, value in found.items()}


@pytest.mark.parametrize(
    ("shape", "in_pairs"),
    [
        ((8, 6, 6, 24), True),
        ((1, 1, 2, 40), True),  # each place of a pair has one value
        ((4, 3, 8, 72), True),
        ((8, 5, 5, 24), False),  # an odd width
        ((8, 6, 6, 32), False),  # fast as it is
        ((8, 6, 6, 8), False),
    ],
)
def test_pixels_in_pairs_are_normalised_as_by_keras(
    shape: tuple[int, ...], in_pairs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, plain = [], batch_norm._normalise_pairs
    monkeypatch.setattr(
        batch_norm, "_normalise_pairs", lambda *given: calls.append(1) or plain(*given)
    )
    images = np.random.default_rng(0).normal(2, 3, shape).astype("f4")
    images[..., 0] += 100  # far from zero, as sums of squares suffer from
    ours = train_once(BatchNormalization, images)
    keras_own = train_once(keras.layers.BatchNormalization, images)
    assert bool(calls) is in_pairs
    for name, expected in keras_own.items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(ours[name], expected, atol=2e-3 * scale, err_msg=name)


def test_pairs_are_left_alone_where_they_do_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    images = tf.zeros((2, 4, 4, 24))
    assert batch_norm._is_slow(images)
    assert not batch_norm._is_slow(tf.cast(images, tf.bfloat16))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _kind: ["a GPU"])
    assert not batch_norm._is_slow(images)
