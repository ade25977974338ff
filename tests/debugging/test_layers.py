from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.data.sources import load_training_split
from mobilenet_tf.debugging.alignment import Alignment
from mobilenet_tf.debugging.diagnosis import rewrite
from mobilenet_tf.debugging.layers import (
    HIGHEST_DB,
    LayerFidelity,
    compare_layers,
    measure_kernel_spread,
    to_decibels,
)
from mobilenet_tf.debugging.wording import advise
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.evaluation.metrics import make_keras_predict_fn
from mobilenet_tf.keras import keras
from mobilenet_tf.quantization.folding import fold_batch_norm
from mobilenet_tf.quantization.qat import calibrate, quantize_model
from mobilenet_tf.tflite.audit import audit
from mobilenet_tf.tflite.convert import convert
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.tflite.mixed import keep_float

pytestmark = pytest.mark.slow  # converts with TensorFlow

CLASSES = tuple("abcdefghij")
Ruin = Callable[[Any], None]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return load_training_split("synthetic", None).images[:64]


@pytest.fixture(scope="module")
def build_folded(build_settled: Any) -> Callable[[np.ndarray], Any]:
    """Build a small folded network whose activations are neither dead nor of one size."""
    return lambda images: fold_batch_norm(build_settled(images))


def scale_one_channel(model: Any) -> None:
    """Divide all of conv_dw_4's outputs but one by 1,000, which the next kernel undoes."""
    first, second = model.get_layer("conv_dw_4"), model.get_layer("conv_pw_4")
    gain = np.full(first.bias.shape[0], 1e-3, np.float32)
    gain[2] = 1.0
    first.depthwise_kernel.assign(first.depthwise_kernel * gain[:, None])
    first.bias.assign(first.bias * gain)
    second.kernel.assign(second.kernel / gain[:, None])


def load_dead_input(model: Any) -> None:
    """Give conv_pw_4 huge weights where its input is always 0: its scales fit those alone."""
    first, second = model.get_layer("conv_dw_4"), model.get_layer("conv_pw_4")
    bias, kernel = first.bias.numpy(), second.kernel.numpy()
    bias[2] = -1e4
    kernel[:, :, 2] = 300.0
    first.bias.assign(bias)
    second.kernel.assign(kernel)


def convert_ptq(model: Any, images: np.ndarray, **options: Any) -> bytes:
    return convert(
        model,
        quantization="int8_ptq",
        classes=CLASSES,
        description="a test",
        calibration_images=images,
        **options,
    )


def rank(model: Any, content: bytes, images: np.ndarray) -> list[LayerFidelity]:
    return compare_layers(Alignment(content, model), images)


def explain(model: Any, content: bytes, ranked: list[LayerFidelity]) -> str:
    return advise(ranked, Alignment(content, model).layers, float_top1=0.9, file_top1=0.8)


def mean_difference(model: Any, content: bytes, images: np.ndarray) -> float:
    expected = make_keras_predict_fn(model)(images)
    return float(np.abs(Classifier.load(content).predict(images) - expected).mean())


def keep(model: Any, content: bytes, *names: str) -> bytes:
    alignment = Alignment(content, model)
    return rewrite(content, alignment.find_layers(names), alignment.graph)


@pytest.fixture(scope="module")
def sound(build_folded: Any, images: np.ndarray) -> tuple[Any, bytes]:
    model = build_folded(images)
    return model, convert_ptq(model, images)


def test_every_layer_of_a_sound_file_is_found_and_near(
    sound: tuple[Any, bytes], images: np.ndarray
) -> None:
    model, content = sound
    ranked = rank(model, content, images)
    kernels = [layer.name for layer in model.layers if layer.weights and layer.name != "dropout"]
    assert {layer.name for layer in ranked} == {*kernels, "global_average_pooling2d"}
    assert [layer.effect_db for layer in ranked] == sorted(layer.effect_db for layer in ranked)
    for layer in ranked:
        assert layer.effect_db > 10  # noise through random kernels: errors grow
        assert layer.own_snr_db > 30
        assert layer.cosine**2 > 1 - 10 ** (-layer.snr_db / 10) - 1e-3  # sin² <= noise / signal
        assert layer.saturated_share < 0.01
        assert 0.5 < layer.range_used_share <= 1
        assert (layer.kernel_spread is None) == (layer.name == "global_average_pooling2d")
    assert 0.5 <= np.median([layer.own_largest_error_steps for layer in ranked]) < 4


def test_own_error_and_piled_up_error_are_the_same_at_the_first_layer(
    sound: tuple[Any, bytes], images: np.ndarray
) -> None:
    by_name = {layer.name: layer for layer in rank(*sound, images)}
    first, late = by_name["conv1"], by_name["conv_pw_7"]
    assert first.own_snr_db == pytest.approx(first.snr_db, abs=0.1)
    assert late.snr_db < late.own_snr_db - 5


@pytest.mark.parametrize(
    ("factor", "words"), [(0.1, "lie outside its range"), (100.0, "of the int8 range")]
)
def test_a_ruined_activation_range_is_found(
    build_folded: Any, factor: float, words: str, images: np.ndarray
) -> None:
    model = build_folded(images)
    quantized = quantize_model(model)
    calibrate(quantized, images)
    for weight in quantized.get_layer("quant_conv_pw_6_relu").weights:
        if weight.name.endswith(("_min:0", "_max:0")):
            weight.assign(weight * factor)
    content = convert(quantized, quantization="int8_qat", classes=CLASSES, description="a test")
    ranked = rank(model, content, images)
    worst, second = ranked[0], ranked[1]
    assert worst.name == "conv_pw_6"
    assert worst.effect_db < second.effect_db - 6
    assert worst.rounding_share > 0.9
    assert (worst.saturated_share > 0.05) == (factor < 1)
    assert (worst.range_used_share < 0.1) == (factor > 1)
    said = explain(model, content, ranked)
    assert words in said
    assert "--keep-float conv_pw_6 --keep-float conv_dw_7" in said


def test_a_channel_that_takes_all_the_range_is_found_behind_a_good_ratio(
    build_folded: Any, sound: tuple[Any, bytes], images: np.ndarray
) -> None:
    model = build_folded(images)
    before = make_keras_predict_fn(model)(images)
    scale_one_channel(model)
    changed = np.abs(make_keras_predict_fn(model)(images) - before).mean()
    assert changed < 0.003, "but for the few values that ReLU6 had cut off"
    content = convert_ptq(model, images)
    ranked = rank(model, content, images)
    worst = ranked[0]
    assert worst.name == "conv_dw_4"
    assert worst.effect_db < 10 < ranked[2].effect_db
    assert worst.own_snr_db > 35  # the tensor by itself looks as good as any
    assert worst.output_spread > 100
    assert "times in range under one scale" in explain(model, content, ranked)
    ruined = mean_difference(model, content, images)
    alone = mean_difference(model, keep(model, content, "conv_dw_4"), images)
    both = mean_difference(model, keep(model, content, "conv_dw_4", "conv_pw_4"), images)
    unruined = mean_difference(*sound, images)
    assert both < 1.15 * unruined < ruined, "float from the layer to its reader gives it back"
    assert alone > both, "the layer alone is quantized again behind it"


def test_a_ruined_kernel_is_found_and_float_gives_it_back(
    build_folded: Any, sound: tuple[Any, bytes], images: np.ndarray
) -> None:
    model = build_folded(images)
    load_dead_input(model)
    content = convert_ptq(model, images)
    ranked = rank(model, content, images)
    assert ranked[0].name == "conv_pw_4"
    assert ranked[0].effect_db < ranked[1].effect_db - 6
    assert ranked[0].rounding_share < 0.1
    assert "Its kernel loses more" in explain(model, content, ranked)
    mixed = keep(model, content, "conv_pw_4")
    unruined = mean_difference(*sound, images)
    assert mean_difference(model, content, images) > 1.4 * unruined
    assert mean_difference(model, mixed, images) < 1.15 * unruined
    layer = model.get_layer("conv_pw_4")
    assert len(mixed) - len(content) > 3 * layer.kernel.numpy().size - 1000


def test_kept_layers_are_float_and_nothing_else_is(sound: tuple[Any, bytes]) -> None:
    model, content = sound
    found = audit(keep(model, content, "conv_dw_1_relu", "conv_pw_1", "conv_pw_5"))
    floats = {tensor.name for tensor in found.float_tensors}
    assert floats == {
        *("conv1_relu_float", "conv_dw_1/kernel", "conv_dw_1/bias", "conv_dw_1_relu"),
        *("conv_pw_1/kernel", "conv_pw_1/bias", "conv_pw_1_relu_float"),
        *("conv_dw_5_relu_float", "conv_pw_5/kernel", "conv_pw_5/bias", "conv_pw_5_relu_float"),
    }
    names = [op.name for op in found.conversion_ops]
    assert names == ["DEQUANTIZE", "QUANTIZE", "DEQUANTIZE", "QUANTIZE"]
    assert found.metadata is not None
    assert found.metadata.description == "a test; in float: conv_dw_1, conv_pw_1, conv_pw_5"
    assert sum(found.sizes_bytes.values()) == found.file_bytes
    assert found.sizes_bytes["unknown"] == 0


def test_all_layers_in_float_are_the_float_network(
    sound: tuple[Any, bytes], images: np.ndarray
) -> None:
    model, content = sound
    layers = Alignment(content, model).layers
    mixed = keep(model, content, *(layer.name for layer in layers))
    logits = model((images.astype(np.float32) - 128) / 128).numpy()
    classifier = Classifier.load(mixed, keep_tensors=True)
    (last,) = (t.index for t in audit(mixed).tensors if t.name == "conv_preds_float")
    given = classifier.read_tensors(images, [last])[last].reshape(logits.shape)
    np.testing.assert_allclose(given, logits, atol=1e-4)


@pytest.mark.parametrize("options", [{"io_type": "uint8"}, {"logits": True}])
def test_other_inputs_and_outputs_are_read_as_well(
    options: dict[str, Any], sound: tuple[Any, bytes], images: np.ndarray
) -> None:
    model, content = sound
    other = convert_ptq(model, images, **options)
    assert [layer.name for layer in rank(model, other, images)] == [
        layer.name for layer in rank(model, content, images)
    ]
    kept = keep(model, other, "conv1", "conv_preds")
    plain = keep(model, content, "conv1", "conv_preds")
    scores = Classifier.load(kept).predict(images)
    if "logits" in options:
        powers = np.exp(scores)
        scores = powers / powers.sum(-1, keepdims=True)
    expected = Classifier.load(plain).predict(images)
    assert np.abs(scores - expected).max() <= (1 / 128 if "logits" in options else 0)


def test_names_lead_to_ops_and_an_unknown_one_to_the_nearest(sound: tuple[Any, bytes]) -> None:
    model, content = sound
    alignment = Alignment(content, model)
    found = alignment.find_layers(["conv_pw_3", "conv1_relu", "conv1"])
    assert [layer.name for layer in found] == ["conv1", "conv_pw_3"]
    with pytest.raises(UsageError, match=r"'conv_pw_33'.*did you mean 'conv_pw_3'"):
        alignment.find_layers(["conv_pw_33"])


def test_a_file_without_layer_names_says_what_to_do(sound: tuple[Any, bytes]) -> None:
    _, content = sound
    stranger = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(MtfError, match=r"named after no Keras layer.*export it again"):
        Alignment(content, stranger)


def test_a_constant_of_another_shape_is_refused(sound: tuple[Any, bytes]) -> None:
    with pytest.raises(MtfError, match=r"conv1/kernel has shape \(8, 3, 3, 3\).*\(3, 3\)"):
        keep_float(sound[1], {0: [np.zeros((3, 3), np.float32)]})


def test_no_image_is_refused(sound: tuple[Any, bytes], images: np.ndarray) -> None:
    with pytest.raises(UsageError, match="no image"):
        rank(*sound, images[:0])


def test_batches_do_not_change_the_figures(
    sound: tuple[Any, bytes], images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rank(*sound, images[:7])
    monkeypatch.setattr("mobilenet_tf.debugging.alignment._LARGEST_BATCH", 3)
    for one, other in zip(whole, rank(*sound, images[:7]), strict=True):
        assert one.name == other.name
        assert one.own_snr_db == pytest.approx(other.own_snr_db, abs=0.02)
        assert one.largest_error_steps == pytest.approx(other.largest_error_steps, abs=0.02)


def test_decibels_have_no_infinities() -> None:
    assert to_decibels(100.0, 1.0) == 20.0
    assert to_decibels(1.0, 0.0) == HIGHEST_DB
    assert to_decibels(0.0, 1.0) is None


def test_kernel_spread_is_over_output_channels() -> None:
    depthwise = keras.layers.DepthwiseConv2D(2)
    depthwise.build((None, 4, 4, 3))
    kernel = np.ones((2, 2, 3, 1), np.float32) * np.float32([1, 50, 0])[:, None]
    depthwise.set_weights([kernel, np.zeros(3, np.float32)])
    assert measure_kernel_spread(depthwise) == 50.0  # the channel of zeros does not count
    assert measure_kernel_spread(keras.layers.ReLU()) is None
