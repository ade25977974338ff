from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.keras import keras, tf
from mobilenet_tf.system.quiet import quiet_stderr
from mobilenet_tf.tflite import interpreter, schema
from mobilenet_tf.tflite.interpreter import Classifier

pytestmark = pytest.mark.slow  # converts with TensorFlow

Export = Callable[..., bytes]
SIDE_PX = 16


def convert_plainly(model: keras.Model) -> bytes:
    """Convert as anybody would, without this project's signature and metadata."""
    with quiet_stderr():
        return bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


@pytest.mark.parametrize("quantization", ["float32", "int8_ptq"])
def test_one_image_or_many_give_the_same(
    export: Export, images: np.ndarray, quantization: str
) -> None:
    classifier = Classifier.load(export(quantization))
    alone = np.concatenate([classifier.predict_raw(image[np.newaxis]) for image in images[:7]])
    for batch_size in (1, 2, 7, 100):  # 7 = 2 + 2 + 2 + 1: a last batch that is not full
        given = classifier.predict_raw(images[:7], batch_size=batch_size)
        np.testing.assert_array_equal(given, alone)


def test_bytes_reach_the_file_as_it_wants_them(export: Export) -> None:
    every_byte = np.arange(256, dtype=np.uint8)
    as_float = Classifier.load(export("float32")).map_bytes(every_byte)
    as_int8 = Classifier.load(export("int8_ptq")).map_bytes(every_byte)
    as_uint8 = Classifier.load(export("int8_ptq", "uint8")).map_bytes(every_byte)
    assert (as_float.dtype, as_int8.dtype, as_uint8.dtype) == (np.float32, np.int8, np.uint8)
    np.testing.assert_array_equal(as_float, (np.arange(256) - 128) / 128)
    np.testing.assert_array_equal(as_int8, np.arange(-128, 128))
    np.testing.assert_array_equal(as_uint8, np.arange(256))


def test_scores_are_dequantized(export: Export, images: np.ndarray) -> None:
    classifier = Classifier.load(export("int8_ptq"))
    raw = classifier.predict_raw(images)
    assert raw.dtype == np.int8
    expected = (raw.astype(np.float64) + 128) / 256
    np.testing.assert_array_equal(classifier.predict(images), expected)
    assert (classifier.output_scale, classifier.output_zero_point) == (1 / 256, -128)


def test_it_tells_what_it_is(export: Export, tmp_path: Path) -> None:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(export("int8_ptq", "uint8"))
    classifier = Classifier.load(path, threads=2)
    assert classifier.classes == tuple("abcdefghij")
    assert classifier.input_shape == (SIDE_PX, SIDE_PX, 3)
    assert (classifier.input_type, classifier.output_type) == ("uint8", "uint8")
    assert classifier.info.documents == ("mobilenet_tf", "TFLITE_METADATA")


def test_no_images_give_no_scores(export: Export) -> None:
    none = np.zeros((0, SIDE_PX, SIDE_PX, 3), np.uint8)
    assert Classifier.load(export("float32")).predict(none).shape == (0, 10)


def test_a_file_from_elsewhere_runs_and_numbers_its_classes(images: np.ndarray) -> None:
    image = keras.Input((SIDE_PX, SIDE_PX, 3))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    classifier = Classifier.load(convert_plainly(model))
    assert classifier.classes == ("0", "1", "2")
    assert classifier.info.documents == ()
    expected = ((images.astype(np.float64) - 128) / 128).mean(axis=(1, 2))
    assert np.abs(classifier.predict(images) - expected).max() < 1e-5


def test_batches_of_too_many_pixels_are_cut_into_equal_parts(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreter, "_BATCH_PIXELS", 10 * SIDE_PX**2)
    classifier = Classifier.load(export("float32"))
    assert [classifier.resize_batch(batch) for batch in (10, 12, 25)] == [10, 6, 9]
    monkeypatch.setattr(interpreter, "_BATCH_PIXELS", 1)
    assert classifier.resize_batch(3) == 1


@pytest.mark.parametrize("batch", [1, 4])
def test_a_graph_that_cannot_be_resized_takes_its_own_batch(images: np.ndarray, batch: int) -> None:
    image = keras.Input(batch_shape=(batch, SIDE_PX, SIDE_PX, 3))
    flat = keras.layers.Lambda(lambda x: tf.reshape(x, (batch, SIDE_PX * SIDE_PX * 3)))(image)
    model = keras.Model(image, keras.layers.Dense(10, use_bias=False)(flat))
    classifier = Classifier.load(convert_plainly(model))
    kernel = model.weights[0].numpy()
    expected = ((images[:10].astype(np.float32) - 128) / 128).reshape(10, -1) @ kernel
    given = classifier.predict(images[:10], batch_size=100)  # 10 is no multiple of 4
    assert classifier.resize_batch(100) == batch
    assert np.abs(given - expected).max() < 1e-3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((2, 8, 8, 3), np.uint8), r"shape \(.*8, 8, 3\).*resize"),
        (np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8), r"takes \(N, 16, 16, 3\)"),
        (np.zeros((2, SIDE_PX, SIDE_PX, 1), np.uint8), "resize"),
        (np.zeros((2, SIDE_PX, SIDE_PX, 3), np.float32), "images are float32; give uint8"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    export: Export, wrong: np.ndarray, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Classifier.load(export("int8_ptq")).predict(wrong)


def test_settings_below_1_are_refused(export: Export, images: np.ndarray) -> None:
    with pytest.raises(UsageError, match="threads is 0"):
        Classifier.load(export("int8_ptq"), threads=0)
    with pytest.raises(UsageError, match="batch_size is 0"):
        Classifier.load(export("int8_ptq")).predict(images, batch_size=0)


def test_files_that_cannot_run_say_so(
    export: Export, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cut_off = tmp_path / "cut_off.tflite"
    cut_off.write_bytes(export("int8_ptq")[:2000])
    with pytest.raises(MtfError, match=r"cut_off\.tflite is not a \.tflite file, or it is damaged"):
        Classifier.load(cut_off)
    with pytest.raises(UsageError, match="does not exist"):
        Classifier.load(tmp_path / "none.tflite")
    model = schema.parse(export("float32"))
    softmax = model.operatorCodes[model.subgraphs[0].operators[-1].opcodeIndex]
    softmax.builtinCode = softmax.deprecatedBuiltinCode = schema.tables.BuiltinOperator.CUSTOM
    softmax.customCode = "FlexErf"
    with pytest.raises(MtfError, match=r"LiteRT cannot run the model: .*FlexErf.*`mtf audit`"):
        Classifier.load(schema.pack(model))
    assert capfd.readouterr().err == ""


def test_a_model_that_is_no_classifier_is_refused() -> None:
    image = keras.Input((SIDE_PX, SIDE_PX, 3))
    segmenter = keras.Model(image, keras.layers.Conv2D(2, 1)(image))
    with pytest.raises(MtfError, match=r"maps \(1, 16, 16, 3\) to \(1, 16, 16, 2\)"):
        Classifier.load(convert_plainly(segmenter))
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    with pytest.raises(MtfError, match="1 inputs and 2 outputs"):
        Classifier.load(convert_plainly(keras.Model(image, [pooled, pooled * 2])))


def test_running_a_file_needs_no_tensorflow(export: Export, tmp_path: Path) -> None:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(export("int8_ptq"))
    program = (
        "import sys, numpy as np;"
        "from mobilenet_tf.tflite.interpreter import Classifier;"
        "from mobilenet_tf.tflite.contract import check_contract;"
        f"c = Classifier.load({str(path)!r});"
        "print(c.predict(np.zeros((2, *c.input_shape), np.uint8)).shape);"
        "print('tensorflow' in sys.modules, 'tf_keras' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("(2, 10)\nFalse False\n", "")
