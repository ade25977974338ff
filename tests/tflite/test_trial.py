from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.keras import keras
from mobilenet_tf.tflite.convert import convert
from mobilenet_tf.tflite.trial import measure_peak_memory

pytestmark = pytest.mark.slow  # converts with TensorFlow


def test_a_larger_model_takes_as_much_more(export: Callable[..., bytes], tmp_path: Path) -> None:
    small, large = tmp_path / "small.tflite", tmp_path / "large.tflite"
    small.write_bytes(export("float32"))
    image = keras.Input((64, 64, 3))
    flat = keras.layers.Reshape((64 * 64 * 3,))(image)
    dense = keras.layers.Dense(400, kernel_initializer="random_normal")(flat)
    content = convert(
        keras.Model(image, dense),
        quantization="float32",
        classes=[str(number) for number in range(400)],
        description="19 MB of weights",
    )
    large.write_bytes(content)
    assert len(content) > 19e6
    small_bytes, large_bytes = measure_peak_memory(small), measure_peak_memory(large, threads=2)
    assert 0 < small_bytes < 10e6
    assert len(content) < large_bytes - small_bytes < 3 * len(content)


def test_what_cannot_run_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.tflite does not exist"):
        measure_peak_memory(tmp_path / "none.tflite")
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    with pytest.raises(MtfError, match=r"LiteRT cannot run .*broken\.tflite: .+"):
        measure_peak_memory(broken)
