from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.api.models import MobileNetV1
from mobilenet_tf.errors import UsageError
from mobilenet_tf.keras import keras, tf
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.models.weights import copy_weights, weight_variables


def build_small(**changes: Any) -> Any:
    shape = {"alpha": 0.25, "resolution_px": 16, "classes": 4, "stride_plan": "cifar"}
    settings: dict[str, Any] = {name: changes.pop(name, value) for name, value in shape.items()}
    return build_variant(make_variant("mobilenet_v1", **settings), **changes)


def shuffle_weights(model: Any, seed: int) -> None:
    """Give every weight, batch normalization's statistics included, a value that matters."""
    rng = np.random.default_rng(seed)
    for name, variable in weight_variables(model).items():
        shape = tuple(variable.shape)
        if name.endswith(("gamma", "moving_variance")):
            value = rng.uniform(0.5, 1.5, shape)
        elif name.endswith("kernel"):  # keeps the signal's size through 27 layers
            fan_in = math.prod(shape[:2]) * (1 if "depthwise" in name else shape[2])
            value = rng.normal(0, math.sqrt(2 / fan_in), shape)
        else:
            value = rng.normal(0, 0.5, shape)
        variable.assign(value.astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alpha", "resolution_px"), [(0.25, 128), (0.5, 160), (0.75, 192), (1.0, 224)]
)
def test_same_outputs_as_keras_applications(alpha: float, resolution_px: int) -> None:
    shape = (resolution_px, resolution_px, 3)
    reference = keras.applications.MobileNet(
        input_shape=shape, alpha=alpha, weights=None, classes=100, classifier_activation=None
    )
    shuffle_weights(reference, seed=resolution_px)
    ours = MobileNetV1(shape, alpha=alpha, classes=100, classifier_activation=None)
    copy_weights(reference, ours)
    image = np.random.default_rng(1).uniform(-1, 1, (1, *shape)).astype(np.float32)
    expected = reference(image, training=False).numpy()
    outputs = ours(image, training=False).numpy()
    assert expected.std() > 0.1  # not all alike: a wrong stride or padding shows
    assert np.abs(outputs - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.slow
def test_layer_names_are_those_of_keras_applications() -> None:
    reference = keras.applications.MobileNet(input_shape=(64, 64, 3), alpha=0.25, weights=None)
    ours = MobileNetV1((64, 64, 3), alpha=0.25, stride_plan="imagenet")
    expected = [
        layer.name
        for layer in reference.layers[1:]
        if not layer.name.startswith(("conv_pad_", "global_average_pooling2d"))
    ]
    names = [layer.name for layer in ours.layers]
    assert names[0] == "image"
    assert [name for name in names[1:] if name != "global_average_pooling2d"] == expected
    assert not any(isinstance(layer, keras.layers.ZeroPadding2D) for layer in ours.layers)


@pytest.mark.slow
def test_input_and_outputs_of_a_variant() -> None:
    model = build_small(batch_size=3)
    assert model.name == "v1_025_r16"
    assert model.input_shape == (3, 16, 16, 3)
    assert model.input_names == ["image"]
    assert model.output_shape == (3, 4)
    assert model.layers[-1].name == "reshape_2"  # logits: no activation after it
    assert build_small(resolution_px=(16, 24)).input_shape == (None, 16, 24, 3)


@pytest.mark.slow
def test_activation_gives_probabilities_of_the_logits() -> None:
    logits_model = build_small()
    model = build_small(activation="softmax")
    copy_weights(logits_model, model)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    probabilities = model(images).numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(probabilities, tf.nn.softmax(logits_model(images)), rtol=1e-5)


@pytest.mark.slow
def test_stride_plan_follows_the_smaller_side() -> None:
    def pooled_side(model: Any) -> int:
        return model.get_layer("conv_pw_13_relu").output_shape[1]

    assert pooled_side(MobileNetV1((32, 32, 3), alpha=0.25)) == 4
    assert pooled_side(MobileNetV1((95, 128, 3), alpha=0.25)) == 12
    assert pooled_side(MobileNetV1((96, 96, 3), alpha=0.25)) == 3
    assert pooled_side(MobileNetV1((32, 32, 3), alpha=0.25, stride_plan="imagenet")) == 1


def test_depthwise_kernels_start_from_he_and_others_from_glorot() -> None:
    model = build_variant(
        make_variant("mobilenet_v1", alpha=1, resolution_px=32, classes=100, stride_plan="cifar"),
        seed=5,
    )
    depthwise = model.get_layer("conv_dw_13").depthwise_kernel.numpy()  # 9 x 1024 values
    assert depthwise.var() == pytest.approx(2 / 9, rel=0.1)
    pointwise = model.get_layer("conv_pw_13").kernel.numpy()
    assert pointwise.var() == pytest.approx(2 / (1024 + 1024), rel=0.02)
    assert np.abs(pointwise).max() <= math.sqrt(6 / 2048) + 1e-6  # uniform, not normal


@pytest.mark.slow
def test_equal_seeds_build_equal_models() -> None:
    first, again, other = (weight_variables(build_small(seed=seed)) for seed in (1, 1, 2))
    for name, variable in first.items():
        np.testing.assert_array_equal(variable, again[name])
    assert not np.array_equal(first["conv1/kernel"], other["conv1/kernel"])
    # Layers of equal shape do not start alike.
    assert not np.array_equal(first["conv_pw_8/kernel"].numpy(), first["conv_pw_9/kernel"].numpy())


@pytest.mark.slow
def test_without_a_seed_keras_global_seed_rules() -> None:
    models = []
    for seed in (7, 7, 8):
        keras.utils.set_random_seed(seed)
        models.append(build_small(dropout=0.5))
    kernels = [model.get_layer("conv1").kernel.numpy() for model in models]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])
    seeds = [model.get_layer("dropout").seed for model in models]
    assert seeds[0] == seeds[1] != seeds[2]


def test_batch_norm_settings() -> None:
    layer = build_small(batch_norm_momentum=0.9).get_layer("conv_dw_3_bn")
    assert (layer.momentum, layer.epsilon) == (0.9, 1e-3)
    assert build_small().get_layer("conv1_bn").momentum == 0.99


@pytest.mark.slow
def test_logits_are_float32_under_mixed_precision() -> None:
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = build_small(activation="softmax")
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert model.get_layer("conv_preds").compute_dtype == "bfloat16"
    assert model(tf.zeros((1, 16, 16, 3))).dtype == tf.float32


@pytest.mark.slow
def test_one_step_of_training_moves_every_weight() -> None:
    model = build_small(dropout=0.1, seed=0)
    before = {name: variable.numpy() for name, variable in weight_variables(model).items()}
    model.compile(
        keras.optimizers.SGD(0.1),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (8, 16, 16, 3)).astype(np.float32)
    model.fit(images, rng.integers(0, 4, 8), batch_size=8, verbose=0)
    unmoved = [
        name
        for name, variable in weight_variables(model).items()
        if np.array_equal(variable, before[name])
    ]
    assert unmoved == []
    assert int(model.get_layer("dropout").step) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"dropout": -0.1}, "dropout is -0.1"),
        ({"dropout": float("nan")}, "dropout is nan"),
        ({"batch_norm_momentum": 1.0}, "batch_norm_momentum is 1.0"),
        ({"activation": "sofmax"}, "unknown activation 'sofmax'"),
        ({"activation": 5}, "unknown activation 5"),
        ({"resolution_px": 31.5}, "resolution_px is 31.5"),
        ({"alpha": 0}, "alpha is 0"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_small(**changes)


@pytest.mark.parametrize(
    "input_shape", [(32, 32), (32, 32, 1), (32, 32, 3, 3), 32, (None, None, 3), (31.5, 32, 3)]
)
def test_bad_input_shape_is_refused(input_shape: Any) -> None:
    with pytest.raises(UsageError, match=r"input_shape|whole number"):
        MobileNetV1(input_shape)


def test_unknown_keyword_is_refused() -> None:
    with pytest.raises(TypeError, match="aplha"):
        MobileNetV1((32, 32, 3), aplha=0.5)  # type: ignore[call-arg]
