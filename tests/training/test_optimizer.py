from __future__ import annotations

import numpy as np
import pytest

from mobilenet_tf.keras import keras, tf
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.quantization.qat import quantize_for_training
from mobilenet_tf.recipe import FitSettings
from mobilenet_tf.training.optimizer import (
    build_optimizer,
    decay,
    scale_rates,
    select_decayed,
    weigh_classes,
)
from mobilenet_tf.training.trainer import Trainer


@pytest.fixture(scope="module")
def model():
    return build_variant(
        make_variant("mobilenet_v1", alpha=0.05, resolution_px=32, classes=10, stride_plan="cifar")
    )


def test_decay_is_for_kernels_and_not_for_depthwise_ones(model) -> None:
    decayed = {v.name for v in select_decayed(model.trainable_variables)}
    assert "conv1/kernel:0" in decayed
    assert sum(name.startswith("conv_pw_") for name in decayed) == 13
    assert len(decayed) == 1 + 13 + 1  # stem, pointwise, classifier
    for name in decayed:
        assert not any(word in name for word in ("depthwise", "bias", "gamma", "beta", "_bn"))


@pytest.mark.slow
@pytest.mark.parametrize("everything", [False, True])
def test_the_quantized_twin_decays_the_same(model, everything: bool) -> None:
    twin, decayed = quantize_for_training(model), []
    for network in (model, twin):
        chosen = select_decayed(network.trainable_variables, everything=everything)
        decayed.append({v.name.removeprefix("quant_") for v in chosen})
    assert decayed[0] == decayed[1]


def test_everything_is_every_trained_weight(model) -> None:
    decayed = {v.name for v in select_decayed(model.trainable_variables, everything=True)}
    assert decayed == {v.name for v in model.trainable_variables}


def test_decay_takes_its_share() -> None:
    variable = tf.Variable([4.0, -2.0])
    decay([variable], 0.25)
    assert variable.numpy().tolist() == [3.0, -1.5]


def run_steps(settings: FitSettings, gradients: list[float]) -> list[float]:
    variable = tf.Variable([0.0])
    optimizer = build_optimizer(settings, [variable])
    seen = []
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant([gradient]), variable)])
        seen.append(float(variable.numpy()[0]))
    return seen


def test_sgd_has_nesterov_momentum() -> None:
    settings = FitSettings(learning_rate=0.1, momentum=0.9)
    velocity, place, expected = 0.0, 0.0, []
    for gradient in (1.0, 1.0, -2.0):
        velocity = 0.9 * velocity - 0.1 * gradient
        place += 0.9 * velocity - 0.1 * gradient
        expected.append(place)
    assert run_steps(settings, [1.0, 1.0, -2.0]) == pytest.approx(expected)


def test_sgd_without_momentum_is_plain() -> None:
    settings = FitSettings(learning_rate=0.1, momentum=0.0)
    assert run_steps(settings, [1.0, 1.0]) == pytest.approx([-0.1, -0.2])


def test_adamw_takes_steps_of_the_rate_whatever_the_gradient() -> None:
    settings = FitSettings(optimizer="adamw", learning_rate=0.1)
    assert run_steps(settings, [1000.0]) == pytest.approx([-0.1], rel=1e-3)


def test_clipping_holds_the_norm_of_all_gradients_together() -> None:
    settings = FitSettings(learning_rate=1.0, momentum=0.0, clip_norm=1.0)
    variables = [tf.Variable([0.0]), tf.Variable([0.0])]
    optimizer = build_optimizer(settings, variables)
    gradients = [tf.constant([3.0]), tf.constant([4.0])]
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
    found = [float(v.numpy()[0]) for v in variables]
    assert found == pytest.approx([-0.6, -0.8])
    assert np.hypot(*found) == pytest.approx(1.0)


def test_the_optimizer_has_its_slots_at_once(model) -> None:
    for name in ("sgd", "adamw"):
        optimizer = build_optimizer(FitSettings(optimizer=name), model.trainable_variables)
        assert len(optimizer.variables) >= len(model.trainable_variables)


def test_each_convolution_learns_slower_than_the_next_one(model) -> None:
    variables = model.trainable_variables
    scales = dict(zip((v.name for v in variables), scale_rates(variables, 0.5), strict=True))
    assert scales["conv_preds/kernel:0"] == scales["conv_preds/bias:0"] == 1
    assert scales["conv_pw_13/kernel:0"] == scales["conv_pw_13_bn/gamma:0"] == 0.5
    assert scales["conv_dw_13/depthwise_kernel:0"] == 0.25
    assert scales["conv1/kernel:0"] == 0.5**27
    assert set(scale_rates(variables, 1.0)) == {1.0}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_slower_layer_moves_that_much_less(optimizer: str) -> None:
    images, labels = tf.random.stateless_normal((8, 4, 4, 3), [1, 2]), tf.eye(8)[:, :5]
    moved = []
    for layer_decay in (1.0, 0.25):
        keras.utils.set_random_seed(1)
        network = keras.Sequential(
            [keras.layers.Conv2D(4, 3, input_shape=(4, 4, 3)), keras.layers.Flatten()]
        )
        network.add(keras.layers.Dense(5))
        settings = FitSettings(optimizer=optimizer, layer_decay=layer_decay, weight_decay=0.1)
        before = network.get_weights()
        Trainer(network, settings).step(images, labels)
        moved.append([a - b for a, b in zip(network.get_weights(), before, strict=True)])
    for full, slow, factor in zip(*moved, (0.25, 0.25, 1, 1), strict=True):
        np.testing.assert_allclose(slow, full * factor, rtol=1e-3, atol=1e-7)


def test_classes_are_weighed_by_how_rare_they_are() -> None:
    labels = np.repeat([0, 1], [80, 20])
    assert weigh_classes(labels, 2, 0.0) is None
    half, full = weigh_classes(labels, 2, 0.5), weigh_classes(labels, 2, 1.0)
    np.testing.assert_allclose(half[1] / half[0], 2, rtol=1e-6)
    np.testing.assert_allclose(full, [0.625, 2.5])
    assert np.isclose(half[labels].mean(), 1)
    assert np.isfinite(weigh_classes(labels, 3, 1.0)).all()


def test_weights_of_classes_scale_the_loss_of_their_images() -> None:
    images, losses = tf.zeros((2, 4)), []
    for weights in (None, np.float32([3, 0.5])):
        network = keras.Sequential([keras.layers.Dense(2, input_shape=(4,))])
        settings = FitSettings(label_smoothing=0.0)
        loss, _ = Trainer(network, settings, class_weights=weights).step(images, tf.eye(2))
        losses.append(float(loss))
    assert np.isclose(losses[1], losses[0] * 1.75)
