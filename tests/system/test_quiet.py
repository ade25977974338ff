from __future__ import annotations

import subprocess
import sys

WARNS = """
from mobilenet_tf.data.sources import import_tfds
from mobilenet_tf.keras import keras
from mobilenet_tf.tflite.convert import convert
import_tfds()
image = keras.Input((4, 4, 3))
scores = keras.layers.Dense(2)(keras.layers.Flatten()(image))
model = keras.Model(image, scores)  # converting it sets absl's level anew
convert(model, quantization="float32", classes=("cat", "dog"), description="", check=False)
from absl import logging
logging.warning("for developers")
logging.error("for everybody")
"""


def test_of_what_tensorflow_logs_errors_alone_are_shown() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WARNS], capture_output=True, text=True, timeout=300, check=True
    )
    shown = done.stderr.splitlines()
    assert len(shown) == 1
    assert "for everybody" in shown[0]
