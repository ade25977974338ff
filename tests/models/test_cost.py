from __future__ import annotations

import math
from typing import Any

import pytest

from mobilenet_tf.errors import UsageError
from mobilenet_tf.keras import keras
from mobilenet_tf.models.cost import Cost, count_costs
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant


def v1_at(alpha: float, resolution_px: int) -> Cost:
    return count_costs(
        make_variant(
            "mobilenet_v1",
            alpha=alpha,
            resolution_px=resolution_px,
            classes=1000,
            stride_plan="imagenet",
        )
    )


# arXiv 1704.04861: table 4 (its second row is 1.0 at 224), table 6 and table 7.
PAPER = [
    # alpha, resolution, million mult-adds, million parameters
    (1.0, 224, 569, 4.2),
    (0.75, 224, 325, 2.6),
    (0.5, 224, 149, 1.3),
    (0.25, 224, 41, 0.5),
    (1.0, 192, 418, 4.2),
    (1.0, 160, 290, 4.2),
    (1.0, 128, 186, 4.2),
]


@pytest.mark.parametrize(("alpha", "resolution_px", "million_macs", "million_parameters"), PAPER)
def test_papers_tables(
    alpha: float, resolution_px: int, million_macs: int, million_parameters: float
) -> None:
    cost = v1_at(alpha, resolution_px)
    # The paper rounds 568.7 up and 290.7 down: within one million of what it prints.
    assert abs(cost.macs / 1e6 - million_macs) < 1
    assert round(cost.trainable_parameters / 1e6, 1) == million_parameters


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alpha", "parameters", "trainable", "macs"),
    [
        (1.0, 4_253_864, 4_231_976, 568_740_352),
        (0.75, 2_601_976, 2_585_560, 325_400_448),
        (0.5, 1_342_536, 1_331_592, 149_497_088),
        (0.25, 475_544, 470_072, 41_030_272),
    ],
)
def test_exact_counts(alpha: float, parameters: int, trainable: int, macs: int) -> None:
    cost = v1_at(alpha, 224)
    assert (cost.parameters, cost.trainable_parameters, cost.macs) == (parameters, trainable, macs)
    reference = keras.applications.MobileNet(input_shape=(224, 224, 3), alpha=alpha, weights=None)
    assert reference.count_params() == parameters
    assert sum(math.prod(v.shape) for v in reference.trainable_variables) == trainable


def measure_macs(layer: Any) -> int:
    """Multiplications of a Keras convolution, from its own kernel and output."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return math.prod(layer.depthwise_kernel.shape) * math.prod(layer.output_shape[1:3])
    if isinstance(layer, keras.layers.Conv2D):
        return math.prod(layer.kernel.shape) * math.prod(layer.output_shape[1:3])
    return 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alpha", "resolution_px", "classes", "stride_plan"),
    [
        (0.05, 8, 2, "cifar"),
        (1.5, 64, 7, "imagenet"),
        (0.4, (47, 97), 10, "imagenet"),
    ],
)
def test_every_layer_agrees_with_keras(
    alpha: float, resolution_px: Any, classes: int, stride_plan: str
) -> None:
    settings: dict[str, Any] = {
        "alpha": alpha,
        "resolution_px": resolution_px,
        "classes": classes,
        "stride_plan": stride_plan,
    }
    model = build_variant(make_variant("mobilenet_v1", **settings))
    cost = count_costs(make_variant("mobilenet_v1", **settings))
    weighted = [layer for layer in model.layers if layer.weights and layer.name != "dropout"]
    assert [layer.name for layer in weighted] == [layer.name for layer in cost.layers]
    for layer, counted in zip(weighted, cost.layers, strict=True):
        assert layer.output_shape[1:] == counted.output_shape
        assert layer.count_params() == counted.parameters
        assert sum(math.prod(w.shape) for w in layer.trainable_weights) == (
            counted.trainable_parameters
        )
        assert measure_macs(layer) == counted.macs


def test_folded_sizes() -> None:
    cost = v1_at(0.25, 224)
    kernels = [layer for layer in cost.layers if not layer.name.endswith("_bn")]
    # Folding leaves each convolution its kernel and one bias a channel.
    channels = sum(layer.output_shape[2] for layer in kernels)
    weights = sum(layer.parameters for layer in kernels) - 1000  # conv_preds' own biases
    assert channels == cost.channels == 3_736
    assert cost.int8_bytes == weights + 4 * channels
    assert cost.float32_bytes == 4 * (weights + channels)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="alpha"):
        v1_at(float("nan"), 224)
    with pytest.raises(UsageError, match="at least 32"):
        v1_at(1, 16)
