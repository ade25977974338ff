from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.keras import keras, tf
from mobilenet_tf.models.dropout import SeededDropout

ONES = np.ones((64, 128), np.float32)


def masks(layer: Any, count: int) -> list[Any]:
    return [layer(ONES, training=True).numpy() for _ in range(count)]


def test_share_scale_and_mean() -> None:
    (output,) = masks(SeededDropout(0.25, seed=1), 1)
    kept = output != 0
    assert kept.mean() == pytest.approx(0.75, abs=0.02)
    np.testing.assert_allclose(output[kept], 1 / 0.75)


def test_masks_are_a_function_of_seed_and_step() -> None:
    first, second, third = masks(SeededDropout(0.5, seed=1), 3)
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)
    tf.random.set_seed(99)  # hidden generators have no say
    resumed = SeededDropout(0.5, seed=1)
    resumed.build(ONES.shape)
    resumed.step.assign(1)
    np.testing.assert_array_equal(resumed(ONES, training=True), second)
    assert not np.array_equal(masks(SeededDropout(0.5, seed=2), 1)[0], first)


def test_identity_outside_training() -> None:
    layer = SeededDropout(0.5, seed=1)
    np.testing.assert_array_equal(layer(ONES), ONES)
    np.testing.assert_array_equal(layer(ONES, training=False), ONES)
    assert int(layer.step) == 0
    no_drop = SeededDropout(0.0, seed=1)
    np.testing.assert_array_equal(no_drop(ONES, training=True), ONES)


def test_graph_decides_about_training_at_run_time() -> None:
    layer = SeededDropout(0.5, seed=1)
    layer.build(ONES.shape)

    @tf.function
    def run(training: Any) -> Any:
        return layer(ONES, training=training)

    np.testing.assert_array_equal(run(tf.constant(False)), ONES)
    assert int(layer.step) == 0
    dropped = run(tf.constant(True)).numpy()
    assert int(layer.step) == 1
    np.testing.assert_array_equal(dropped, masks(SeededDropout(0.5, seed=1), 1)[0])
    run(tf.constant(True))
    assert int(layer.step) == 2


def test_half_precision_stays_half() -> None:
    output = SeededDropout(0.5, seed=1, dtype="float16")(ONES, training=True)
    assert output.dtype == tf.float16
    assert set(np.unique(output)) == {0, 2}


def build_tiny(seed: int = 3) -> Any:
    inputs = keras.Input((8,))
    x = keras.layers.Dense(16, kernel_initializer=keras.initializers.GlorotUniform(seed=1))(inputs)
    x = SeededDropout(0.5, seed, name="dropout")(x)
    x = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seed=2))(x)
    model = keras.Model(inputs, x)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    return model


def fit(model: Any, epochs: int) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(32, 8)), rng.normal(size=(32, 1))
    model.fit(images, labels, batch_size=8, epochs=epochs, shuffle=False, verbose=0)


@pytest.mark.slow
def test_a_restored_checkpoint_continues_bit_for_bit(tmp_path: Path) -> None:
    whole = build_tiny()
    fit(whole, 2)
    killed = build_tiny()
    fit(killed, 1)
    path = tf.train.Checkpoint(model=killed, optimizer=killed.optimizer).write(str(tmp_path / "c"))
    resumed = build_tiny()
    resumed.optimizer.build(resumed.trainable_variables)
    restored = tf.train.Checkpoint(model=resumed, optimizer=resumed.optimizer).read(path)
    restored.assert_consumed()
    assert int(resumed.get_layer("dropout").step) == 4
    fit(resumed, 1)
    for expected, variable in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(variable, expected)


@pytest.mark.slow
def test_clone_and_saved_model_keep_seed_and_rate(tmp_path: Path) -> None:
    model = build_tiny(seed=11)
    fit(model, 1)
    clone = keras.models.clone_model(model)
    assert (clone.get_layer("dropout").seed, clone.get_layer("dropout").rate) == (11, 0.5)
    assert int(clone.get_layer("dropout").step) == 0
    model.save(tmp_path / "tiny.keras")
    loaded = keras.models.load_model(tmp_path / "tiny.keras")
    assert (loaded.get_layer("dropout").seed, loaded.get_layer("dropout").rate) == (11, 0.5)
    assert int(loaded.get_layer("dropout").step) == 4


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_bad_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="dropout rate"):
        SeededDropout(rate, seed=1)
