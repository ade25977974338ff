"""The export stage: the weights of a run -> audited `.tflite` files, compared with their models."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from mobilenet_tf.data.batches import ended
from mobilenet_tf.data.pipeline import resize_bytes
from mobilenet_tf.data.training import load_training_data
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.evaluation.metrics import make_keras_predict_fn, predict_all
from mobilenet_tf.evaluation.paired import compare_probabilities
from mobilenet_tf.evaluation.predict import to_probabilities
from mobilenet_tf.files import write_bytes, write_json
from mobilenet_tf.pipeline.confidence import describe_confidence
from mobilenet_tf.pipeline.mistakes import find_examples
from mobilenet_tf.pipeline.networks import build_float_model, build_quantized_model
from mobilenet_tf.pipeline.plan import Plan
from mobilenet_tf.pipeline.stages import Outcome, Work
from mobilenet_tf.recipe import Quantization
from mobilenet_tf.runs.examples import EXAMPLES_FILE
from mobilenet_tf.runs.names import edges_name, tflite_name
from mobilenet_tf.runs.records import Preference
from mobilenet_tf.runs.results import ExportedFile, ExportMetrics, Twin
from mobilenet_tf.system import terminal
from mobilenet_tf.tflite.audit import audit
from mobilenet_tf.tflite.contract import check_contract
from mobilenet_tf.tflite.convert import convert
from mobilenet_tf.tflite.edges import convert_edges
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.tflite.metadata import replace_metadata
from mobilenet_tf.training.fine_tuning import (
    Calibration,
    Comparison,
    draw_calibration,
    set_up_comparison,
)

log = logging.getLogger(__name__)
COMPARED_COUNT = 1000
INT8: tuple[Quantization, ...] = ("int8_qat", "int8_ptq")


def run(work: Work) -> Outcome[ExportMetrics]:
    """Write every `.tflite` file that the recipe asks for.

    A file is written only after its audit; each is then run beside the Keras model that it came
    from, on validation images (on training ones where none are held out). An int8 file gets a
    twin with uint8 input and output.

    Raises:
        UsageError: int8_qat alone, without quantization-aware training.
    """
    plan, recipe, inputs = work.plan, work.plan.recipe, work.inputs
    wanted = [q for q in recipe.export.quantizations if q != "int8_qat" or "qat" in inputs]
    if not wanted:
        raise UsageError(
            "int8_qat needs quantization-aware training; run mtf qat, or export int8_ptq"
        )
    if len(wanted) < len(recipe.export.quantizations):
        log.info("export: int8_qat left out, the run has no quantization-aware training (mtf qat)")
    data = load_training_data(recipe, plan.data_dir)
    compared = data.validation or data.train
    rows = spread(len(compared))
    images = resize_bytes(compared.images[rows], recipe.model.resolution_px)
    float_model = build_float_model(recipe, inputs["train"])
    calibration = draw_calibration(
        float_model, data.train, recipe.export.calibration_count, recipe.seed
    )
    if "int8_ptq" in wanted:
        log.info("export: int8_ptq has the ranges of %s", calibration)
    expected = predict_all(make_keras_predict_fn(float_model), images)
    files: list[ExportedFile] = []
    answers = {}  # of each file, to the images
    for quantization in terminal.track(wanted, "export"):
        model, origin, own = float_model, "train", expected
        if quantization == "int8_qat":
            model, origin = build_quantized_model(recipe, inputs["qat"]), "qat"
            own = predict_all(make_keras_predict_fn(model), images)
        content = _convert(model, plan, quantization, calibration)
        content, threshold = describe_confidence(content, plan, origin, data.validation)
        path = work.folder / tflite_name(recipe, quantization)
        exported, answers[path.name] = _write_file(path, content, quantization, images, own)
        files.append(replace(exported, threshold=threshold))
    preference = None
    if set(INT8) <= set(wanted):
        comparison = set_up_comparison(
            float_model, data.train, data.validation, ended(recipe.augmentation), recipe.seed + 2
        )
        paths = {exported.quantization: work.folder / exported.file for exported in files}
        of_qat = plan.run.load_stage("qat", verify=False).metrics.preference
        before = of_qat is not None and of_qat.fine_tuned
        preference = _prefer(comparison, paths, recipe.model.resolution_px, before)
    metrics = ExportMetrics(
        files=tuple(files),
        preference=preference,
        calibration_count=len(calibration.images),
        calibration_outlier_count=calibration.outlier_count,
        calibration="train",
    )
    if data.validation is not None:
        classes = plan.dataset.classes
        examples = find_examples(images, compared.labels[rows], classes, answers[metrics.best.file])
        write_json(work.folder / EXAMPLES_FILE, examples)
    why = f": {preference.reason}" if preference else ""
    log.info("export: %s is the file for an app%s", metrics.best.file, why)
    return Outcome(metrics, data.fingerprints)


def spread(count: int) -> np.ndarray:
    """Return `COMPARED_COUNT` of `count` places, evenly apart: images may be sorted by class."""
    return np.linspace(0, count - 1, min(COMPARED_COUNT, count)).round().astype(int)


def _write_file(
    path: Path, content: bytes, quantization: Quantization, images: np.ndarray, expected: np.ndarray
) -> tuple[ExportedFile, np.ndarray]:
    """Write a file, with its twin, and compare it with what its Keras model expects.

    Also returned are its probabilities (N, C) of the images.
    """
    write_bytes(path, content)
    classifier = Classifier.load(content)
    answers = to_probabilities(classifier)(images)
    exported = ExportedFile(
        file=path.name,
        quantization=quantization,
        io_type=classifier.input_type,
        size_bytes=len(content),
        parity=compare_probabilities(expected, answers),
        twins=(_write_twin(path, content),) if quantization.startswith("int8") else (),
    )
    log.info(
        "export: %s  %s bytes, predicts the class of its Keras model for %.2f %% of %s images",
        path.name,
        f"{exported.size_bytes:,}",
        100 * exported.parity.top1_agreement,
        f"{exported.parity.count:,}",
    )
    return exported, answers


def _prefer(
    comparison: Comparison,
    paths: Mapping[Quantization, Path],
    resolution_px: int,
    tuned_before: bool,
) -> Preference:
    """Return whether the int8 file after QAT is preferred to the one without.

    Where they do not differ, what QAT itself preferred when it ended stands.
    """
    tuned, calibrated = (
        predict_all(
            to_probabilities(Classifier.load(paths[quantization])),
            comparison.images,
            resolution_px=resolution_px,
            label=f"comparing {quantization}",
        )
        for quantization in INT8
    )
    return comparison.prefer(tuned, calibrated, tuned_before=tuned_before)


def _write_twin(path: Path, content: bytes) -> Twin:
    """Write an int8 file for the runtimes that take bytes: uint8 in and out, the same scores."""
    twin = convert_edges(content, "uint8")
    found = audit(twin)
    logits = found.info.output == "logits"
    if broken := check_contract(found, "int8_ptq", "uint8", logits):
        raise MtfError(f"the uint8 file is not in its format: {'; '.join(broken)}")
    name = edges_name(path.name, "uint8")
    write_bytes(path.with_name(name), twin)
    return Twin(file=name, io_type="uint8", size_bytes=len(twin))


def _convert(model: Any, plan: Plan, quantization: Quantization, calibration: Calibration) -> bytes:
    export = plan.recipe.export
    with terminal.bar(f"converting to {quantization}", None):
        content = convert(
            model,
            quantization=quantization,
            classes=plan.dataset.classes,
            description=f"{plan.variant.name} trained on {plan.dataset.name}",
            logits=export.logits,
            resize=plan.recipe.data.resize,
            calibration_images=calibration.images,
        )
    return replace_metadata(content, author=export.author, license=export.license)
