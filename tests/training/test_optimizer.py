from __future__ import annotations

import numpy as np
import pytest

from mobilenet_tf.keras import tf
from mobilenet_tf.models.keras_builder import build_model
from mobilenet_tf.quantization.qat import quantize_for_training
from mobilenet_tf.recipe import FitSettings
from mobilenet_tf.training.optimizer import build_optimizer, decay, select_decayed


@pytest.fixture(scope="module")
def model():
    return build_model(
        "mobilenet_v1", alpha=0.05, resolution_px=32, classes=10, stride_plan="cifar"
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
