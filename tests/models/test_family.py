"""The published architectures: outputs of a known implementation, counts of the papers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.keras import keras
from mobilenet_tf.models import keras_file
from mobilenet_tf.models.blocks import Bottleneck, UniversalBottleneck
from mobilenet_tf.models.catalog import MODELS, model_names, model_table
from mobilenet_tf.models.cost import Cost, count_costs
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.models.weights import load_features, weight_variables
from mobilenet_tf.recipe import Options

applications = keras.applications
REFERENCES: list[tuple[str, float, Any]] = [
    *[("mobilenet_v2", alpha, applications.MobileNetV2) for alpha in (0.35, 1.4)],
    ("mobilenet_v3_small", 1.0, applications.MobileNetV3Small),
    ("mobilenet_v3_large", 0.75, applications.MobileNetV3Large),
    ("mobilenet_v3_small_minimalistic", 1.0, applications.MobileNetV3Small),
    ("mobilenet_v3_large_minimalistic", 1.0, applications.MobileNetV3Large),
    ("mobilenet_v3_small", 0.35, applications.MobileNetV3Small),  # rounding at its hardest
]


def randomise(model: Any, seed: int) -> None:
    """Give every weight, batch normalization's statistics included, a value that matters."""
    rng = np.random.default_rng(seed)
    for name, variable in weight_variables(model).items():
        shape = tuple(variable.shape)
        if name.endswith(("gamma", "moving_variance")):
            value = rng.uniform(0.5, 1.5, shape)
        elif name.endswith("kernel"):
            fan_in = math.prod(shape[:-1]) if "depthwise" not in name else math.prod(shape[:2])
            value = rng.normal(0, math.sqrt(2 / fan_in), shape)
        else:
            value = rng.normal(0, 0.3, shape)
        variable.assign(value.astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "alpha", "make_reference"),
    REFERENCES,
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_same_outputs_as_keras_applications(
    name: str,
    alpha: float,
    make_reference: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keras_file, "KERAS_SCALE", keras_file.OWN_SCALE)  # both see these floats
    side_px = 64
    options: dict[str, Any] = {"input_shape": (side_px, side_px, 3), "alpha": alpha}
    if "v3" in name:
        options |= {"minimalistic": "minimalistic" in name, "include_preprocessing": False}
    reference = make_reference(weights=None, classes=20, classifier_activation=None, **options)
    randomise(reference, seed=4)
    ours = build_variant(
        make_variant(name, alpha=alpha, resolution_px=side_px, classes=20, stride_plan="imagenet")
    )
    reference.save_weights(tmp_path / "reference.h5")
    assert load_features(ours, tmp_path / "reference.h5") == ()
    image = np.random.default_rng(1).uniform(-1, 1, (1, side_px, side_px, 3)).astype(np.float32)
    expected = reference(image, training=False).numpy()
    outputs = ours(image, training=False).numpy()
    assert expected.std() > 0.01 * max(1, np.abs(expected).mean())  # strides and padding show
    # Hard-swish multiplies in another order here; a random deep network amplifies the last bit.
    tolerance = 1e-4 if model_table(name).activation == "hard_swish" else 2e-5
    assert np.abs(outputs - expected).max() <= tolerance * np.abs(expected).max()


def test_every_model_is_compared_and_every_published_alpha_counted() -> None:
    models = {name for name in model_names() if "v2" in name or "v3" in name}
    assert {name for name, _, _ in REFERENCES} == models
    counted = {count[:2] for count in COUNTS}
    for name in models:
        assert {(name, alpha) for alpha in model_table(name).published_alphas} <= counted


def at(name: str, alpha: float, resolution_px: int) -> Cost:
    return count_costs(
        make_variant(
            name, alpha=alpha, resolution_px=resolution_px, classes=1000, stride_plan="imagenet"
        )
    )


# arXiv 1801.04381, table 4; arXiv 1905.02244, table 3; arXiv 2404.10518, table 5; the other alphas
# of V2 as published with its code. Two of the papers' counts of parameters are not those of the
# papers' own tables of layers: V2's 6.9 M at 1.4 (6.1 M, the published weights') and V4-Conv-M's
# 9.2 M (9.72 M, timm's); they are left out here.
PAPERS = [
    # model, alpha, resolution, million multiply-adds, million parameters
    ("mobilenet_v2", 1.0, 224, 300, 3.4),
    ("mobilenet_v2", 1.4, 224, 585, None),
    ("mobilenet_v2", 1.3, 224, 509, 5.34),
    ("mobilenet_v2", 0.75, 224, 209, 2.61),
    ("mobilenet_v2", 0.5, 224, 97, 1.95),
    ("mobilenet_v2", 0.35, 224, 59, 1.66),
    ("mobilenet_v3_large", 1.0, 224, 219, 5.4),
    ("mobilenet_v3_large", 0.75, 224, 155, 4.0),
    ("mobilenet_v3_small", 1.0, 224, 56, 2.5),
    ("mobilenet_v3_small", 0.75, 224, 44, 2.0),
    ("mobilenet_v4_conv_small", 1.0, 224, 200, 3.8),
    ("mobilenet_v4_conv_medium", 1.0, 256, 1000, None),
]


@pytest.mark.parametrize(("name", "alpha", "resolution_px", "macs", "parameters"), PAPERS)
def test_papers_tables(
    name: str, alpha: float, resolution_px: int, macs: int, parameters: float | None
) -> None:
    cost = at(name, alpha, resolution_px)
    # V4's paper prints tenths of a billion.
    tolerance = 0.1 if "v4" in name else 0.015
    assert cost.macs / 1e6 == pytest.approx(macs, rel=tolerance)
    if parameters is not None:
        assert cost.trainable_parameters / 1e6 == pytest.approx(parameters, abs=0.11)


COUNTS = [
    ("mobilenet_v2", 0.35, 224, 1_677_128, 59_285_808),
    ("mobilenet_v2", 0.5, 224, 1_968_680, 97_131_840),
    ("mobilenet_v2", 0.75, 224, 2_636_424, 209_069_792),
    ("mobilenet_v2", 1.0, 224, 3_504_872, 300_774_272),
    ("mobilenet_v2", 1.3, 224, 5_386_792, 509_374_560),
    ("mobilenet_v2", 1.4, 224, 6_108_776, 582_195_824),
    ("mobilenet_v3_small", 1.0, 224, 2_542_856, 56_510_400),
    ("mobilenet_v3_small", 0.75, 224, 2_041_872, 43_399_344),
    ("mobilenet_v3_large", 1.0, 224, 5_483_032, 216_589_760),
    ("mobilenet_v3_large", 0.75, 224, 3_993_528, 154_560_624),
    ("mobilenet_v3_small_minimalistic", 1.0, 224, 2_044_736, 52_288_448),
    ("mobilenet_v3_large_minimalistic", 1.0, 224, 3_924_288, 209_136_704),
    # timm's mobilenetv4_conv_small and mobilenetv4_conv_medium
    ("mobilenet_v4_conv_small", 1.0, 224, 3_774_024, 186_005_568),
    ("mobilenet_v4_conv_small", 1.0, 256, 3_774_024, 242_178_048),
    ("mobilenet_v4_conv_medium", 1.0, 224, 9_715_512, 827_649_984),
    ("mobilenet_v4_conv_medium", 1.0, 256, 9_715_512, 1_080_244_224),
    ("alexnet", 1.0, 224, 76_011_208, 1_270_155_264),
]


@pytest.mark.parametrize(("name", "alpha", "resolution_px", "trainable", "macs"), COUNTS)
def test_exact_counts(
    name: str, alpha: float, resolution_px: int, trainable: int, macs: int
) -> None:
    cost = at(name, alpha, resolution_px)
    assert (cost.trainable_parameters, cost.macs) == (trainable, macs)


HIDDEN_HEAD = Options(activation="silu", head_units=24, head_dropout=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [(name, Options()) for name in model_names()]
    + [(name, HIDDEN_HEAD) for name in ("mobilenet_v1", "mobilenet_v4_conv_small")],
)
def test_every_layer_agrees_with_keras(name: str, options: Options) -> None:
    settings: dict[str, Any] = {
        "alpha": 0.3,
        "resolution_px": (32, 47),
        "classes": 7,
        "stride_plan": "cifar",
        "options": options,
    }
    model = build_variant(make_variant(name, **settings))
    cost = count_costs(make_variant(name, **settings))
    weighted = [layer for layer in model.layers if weight_count(layer)]
    assert sorted(layer.name for layer in weighted) == sorted(layer.name for layer in cost.layers)
    for counted in cost.layers:
        layer = model.get_layer(counted.name)
        assert layer.output_shape[1:] == counted.output_shape
        assert weight_count(layer) == counted.parameters
        kernel = next((w for w in layer.weights if "kernel" in w.name), None)
        macs = 0 if kernel is None else math.prod(kernel.shape) * math.prod(layer.output_shape[1:3])
        assert macs == counted.macs


def weight_count(layer: Any) -> int:
    return sum(math.prod(w.shape) for w in layer.weights if w.dtype.is_floating)


def test_cifar_plans_keep_small_images_large() -> None:
    for name, table in MODELS.items():
        assert table.total_stride("imagenet") == 32, name
        assert table.total_stride("cifar") == (16 if name == "alexnet" else 8), name


def test_v4_has_all_kinds_of_the_universal_block() -> None:
    rows = model_table("mobilenet_v4_conv_medium").blocks
    kinds = {
        (bool(row.start_px), bool(row.middle_px))
        for row in rows
        if isinstance(row, UniversalBottleneck)
    }
    assert kinds == {(True, True), (True, False), (False, False)}  # ExtraDW, ConvNext, FFN
    small = model_table("mobilenet_v4_conv_small").blocks
    assert any(isinstance(r, UniversalBottleneck) and not r.start_px for r in small)  # IB


def test_minimalistic_tables_have_nothing_slow() -> None:
    for name in ("mobilenet_v3_small_minimalistic", "mobilenet_v3_large_minimalistic"):
        rows = [row for row in model_table(name).blocks if isinstance(row, Bottleneck)]
        assert {(r.kernel_px, r.squeeze_excitation, r.activation) for r in rows} == {
            (3, False, "relu")
        }
