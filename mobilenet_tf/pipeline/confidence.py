"""Probabilities that can be trusted: a temperature in the weights, a threshold in the file.

Both are chosen on validation images, as everything is; test images only measure them.
"""

from __future__ import annotations

import logging
from typing import Any, TypeVar

import numpy as np
from msgspec.structs import replace

from mobilenet_tf.data.splits import Split
from mobilenet_tf.evaluation.calibration import (
    choose_threshold,
    fit_temperature,
    measure_calibration_error,
)
from mobilenet_tf.evaluation.metrics import make_keras_predict_fn, predict_all
from mobilenet_tf.evaluation.predict import softmax, to_probabilities
from mobilenet_tf.pipeline.plan import Plan
from mobilenet_tf.quantization.folding import divide_logits
from mobilenet_tf.runs.results import Accepted, FitMetrics
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.tflite.metadata import replace_metadata

log = logging.getLogger(__name__)
F = TypeVar("F", bound=FitMetrics)
DECIMALS = 4  # of temperatures and thresholds


def calibrate_confidence(label: str, model: Any, validation: Split | None, metrics: F) -> F:
    """Divide a model's logits, in its weights, by the temperature that fits the validation images.

    Predictions stay the same. Returns the metrics with what was done; `label` names the stage.
    """
    if validation is None:
        log.info("%s: confidence is not calibrated, as no validation images are held out", label)
        return metrics
    predict, side_px = make_keras_predict_fn(model), model.input_shape[1]
    before = predict_all(predict, validation.images, resolution_px=side_px, label="validating")
    # Logits but for a constant, which a softmax does not see.
    logits = np.log(np.maximum(before, np.finfo(np.float32).tiny).astype(np.float64))
    temperature = round(fit_temperature(logits, validation.labels), DECIMALS)
    divide_logits(model, temperature)
    errors = [
        measure_calibration_error(probabilities, validation.labels)
        for probabilities in (before, softmax(logits / temperature))
    ]
    log.info(
        "%s: logits divided by %g; calibration error on validation images %.2f %%, before %.2f %%",
        label,
        temperature,
        100 * errors[1],
        100 * errors[0],
    )
    return replace(
        metrics,
        temperature=temperature,
        calibration_error_before=errors[0],
        calibration_error=errors[1],
    )


def describe_confidence(
    content: bytes, plan: Plan, origin: str, validation: Split | None
) -> tuple[bytes, Accepted | None]:
    """Return a `.tflite` file that says its temperature and threshold, and that threshold.

    `origin` is the stage that its weights are from.
    """
    wanted, told = plan.recipe.export.accepted_accuracy, {}
    temperature = plan.run.load_stage(origin, verify=False).metrics.temperature
    if temperature is not None:
        told["temperature"] = temperature
    threshold = None
    if wanted and validation is not None:
        threshold = _find_threshold(content, validation, wanted)
        if threshold is not None:
            told["threshold"] = threshold.threshold
    return (replace_metadata(content, **told) if told else content), threshold


def _find_threshold(content: bytes, validation: Split, accuracy: float) -> Accepted | None:
    classifier = Classifier.load(content)
    probabilities = predict_all(
        to_probabilities(classifier),
        validation.images,
        resolution_px=classifier.input_shape[0],
        label="choosing a threshold",
    )
    right = probabilities.argmax(-1) == validation.labels
    found = choose_threshold(probabilities.max(-1), right, accuracy)
    if found is None:
        log.info("export: no threshold leaves %.0f %% right, the file gets none", 100 * accuracy)
        return None
    log.info(
        'export: below %.3g "unsure"; %.1f %% of the validation images are not, %.2f %% of them'
        " right",
        found.threshold,
        100 * found.coverage,
        100 * found.accuracy,
    )
    scale = 10**DECIMALS  # rounded down: what was accepted stays accepted
    return replace(found, threshold=int(found.threshold * scale) / scale)
