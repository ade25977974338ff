"""MediaPipe reads our files: `pip install '.[mediapipe]'`, or MEDIAPIPE_PYTHON names its Python."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mobilenet_tf.data.sources import load_test_split
from mobilenet_tf.tflite.edges import convert_edges
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.tflite.metadata import embed_metadata, read_metadata
from mobilenet_tf.zoo.shelf import zoo_folder

pytestmark = pytest.mark.slow
COUNT = 1000
WORKER = Path(__file__).resolve().parents[2] / "benchmarks" / "mediapipe_worker.py"


@pytest.fixture(scope="module")
def python() -> str:
    """Return the Python that has MediaPipe, or skip."""
    named = os.environ.get("MEDIAPIPE_PYTHON")
    if named is None and importlib.util.find_spec("mediapipe") is None:
        pytest.skip(
            "MediaPipe is not installed: pip install '.[mediapipe]', or set"
            " MEDIAPIPE_PYTHON to a Python that has it"
        )
    return named or sys.executable


@pytest.mark.parametrize("io_type", ["uint8", "float32"])
def test_it_names_the_classes_and_gives_the_same_scores(
    io_type: str, python: str, cifar10_dir: Path, tmp_path: Path
) -> None:
    shipped = next((zoo_folder() / "cifar10_v1_050_r32").glob("*_int8_qat.tflite"))
    content = shipped.read_bytes()
    metadata = read_metadata(content)
    assert metadata is not None
    file, images = tmp_path / "model.tflite", tmp_path / "images.npz"
    file.write_bytes(convert_edges(embed_metadata(content, metadata), io_type))
    pixels = load_test_split("cifar10", cifar10_dir).images[:COUNT]
    np.savez(images, *pixels)
    done = subprocess.run(
        [python, WORKER, file, images, "whole"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    expected = Classifier.load(content).predict(pixels)
    given = np.zeros_like(expected)
    for row, answer in zip(given, json.loads(done.stdout)["answers"], strict=True):
        for name, index, score in answer:
            assert name == metadata.classes[index]
            row[index] = score
    np.testing.assert_array_equal(given, expected)
