from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.errors import UsageError
from mobilenet_tf.keras import keras, tf
from mobilenet_tf.models.catalog import MODELS, model_names, model_table
from mobilenet_tf.models.cost import count_costs
from mobilenet_tf.models.dropout import StochasticDepth
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.recipe import ModelSettings, Options


def build(name: str, **options: Any) -> Any:
    return build_variant(
        make_variant(
            name,
            alpha=0.25,
            resolution_px=16,
            classes=4,
            stride_plan="cifar",
            options=Options(**options),
        ),
        seed=1,
    )


def variant(name: str, **options: Any) -> Any:
    return make_variant(
        name,
        alpha=0.5,
        resolution_px=32,
        classes=10,
        stride_plan="cifar",
        options=Options(**options),
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mobilenet_v1", {"squeeze_excitation": "on"}, "cannot take squeeze_exc.*V3"),
        ("alexnet", {"squeeze_excitation": "on"}, "cannot take squeeze_excitation: .*"),
        ("mobilenet_v3_small_minimalistic", {"squeeze_excitation": "on"}, "means without it"),
        ("mobilenet_v1", {"stochastic_depth": 0.1}, "no residual connection"),
        ("alexnet", {"head_units": 128}, "fc6 and fc7"),
        ("alexnet", {"block_count": 3}, "no row of blocks"),
        ("mobilenet_v1", {"block_count": 14}, "mobilenet_v1 has 13 blocks"),
        ("mobilenet_v2", {"head_dropout": 0.2}, "give head_units too"),
        ("mobilenet_v4_conv_small", {"residual": True}, "has.* already|have.* already"),
        ("mobilenet_v3_small_minimalistic", {"residual": True}, "connections already"),
        ("alexnet", {"residual": True}, "no block"),
    ],
)
def test_what_a_model_cannot_take_is_refused_with_a_reason(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        variant(name, **options)


@pytest.mark.parametrize("name", Options.__struct_fields__)
@pytest.mark.parametrize("value", [None, "nonsense", -1, float("nan"), True, 10**9])
def test_an_option_has_the_range_of_its_setting(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"model\.{name} is |cannot take {name}"):
        variant("mobilenet_v2", **{name: value})


def test_the_settings_of_a_model_are_its_options_and_more() -> None:
    settings = ModelSettings(activation="silu", block_count=3, alpha=0.25)
    assert settings.options == Options(activation="silu", block_count=3)
    assert set(Options.__struct_fields__) < set(ModelSettings.__struct_fields__)


@pytest.mark.parametrize(
    ("name", "count", "option", "places"),
    [
        # Fused bottlenecks come first, without a depthwise convolution or a residual connection.
        ("mobilenet_v4_conv_small", 2, {"squeeze_excitation": "on"}, 1),
        ("mobilenet_v4_conv_small", 3, {"stochastic_depth": 0.5}, 1),
        ("mobilenet_v2", 2, {"stochastic_depth": 0.5}, 1),
        ("mobilenet_v1", 2, {"residual": True}, 1),  # 32 -> 64 -> 128 channels
    ],
)
def test_a_cut_network_without_a_place_for_an_option_refuses_it(
    name: str, count: int, option: dict[str, Any], places: int
) -> None:
    message = rf"{name} cut after block {count} has no place for {next(iter(option))}: .*raise"
    with pytest.raises(UsageError, match=message):
        count_costs(variant(name, block_count=count, **option))
    with pytest.raises(UsageError, match=message):
        build_variant(variant(name, block_count=count, **option))
    build_variant(variant(name, block_count=count + places, **option))


def test_dropout_is_the_tables_unless_given() -> None:
    assert build("mobilenet_v2", block_count=1).get_layer("dropout").rate == 0.001
    alexnet = build("alexnet")
    assert {alexnet.get_layer(name).rate for name in ("dropout", "fc7_dropout")} == {0.5}


def test_without_squeeze_and_excitation_is_no_change_where_there_is_none() -> None:
    variant("mobilenet_v1", squeeze_excitation="off")


@pytest.mark.parametrize("name", model_names())
def test_alpha_that_leaves_no_channel_is_refused(name: str) -> None:
    narrowest = MODELS[name].narrowest
    with pytest.raises(UsageError, match=rf"no channel of the {narrowest} .*use at least 0\.0"):
        make_variant(name, alpha=0.4 / narrowest, resolution_px=32, classes=10, stride_plan="cifar")
    make_variant(name, alpha=0.1, resolution_px=32, classes=10, stride_plan="cifar")


@pytest.mark.parametrize("name", model_names())
def test_resolution_below_the_total_stride_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="use at least 32 pixels, or the cifar stride plan"):
        make_variant(name, alpha=0.5, resolution_px=31, classes=10, stride_plan="imagenet")


def test_names_tell_options_apart() -> None:
    assert variant("mobilenet_v3_small").name == "v3s_050_r32"
    full = variant(
        "mobilenet_v4_conv_small", activation="silu", squeeze_excitation="on", head_units=512
    )
    assert full.name == "v4s_050_r32_silu_se_h512"
    without = variant("mobilenet_v3_small", squeeze_excitation="off", activation="hard_swish")
    assert without.name == "v3s_050_r32_hardswish_nose"
    assert variant("mobilenet_v2", stochastic_depth=0.1).name == "v2_050_r32"
    assert variant("mobilenet_v1", block_count=8).name == "v1_050_r32_b8"
    assert variant("mobilenet_v1", residual=True).name == "v1_050_r32_res"
    late = replace(variant("mobilenet_v1", block_count=8), stride_plan="late")
    assert late.name == "v1_050_r32_late_b8"


def test_residual_connections_bridge_the_blocks_whose_shapes_agree() -> None:
    model = build("mobilenet_v1", residual=True)
    added = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Add)]
    # 128, 256, the five of 512 after the first, and 1024 channels
    assert added == [f"conv_{index}_add" for index in (3, 5, 7, 8, 9, 10, 11, 13)]
    assert model.count_params() == build("mobilenet_v1").count_params()


@pytest.mark.parametrize(
    ("name", "cifar", "late"),
    [("mobilenet_v1", 8, 4), ("mobilenet_v2", 8, 4), ("mobilenet_v3_small", 8, 4),
     ("mobilenet_v4_conv_medium", 8, 4), ("alexnet", 16, 16)],
)  # fmt: skip
def test_the_late_plan_leaves_out_the_first_stride_of_cifar(
    name: str, cifar: int, late: int
) -> None:
    table = MODELS[name]
    assert (table.total_stride("cifar"), table.total_stride("late")) == (cifar, late)


@pytest.mark.parametrize(("name", "count"), [("alexnet", 0), ("mobilenet_v1", 3)])
def test_the_late_plan_is_refused_where_it_is_cifar(name: str, count: int) -> None:
    with pytest.raises(UsageError, match=f"{name}.* no stride that the late"):
        make_variant(
            name,
            alpha=0.5,
            resolution_px=32,
            classes=10,
            stride_plan="late",
            options=Options(block_count=count),
        )


def test_the_late_plan_spends_arithmetic_and_no_weights() -> None:
    cifar, late = (
        count_costs(
            make_variant(
                "mobilenet_v1",
                alpha=0.28,
                resolution_px=32,
                classes=10,
                stride_plan=plan,
                options=Options(block_count=8),
            )
        )
        for plan in ("cifar", "late")
    )
    assert late.parameters == cifar.parameters == 74_690
    assert (round(cifar.macs / 1e6, 1), round(late.macs / 1e6, 1)) == (10.0, 27.6)


def test_an_activation_replaces_all_of_a_network() -> None:
    model = build("mobilenet_v3_small", activation="relu6", squeeze_excitation="off", block_count=4)
    kinds = {type(layer).__name__ for layer in model.layers}
    assert not kinds & {"Multiply", "Shift", "Scale"}
    relus = [layer for layer in model.layers if isinstance(layer, keras.layers.ReLU)]
    assert {float(layer.max_value) for layer in relus} == {6.0}
    swished = build("mobilenet_v2", activation="hard_swish", block_count=4)
    inside = [layer.name for layer in swished.layers if isinstance(layer, keras.layers.ReLU)]
    assert all(name.endswith("_hard_swish_relu6") for name in inside)
    assert sum(isinstance(layer, keras.layers.Multiply) for layer in swished.layers) == 9


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("silu", tf.nn.silu),
        ("hard_swish", lambda x: x * np.clip(x + 3, 0, 6) / 6),
    ],
)
def test_activations_are_the_papers_functions(name: str, function: Any) -> None:
    model = build("mobilenet_v2", activation=name, block_count=1)
    before, after = model.get_layer("bn_Conv1"), model.get_layer(f"Conv1_{name}")
    activation = keras.Model(before.output, after.output)
    given = np.random.default_rng(0).normal(0, 3, (1, *before.output.shape[1:])).astype(np.float32)
    np.testing.assert_allclose(activation(given), function(given), rtol=1e-5, atol=1e-6)


def test_squeeze_and_excitation_is_where_it_is_asked_for() -> None:
    def count(name: str, **options: Any) -> int:
        layers = count_costs(variant(name, **options)).layers
        return sum(layer.name.endswith("_squeeze_excite_Conv") for layer in layers)

    assert count("mobilenet_v3_small") == 9
    assert count("mobilenet_v3_small", squeeze_excitation="on") == 11
    assert count("mobilenet_v2", squeeze_excitation="on") == 17
    assert count("mobilenet_v4_conv_small", squeeze_excitation="on") == 12
    gated = build("mobilenet_v3_small", squeeze_excitation="on", block_count=1)
    assert [n for n in (layer.name for layer in gated.layers) if n.endswith("_excite_Mul")]


def test_stochastic_depth_grows_with_depth_and_keeps_whole_samples() -> None:
    model = build("mobilenet_v2", stochastic_depth=0.2, block_count=7)
    drops = [layer for layer in model.layers if isinstance(layer, StochasticDepth)]
    rates = [layer.rate for layer in drops]
    assert len(drops) == sum(isinstance(layer, keras.layers.Add) for layer in model.layers)
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.2 * 6 / 7)  # the 7th has no residual connection
    assert len({layer.seed for layer in drops}) == len(drops)
    layer = StochasticDepth(0.5, seed=3)
    kept = layer(tf.ones((400, 2, 2, 3)), training=True).numpy()
    per_sample = kept.reshape(400, -1)
    assert set(np.unique(per_sample)) == {0.0, 2.0}
    assert (per_sample.min(1) == per_sample.max(1)).all()
    assert (per_sample[:, 0] > 0).mean() == pytest.approx(0.5, abs=0.1)
    np.testing.assert_array_equal(layer(kept, training=False), kept)


def test_the_hidden_head_layer_and_both_dropouts() -> None:
    model = build_variant(
        make_variant(
            "mobilenet_v4_conv_small",
            alpha=0.25,
            resolution_px=16,
            classes=4,
            stride_plan="cifar",
            options=Options(head_units=48, head_dropout=0.15, block_count=2),
        ),
        dropout=0.3,
    )
    assert model.get_layer("head").output_shape == (None, 1, 1, 48)
    assert model.get_layer("dropout").rate == 0.3
    assert model.get_layer("head_dropout").rate == 0.15
    assert model.get_layer("classifier").input_shape == (None, 1, 1, 48)


def test_the_first_blocks_are_those_of_the_whole_network() -> None:
    whole, first = build("mobilenet_v1"), build("mobilenet_v1", block_count=9)
    names = [layer.name for layer in first.layers]
    last = whole.layers.index(whole.get_layer("conv_pw_9_relu"))
    assert names[: last + 1] == [layer.name for layer in whole.layers[: last + 1]]
    assert names[last + 1] == "global_average_pooling2d"
    assert first.get_layer("conv_preds").input_shape == (None, 1, 1, 128)
    assert count_costs(variant("mobilenet_v1", block_count=9)).parameters == 285_034
    everything = variant("mobilenet_v1", block_count=13)
    assert everything.table == model_table("mobilenet_v1")


def test_a_line_of_several_blocks_may_be_kept_in_part() -> None:
    model = build("mobilenet_v2", block_count=5)  # lines of 1, 2 and 3 blocks, then 4, 3, 3 and 1
    depthwise = [layer for layer in model.layers if layer.name.endswith("_depthwise")]
    assert len(depthwise) == 5
    assert model.get_layer("Conv_1").output_shape[-1] == 1280


@pytest.mark.parametrize("name", [n for n in model_names() if n != "alexnet"])
def test_every_model_can_be_cut_to_one_block_and_needs_fewer_pixels_then(name: str) -> None:
    options = Options(block_count=1)
    side_px = MODELS[name].first(1).total_stride("imagenet")
    assert side_px < MODELS[name].total_stride("imagenet")
    model = build_variant(
        make_variant(
            name, alpha=0.25, resolution_px=8, classes=4, stride_plan="imagenet", options=options
        )
    )
    assert model(np.zeros((2, 8, 8, 3), np.float32)).shape == (2, 4)
