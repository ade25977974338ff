"""The benchmark stage: accuracy, size, latency and memory of every model of a run.

The only reader of the test split. Keras models and files go through one metric path.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobilenet_tf.artifacts import artifact_name, recipe_variant, weights_name
from mobilenet_tf.data.catalog import dataset_info
from mobilenet_tf.data.pipeline import normalise, resize_bytes
from mobilenet_tf.data.sources import Split, load_test_split
from mobilenet_tf.data.splits import fingerprint
from mobilenet_tf.evaluate import Score, evaluate, make_keras_predict_fn
from mobilenet_tf.export import to_probabilities
from mobilenet_tf.hardware import usable_cores
from mobilenet_tf.keras import tf
from mobilenet_tf.models.cost import count_variant_costs
from mobilenet_tf.recipe import BenchmarkSettings, Recipe
from mobilenet_tf.results import load_result
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.tflite.memory import measure_peak_memory
from mobilenet_tf.training.job import build_float_model, build_quantized_model
from mobilenet_tf.views import PredictFn, augment_predictions, count_views

Echo = Callable[[str], None]
BLOCK_RUNS = 10  # consecutive runs of one model before the next has its turn


@dataclass(frozen=True)
class Candidate:
    """One thing to measure: how it predicts a batch, how it runs once, what is known of it."""

    row: dict[str, Any]
    predict: PredictFn
    run_once: Callable[[], Any]  # one picture, loaded before
    file: Path


def benchmark_run(
    recipe: Recipe,
    inputs: Mapping[str, Path],
    data_dir: Path | None,
    echo: Echo,
    progress: bool,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Measure the Keras models and the files of a run; return the rows and the fingerprint."""
    info = dataset_info(recipe.data.name)
    test = load_test_split(recipe.data.name, data_dir)
    picture = resize_bytes(test.images[:1], recipe.model.resolution_px)
    candidates = [
        *keras_candidates(recipe, inputs, picture),
        *file_candidates(recipe, inputs["export"], picture),
    ]
    rows = [measure(candidate, test, recipe, echo, progress) for candidate in candidates]
    for row, latencies in zip(rows, time_interleaved(candidates, recipe.benchmark), strict=True):
        row["latency_median_ms"] = round(float(np.median(latencies)), 4)
        row["latency_p90_ms"] = round(float(np.percentile(latencies, 90)), 4)
    metrics = {
        "rows": rows,
        "classes": list(info.classes),
        "test_count": len(test.labels),
        "threads": recipe.benchmark.threads,
        "latency_runs": recipe.benchmark.latency_runs,
    }
    return metrics, {"test": fingerprint(test)}


def score_on_test(
    predict: PredictFn,
    recipe: Recipe,
    data_dir: Path | None,
    *,
    count: int | None = None,
    label: str | None = None,
) -> Score:
    """Return the metrics of `predict` over the first `count` test pictures, or over all.

    `label` shows a progress bar under that name.
    """
    test = load_test_split(recipe.data.name, data_dir)
    shown = Split(test.images[:count], test.labels[:count])
    return evaluate(predict, shown, resolution_px=recipe.model.resolution_px, label=label)


def measure(
    candidate: Candidate, test: Split, recipe: Recipe, echo: Echo, progress: bool
) -> dict[str, Any]:
    """Return the row of one candidate, its latency aside."""
    row = candidate.row
    score = evaluate(
        candidate.predict,
        test,
        resolution_px=recipe.model.resolution_px,
        label=row["artifact"] if progress else None,
    )
    is_file = row["format"] == "tflite"
    threads = recipe.benchmark.threads
    memory = measure_peak_memory(candidate.file, threads=threads) if is_file else None
    said = f"benchmark: {row['artifact']} ({row['format']})  top-1 {score.top1:.2%}"
    views = recipe.benchmark.test_time_augmentation
    augmented: dict[str, Any] = {}
    if views:
        seen = evaluate(
            augment_predictions(candidate.predict, views),
            test,
            resolution_px=recipe.model.resolution_px,
            label=f"{row['artifact']}, {count_views(views)} views" if progress else None,
        )
        said += f", over {count_views(views)} views {seen.top1:.2%}"
        augmented = {
            "test_time_augmentation": {
                "views": list(views),
                "view_count": count_views(views),
                "top1": seen.top1,
                "top5": seen.top5,
                "loss": seen.loss,
            }
        }
    echo(said)
    return (
        row
        | augmented
        | {
            "top1": score.top1,
            "top5": score.top5,
            "loss": score.loss,
            "per_class": score.per_class,
            "confusion": score.confusion,
            "peak_memory_bytes": memory,
        }
    )


def time_interleaved(candidates: list[Candidate], settings: BenchmarkSettings) -> list[list[float]]:
    """Return each candidate's latencies in ms, one picture a run, taken in turns.

    Turns spread what the machine does meanwhile over all candidates: their ratios hold where
    single figures do not.
    """
    for candidate in candidates:
        for _ in range(settings.latency_warmup_runs):
            candidate.run_once()
    latencies: list[list[float]] = [[] for _ in candidates]
    left = settings.latency_runs
    while left > 0:
        runs = min(BLOCK_RUNS, left)
        left -= runs
        for candidate, taken in zip(candidates, latencies, strict=True):
            candidate.run_once()  # brings its weights back into the cache
            for _ in range(runs):
                start = time.perf_counter()
                candidate.run_once()
                taken.append((time.perf_counter() - start) * 1e3)
    return latencies


def keras_candidates(
    recipe: Recipe, inputs: Mapping[str, Path], picture: np.ndarray
) -> list[Candidate]:
    """Return the float Keras model and, where there is one, the fake-quantized one."""
    found = [("train", "float32", build_float_model(recipe, inputs["train"]))]
    if "qat" in inputs:
        found.append(("qat", "int8_qat", build_quantized_model(recipe, inputs["qat"])))
    candidates = []
    for stage, quantization, model in found:
        file = inputs[stage] / weights_name(recipe, quantization)
        row = describe(recipe, stage, quantization, "keras", file) | {
            "io_type": "float32",
            "threads": usable_cores(),  # TensorFlow's own choice
        }
        run_once = make_run_once(model, picture)
        candidates.append(Candidate(row, make_keras_predict_fn(model), run_once, file))
    return candidates


def make_run_once(model: Any, picture: np.ndarray) -> Callable[[], Any]:
    """Return what runs a Keras model once, on one picture (1, R, R, 3) uint8."""
    forward = tf.function(lambda image: model(image, training=False))
    image = normalise(tf.constant(picture))
    return lambda: forward(image).numpy()


def file_candidates(recipe: Recipe, folder: Path, picture: np.ndarray) -> list[Candidate]:
    """Return every exported file, in the order of the export."""
    candidates = []
    for exported in load_result(folder).metrics["files"]:
        file = folder / exported["file"]
        classifier = Classifier.load(file, threads=recipe.benchmark.threads)
        single = Classifier.load(file, threads=recipe.benchmark.threads)
        single.load_image(picture[0])
        row = describe(recipe, "export", exported["quantization"], "tflite", file) | {
            "artifact": file.stem,
            "io_type": exported["io_type"],
            "threads": recipe.benchmark.threads,
        }
        candidates.append(Candidate(row, to_probabilities(classifier), single.invoke, file))
    return candidates


def describe(
    recipe: Recipe, stage: str, quantization: str, form: str, file: Path
) -> dict[str, Any]:
    """Return what is known of a candidate before it runs."""
    cost = count_variant_costs(recipe_variant(recipe))
    return {
        "artifact": artifact_name(recipe, quantization),
        "stage": stage,
        "format": form,
        "quantization": quantization,
        "file": f"{stage}/{file.name}",
        "size_bytes": file.stat().st_size,
        "parameters": cost.parameters,
        "macs": cost.macs,
        "channels": cost.channels,
    }
