"""The benchmark stage: accuracy, size, latency and memory of every model of a run.

The only reader of the test split. Keras models and files go through one metric path.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mobilenet_tf.data.index import TEST
from mobilenet_tf.data.photographs import open_photographs
from mobilenet_tf.data.pipeline import normalise, resize_bytes
from mobilenet_tf.data.sources import Split, load_test_split
from mobilenet_tf.data.splits import fingerprint
from mobilenet_tf.data.stored import StoredImages
from mobilenet_tf.evaluation.calibration import measure_accepted, measure_calibration_error
from mobilenet_tf.evaluation.latency import time_interleaved
from mobilenet_tf.evaluation.metrics import evaluate, make_keras_predict_fn, predict_all
from mobilenet_tf.evaluation.paired import pair
from mobilenet_tf.evaluation.predict import to_probabilities
from mobilenet_tf.evaluation.preparation import score_preparations
from mobilenet_tf.evaluation.score import Score, score_probabilities
from mobilenet_tf.evaluation.test_time import PredictFn, augment_predictions, count_views
from mobilenet_tf.files import write_json
from mobilenet_tf.keras import tf
from mobilenet_tf.models.cost import count_costs
from mobilenet_tf.pipeline.mistakes import find_mistakes
from mobilenet_tf.pipeline.networks import build_float_model, build_quantized_model
from mobilenet_tf.pipeline.plan import Plan
from mobilenet_tf.pipeline.stages import Outcome, Work
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.names import weights_name
from mobilenet_tf.runs.results import (
    MISTAKES_FILE,
    AugmentedScore,
    BenchmarkedModel,
    BenchmarkMetrics,
    BenchmarkRow,
)
from mobilenet_tf.system import terminal
from mobilenet_tf.system.hardware import usable_cores
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.tflite.trial import measure_peak_memory

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """One thing to measure: what is known of it before anything runs, and how it runs."""

    model: BenchmarkedModel
    path: Path
    predict: PredictFn
    run_once: Callable[[], Any]  # one image, loaded before
    threshold: float | None = None  # of its probabilities, below which it is unsure


def run(work: Work) -> Outcome[BenchmarkMetrics]:
    """Measure the Keras models and the files of a run on the test split."""
    plan, recipe = work.plan, work.plan.recipe
    test, digest = load_test_data(recipe, plan.data_dir)
    image = resize_bytes(test.images[:1], recipe.model.resolution_px)
    candidates = [*_keras_candidates(work, image), *_file_candidates(work, image)]
    latencies_ms = time_interleaved([c.run_once for c in candidates], recipe.benchmark)
    rows: list[BenchmarkRow] = []
    predicted: list[np.ndarray] = []  # probabilities; those of the float network come first
    for i, candidate in enumerate(terminal.track(candidates, "benchmark")):
        row, probabilities = _measure(candidate, test, plan, latencies_ms[i], predicted[:1])
        predicted.append(probabilities)
        augmented = row.test_time_augmentation
        log.info(
            "benchmark: %s (%s)  top-1 %.2f %%%s",
            row.artifact,
            row.format,
            100 * row.top1,
            f", with test-time augmentation {augmented.top1:.2%}" if augmented else "",
        )
        rows.append(row)
    metrics = BenchmarkMetrics(
        rows=tuple(rows),
        classes=plan.dataset.classes,
        test_count=len(test.labels),
        threads=recipe.benchmark.threads,
        latency_runs=recipe.benchmark.latency_runs,
        chosen=plan.run.load_stage("export", verify=False).metrics.best.quantization,
    )
    int8 = metrics.int8
    if int8:
        float_model = build_float_model(recipe, work.inputs["train"])
        theirs, own = predicted[0], predicted[rows.index(int8)]
        mistakes = find_mistakes(test, metrics.classes, own, theirs, float_model)
        write_json(work.folder / MISTAKES_FILE, mistakes)
    if int8 and isinstance(test.images, StoredImages):
        preparations = score_preparations(
            candidates[rows.index(int8)].predict,
            test.images.index,
            recipe.model.resolution_px,
            recipe.data.resize,
        )
        metrics = msgspec.structs.replace(metrics, preparations=preparations)
    return Outcome(metrics, {"test": digest})


def load_test_data(recipe: Recipe, data_dir: Path | None) -> tuple[Split, str]:
    """Return the test images of a recipe and their fingerprint."""
    if recipe.data.path:
        return open_photographs(recipe, data_dir).split(TEST)
    with terminal.bar(f"loading {recipe.data.name}", None):
        test = load_test_split(recipe.data.name, data_dir)
    return test, fingerprint(test)


def score_on_test(
    predict: PredictFn, recipe: Recipe, data_dir: Path | None, *, count: int | None = None
) -> Score:
    """Return the metrics of `predict` over the first `count` test images, or over all."""
    test, _ = load_test_data(recipe, data_dir)
    shown = Split(test.images[:count], test.labels[:count])
    return evaluate(predict, shown, resolution_px=recipe.model.resolution_px)


def _measure(
    candidate: Candidate,
    test: Split,
    plan: Plan,
    latencies_ms: list[float],
    reference: list[np.ndarray],
) -> tuple[BenchmarkRow, np.ndarray]:
    """Return the row of one candidate and its probabilities of the test images, (N, C).

    `reference` holds those of the model that it is paired with, none for that model itself.
    """
    model, resolution_px = candidate.model, plan.recipe.model.resolution_px
    probabilities = predict_all(
        candidate.predict, test.images, resolution_px=resolution_px, label=model.artifact
    )
    score = score_probabilities(probabilities, test.labels)
    right = probabilities.argmax(-1) == test.labels
    memory_bytes = None
    if model.format == "tflite":
        memory_bytes = measure_peak_memory(candidate.path, threads=model.threads)
    paired = None
    if reference:
        theirs = reference[0].argmax(-1) == test.labels
        paired = pair(right, theirs, test.labels, len(score.per_class))
    row = BenchmarkRow(
        **msgspec.structs.asdict(model),
        top1=score.top1,
        top5=score.top5,
        loss=score.loss,
        per_class=tuple(score.per_class),
        confusion=tuple(map(tuple, score.confusion)),
        latency_median_ms=round(float(np.median(latencies_ms)), 4),
        latency_p90_ms=round(float(np.percentile(latencies_ms, 90)), 4),
        peak_memory_bytes=memory_bytes,
        channels=count_costs(plan.variant).channels,
        test_time_augmentation=_measure_augmented(candidate, test, plan.recipe),
        paired=paired,
        calibration_error=measure_calibration_error(probabilities, test.labels),
        accepted=measure_accepted(probabilities.max(-1), right, candidate.threshold),
    )
    return row, probabilities


def _measure_augmented(candidate: Candidate, test: Split, recipe: Recipe) -> AugmentedScore | None:
    views = recipe.benchmark.test_time_augmentation
    if not views:
        return None
    count = count_views(views)
    score = evaluate(
        augment_predictions(candidate.predict, views),
        test,
        resolution_px=recipe.model.resolution_px,
        label=f"{candidate.model.artifact}, {count} views",
    )
    return AugmentedScore(
        views=views, view_count=count, top1=score.top1, top5=score.top5, loss=score.loss
    )


def _describe(plan: Plan, stage: Any, path: Path, **kind: Any) -> BenchmarkedModel:
    cost = count_costs(plan.variant)
    return BenchmarkedModel(
        artifact=path.stem,
        stage=stage,
        file=f"{stage}/{path.name}",
        size_bytes=path.stat().st_size,
        parameters=cost.parameters,
        macs=cost.macs,
        **kind,
    )


def _keras_candidates(work: Work, image: np.ndarray) -> Iterator[Candidate]:
    """Yield the float Keras model and, where there is one, the fake-quantized one."""
    recipe, inputs = work.plan.recipe, work.inputs
    found = [("train", "float32", build_float_model(recipe, inputs["train"]))]
    if "qat" in inputs:
        found.append(("qat", "int8_qat", build_quantized_model(recipe, inputs["qat"])))
    for stage, quantization, model in found:
        path = inputs[stage] / weights_name(recipe, quantization)
        kind = {"format": "keras", "quantization": quantization, "io_type": "float32"}
        threads = usable_cores()  # TensorFlow's own choice
        described = _describe(work.plan, stage, path, **kind, threads=threads)
        predict = make_keras_predict_fn(model)
        yield Candidate(described, path, predict, _make_run_once(model, image))


def _make_run_once(model: Any, image: np.ndarray) -> Callable[[], Any]:
    forward = tf.function(lambda x: model(x, training=False))
    normalised = normalise(tf.constant(image))
    return lambda: forward(normalised).numpy()


def _file_candidates(work: Work, image: np.ndarray) -> Iterator[Candidate]:
    """Yield every exported file, in the order of the export."""
    plan, threads = work.plan, work.plan.recipe.benchmark.threads
    for exported in plan.run.load_stage("export", verify=False).metrics.files:
        path = work.inputs["export"] / exported.file
        classifier, single = (Classifier.load(path, threads=threads) for _ in range(2))
        single.load_image(image[0])
        kind = {"quantization": exported.quantization, "io_type": exported.io_type}
        described = _describe(plan, "export", path, format="tflite", **kind, threads=threads)
        predict = to_probabilities(classifier)
        threshold = classifier.info.threshold
        yield Candidate(described, path, predict, single.invoke, threshold)
