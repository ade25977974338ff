from __future__ import annotations

import subprocess
import sys

WARNS = """
import mobilenet_tf.keras
from mobilenet_tf.data.sources import import_tfds
import_tfds()
from absl import logging
logging.warning("for developers")
logging.error("for everybody")
"""


def test_of_what_tensorflow_logs_errors_alone_are_shown() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WARNS], capture_output=True, text=True, timeout=300, check=True
    )
    assert "for developers" not in done.stderr
    assert "for everybody" in done.stderr
