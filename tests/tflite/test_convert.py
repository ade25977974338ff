from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.keras import keras, tf
from mobilenet_tf.tflite.audit import audit
from mobilenet_tf.tflite.convert import convert
from mobilenet_tf.tflite.interpreter import Classifier

pytestmark = pytest.mark.slow  # converts with TensorFlow

Export = Callable[..., bytes]
CLASSES = tuple("abcdefghij")
SIDE_PX = 16


def run_keras(model: keras.Model, images: np.ndarray, logits: bool) -> np.ndarray:
    scores = model.predict((images.astype(np.float32) - 128) / 128, verbose=0)
    return scores if logits else tf.nn.softmax(scores).numpy()


@pytest.mark.parametrize(
    ("quantization", "largest_difference"),
    [("float32", 1e-5), ("float16", 1e-3), ("dynamic_range", 5e-3), ("int8_ptq", 6 / 256)],
)
def test_a_file_gives_what_the_model_gives(
    export: Export,
    tiny_model: keras.Model,
    images: np.ndarray,
    quantization: str,
    largest_difference: float,
) -> None:
    expected = run_keras(tiny_model, images, logits=False)
    given = Classifier.load(export(quantization)).predict(images)
    assert given.shape == expected.shape
    assert given.dtype == np.float32
    assert np.abs(given - expected).max() < largest_difference
    assert expected.max(axis=1).std() > 1e-3  # outputs that differ from image to image


@pytest.mark.parametrize("keepdims", [True, False])
def test_two_classes_share_no_constant_with_the_axes_of_the_pooling(
    images: np.ndarray, keepdims: bool
) -> None:
    image = keras.Input((SIDE_PX, SIDE_PX, 3), name="image")
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=keepdims)(image)
    scores = keras.layers.Dense(2)(pooled)
    model = keras.Model(image, keras.layers.Reshape((2,), name="logits")(scores))
    for quantization in ("float32", "int8_ptq"):
        content = convert(
            model,
            quantization=quantization,
            classes=("cat", "dog"),
            description="for tests",
            calibration_images=images,
        )
        given = Classifier.load(content).predict(images)
        assert np.abs(given - run_keras(model, images, logits=False)).max() < 6 / 256


def test_logits_come_without_softmax(
    export: Export, tiny_model: keras.Model, images: np.ndarray
) -> None:
    expected = run_keras(tiny_model, images, logits=True)
    given = Classifier.load(export("float32", logits=True)).predict(images)
    assert np.abs(given - expected).max() < 1e-4
    assert list(audit(export("int8_ptq", logits=True)).signatures[0].outputs) == ["logits"]


@pytest.mark.parametrize("io_type", ["int8", "uint8"])
def test_a_fake_quantized_model_and_its_file_are_two_steps_apart_at_most(
    export: Export, fake_quant_model: keras.Model, images: np.ndarray, io_type: str
) -> None:
    classifier = Classifier.load(export("int8_qat", io_type))
    expected = run_keras(fake_quant_model, images, logits=False)
    assert classifier.input_type == classifier.output_type == io_type
    assert np.abs(classifier.predict(images) - expected).max() <= 2 / 256


def test_fake_quant_ranges_become_the_kernels_scales(
    export: Export, fake_quant_model: keras.Model
) -> None:
    found = audit(export("int8_qat"))
    kernels = [
        found.tensors[op.inputs[1]].scales for op in found.ops if op.name.endswith("CONV_2D")
    ]
    bounds = [layer.bound for layer in fake_quant_model.layers if hasattr(layer, "bound")]
    assert [len(scales) for scales in kernels] == [8, 8, 10]
    for scales, bound in zip(kernels, bounds, strict=True):
        np.testing.assert_allclose(scales, bound / 127, rtol=1e-6)


@pytest.mark.parametrize("quantization", ["int8_ptq", "int8_qat"])
def test_a_byte_is_one_input_value_exactly(export: Export, quantization: str) -> None:
    for io_type, zero_point in (("int8", 0), ("uint8", 128)):
        found = audit(export(quantization, io_type))
        image = found.tensors[found.inputs[0]]
        assert (image.type, image.scales, image.zero_points) == (io_type, (1 / 128,), (zero_point,))
        scores = found.tensors[found.outputs[0]]
        assert (scores.scales, scores.zero_points) == ((1 / 256,), (zero_point - 128,))


def test_int8_and_uint8_files_give_the_same_scores(export: Export, images: np.ndarray) -> None:
    signed = Classifier.load(export("int8_ptq")).predict_raw(images)
    unsigned = Classifier.load(export("int8_ptq", "uint8")).predict_raw(images)
    np.testing.assert_array_equal(signed.astype(np.int16) + 128, unsigned.astype(np.int16))


def test_converting_is_repeatable_quiet_and_leaves_its_inputs_alone(
    export: Export,
    tiny_model: keras.Model,
    images: np.ndarray,
    capfd: pytest.CaptureFixture[str],
) -> None:
    first = export("int8_ptq")
    before = images.copy()
    capfd.readouterr()
    again = convert(
        tiny_model,
        quantization="int8_ptq",
        classes=CLASSES,
        description="tiny int8_ptq",
        calibration_images=images[:16],
    )
    assert capfd.readouterr() == ("", "")
    assert again == first
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantization": "int8_qta"}, "did you mean 'int8_qat'"),
        ({"io_type": "int16"}, "unknown io_type 'int16'"),
        ({"classes": ("a", "b")}, "2 class names"),
        ({"calibration_images": None}, "there are none"),
        ({"calibration_images": np.zeros((0, SIDE_PX, SIDE_PX, 3), np.uint8)}, "there are none"),
        ({"calibration_images": np.full((2, SIDE_PX, SIDE_PX, 3), np.nan)}, "float64 with NaN"),
        ({"calibration_images": np.zeros((2, SIDE_PX, SIDE_PX, 3), np.float32)}, "are float32;"),
        ({"calibration_images": np.zeros((2, 8, 8, 3), np.uint8)}, "resize them first"),
        ({"calibration_images": np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)}, "resize them first"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    tiny_model: keras.Model, images: np.ndarray, change: dict[str, object], message: str
) -> None:
    arguments = {
        "quantization": "int8_ptq",
        "classes": CLASSES,
        "description": "",
        "calibration_images": images[:2],
    }
    with pytest.raises(UsageError, match=message):
        convert(tiny_model, **{**arguments, **change})


def test_a_keras_3_model_is_named_as_one(images: np.ndarray) -> None:
    keras_3_model = type("Functional", (SimpleNamespace,), {"__module__": "keras.src.models"})()
    with pytest.raises(UsageError, match=r"tf_keras \(Keras 2\) model and got a Keras 3"):
        convert(keras_3_model, quantization="float32", classes=CLASSES, description="")


def test_a_model_of_no_fixed_size_is_refused() -> None:
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    with pytest.raises(UsageError, match="fixed height and width"):
        convert(model, quantization="float32", classes="abc", description="")


def test_kernels_with_one_range_fail_the_export_op_by_op(
    make_fake_quant_model: Callable[..., keras.Model],
) -> None:
    model = make_fake_quant_model(per_channel=False)
    request = {"quantization": "int8_qat", "classes": CLASSES, "description": ""}
    with pytest.raises(
        MtfError, match=r"op 0 CONV_2D has 1 scales .* 8 channels.*; op 1 DEPTHWISE_CONV_2D has 1"
    ):
        convert(model, **request)
    assert audit(convert(model, **request, check=False)).float_tensors == ()


def test_a_float_model_cannot_be_int8_qat(tiny_model: keras.Model) -> None:
    with pytest.raises(MtfError, match="needs a fake-quantized model"):
        convert(tiny_model, quantization="int8_qat", classes=CLASSES, description="")


def test_an_op_that_int8_has_not_is_named(images: np.ndarray) -> None:
    image = keras.Input((SIDE_PX, SIDE_PX, 3))
    x = keras.layers.Lambda(tf.math.erfinv)(image)
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
    with pytest.raises(MtfError, match=r"as int8_ptq: 'tf\.Erfinv' op is neither"):
        convert(
            model,
            quantization="int8_ptq",
            classes="abc",
            description="",
            calibration_images=images[:2],
        )


def test_an_op_left_in_float_fails_the_export(images: np.ndarray) -> None:
    """The converter itself lets this one through, even when asked for int8 ops alone."""
    image = keras.Input((SIDE_PX, SIDE_PX, 3))
    x = keras.layers.Reshape((4, 8, 8, 3))(image)
    x = keras.layers.Conv3D(3, 3)(x)
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    with pytest.raises(MtfError, match=r"CONV_3D has the float32 tensor .*; op 3 QUANTIZE conv"):
        convert(
            model,
            quantization="int8_ptq",
            classes="abc",
            description="",
            calibration_images=images[:2],
        )
