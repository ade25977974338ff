from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.data.splits import Split
from mobilenet_tf.evaluation.predict import Predictor
from mobilenet_tf.pipeline.confidence import calibrate_confidence, describe_confidence
from mobilenet_tf.quantization.folding import divide_logits
from mobilenet_tf.quantization.qat import calibrate, quantize_model
from mobilenet_tf.runs.results import FitMetrics
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.tflite.metadata import read_metadata
from mobilenet_tf.zoo.shelf import find_tflite

METRICS = FitMetrics(
    parameters=1, train_count=1, validation_count=1, best_epoch=1, selection="validation",
    validation_top1=0.5, epochs_done=1, stopped_early=False, steps_per_epoch=1, images_per_s=1.0,
    fit_time_s=1.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (60, 32, 32, 3)).astype(np.uint8)


@pytest.mark.slow
def test_divided_logits_are_those_of_before(
    images: np.ndarray, build_settled: Callable[..., Any]
) -> None:
    model = build_settled(images)
    twin = quantize_model(model)
    calibrate(twin, images)
    for network in (model, twin):
        before = network(normalise(images), training=False).numpy()
        divide_logits(network, 4.0)
        after = network(normalise(images), training=False).numpy()
        np.testing.assert_array_equal(4 * after, before)  # a power of two: to the bit


@pytest.mark.slow
def test_a_network_that_is_too_sure_learns_modesty(
    images: np.ndarray, build_settled: Callable[..., Any]
) -> None:
    model = build_settled(images)
    divide_logits(model, 0.01)
    predicted = model(normalise(images), training=False).numpy().argmax(-1)
    labels = np.where(np.arange(len(images)) % 3, predicted, (predicted + 1) % 10)
    metrics = calibrate_confidence("train", model, Split(images, labels), METRICS)
    assert metrics.temperature is not None
    assert metrics.temperature > 1
    assert metrics.calibration_error is not None
    assert metrics.calibration_error_before is not None
    assert metrics.calibration_error < metrics.calibration_error_before
    after = model(normalise(images), training=False).numpy().argmax(-1)
    np.testing.assert_array_equal(after, predicted)
    assert calibrate_confidence("train", model, None, METRICS) is METRICS


def test_a_file_says_its_temperature_and_its_threshold(images: np.ndarray, tmp_path: Path) -> None:
    content = find_tflite(Path("cifar10_v1_025_r32")).read_bytes()
    scores = Classifier.load(content).predict(images)
    order = np.argsort(-scores.max(-1))
    labels = scores.argmax(-1)
    labels[order[30:]] = (labels[order[30:]] + 1) % 10  # the surest half is right
    trained = SimpleNamespace(metrics=SimpleNamespace(temperature=1.5))
    plan = SimpleNamespace(
        recipe=SimpleNamespace(export=SimpleNamespace(accepted_accuracy=0.95)),
        run=SimpleNamespace(load_stage=lambda stage, verify: trained),
    )
    told, threshold = describe_confidence(content, plan, "qat", Split(images, labels))
    assert threshold is not None
    assert threshold.accuracy >= 0.95
    file = tmp_path / "file.tflite"
    file.write_bytes(told)
    metadata = read_metadata(file)
    assert metadata is not None
    assert (metadata.temperature, metadata.threshold) == (1.5, threshold.threshold)
    assert Predictor(file).threshold == threshold.threshold
    accepted = (scores.max(-1) >= threshold.threshold).mean()
    assert accepted == pytest.approx(threshold.coverage)
