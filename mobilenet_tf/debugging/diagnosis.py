"""`mtf quant-debug`: a run's int8 file compared with its float network, layer by layer."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mobilenet_tf.data.pipeline import resize_bytes
from mobilenet_tf.data.sources import Split
from mobilenet_tf.data.training import load_training_data
from mobilenet_tf.debugging.alignment import Alignment, FloatGraph, QuantizedLayer
from mobilenet_tf.debugging.causes import Differences, explain_difference
from mobilenet_tf.debugging.layers import LayerFidelity, compare_layers
from mobilenet_tf.debugging.wording import advise
from mobilenet_tf.errors import UsageError
from mobilenet_tf.evaluation.latency import time_interleaved
from mobilenet_tf.evaluation.metrics import evaluate, make_keras_predict_fn
from mobilenet_tf.evaluation.paired import compare_probabilities
from mobilenet_tf.evaluation.predict import to_probabilities
from mobilenet_tf.files import write_bytes, write_json, write_text
from mobilenet_tf.pipeline.networks import build_float_model, build_quantized_model
from mobilenet_tf.pipeline.plan import make_plan
from mobilenet_tf.pipeline.runner import load_inputs
from mobilenet_tf.pipeline.stages import find_stage
from mobilenet_tf.quantization.folding import fold_batch_norm, read_kernel
from mobilenet_tf.quantization.qat import copy_float
from mobilenet_tf.recipe import Quantization, Recipe
from mobilenet_tf.report.plots import plot_layers
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.records import Parity
from mobilenet_tf.runs.results import ExportedFile
from mobilenet_tf.tflite.audit import CHANNEL_AXES
from mobilenet_tf.tflite.constants import read_constants
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.tflite.metadata import embed_metadata, read_metadata
from mobilenet_tf.tflite.mixed import keep_float

log = logging.getLogger(__name__)
FOLDER = "quant-debug"
INT8 = ("int8_qat", "int8_ptq")
LONGEST_NAMED = 3  # layers in a file name, before it only counts them


@dataclass(frozen=True)
class ParityExplained:
    """The differences with both kernel sets, and how far the two are from each other."""

    count: int
    xnnpack: Differences
    reference: Differences
    between_kernels: Parity


@dataclass(frozen=True)
class KeptFloat:
    """A file with some layers in float: its accuracy and cost."""

    layers: tuple[str, ...]
    file: str
    top1: float
    size_bytes: int
    added_bytes: int
    latency_median_ms: float
    int8_latency_median_ms: float
    threads: int


@dataclass(frozen=True)
class Diagnosis:
    """An int8 file against its float network; `layers` has the worst first.

    `images` says which split was compared on; accuracy is that on `accuracy_count` images of it.
    """

    run: str
    file: str
    quantization: Quantization
    images: str
    compared_count: int
    accuracy_count: int
    float_top1: float
    file_top1: float
    layers: tuple[LayerFidelity, ...]
    advice: str
    parity: ParityExplained | None = None
    keep_float: KeptFloat | None = None


def diagnose_run(
    run: RunFolder,
    recipe: Recipe,
    *,
    quantization: str | None = None,
    count: int = 200,
    kept_names: Sequence[str] = (),
    data_dir: Path | None = None,
) -> Diagnosis:
    """Compare on `count` images, write RUN/quant-debug/ and return the diagnosis.

    `quantization` None is QAT's file if there is one; `kept_names` are layers to try in float.
    Test images are never read.

    Raises:
        UsageError: the run has no such int8 file or layer, or a stage is missing or out of date.
        MtfError: a file of the run is damaged, or names no layers.
    """
    results = load_inputs(replace(find_stage("benchmark"), name=FOLDER), make_plan(run, recipe))
    record = _choose_file(results["export"].metrics.files, quantization, run)
    path = run.stage("export") / record.file
    model = _build_reference(run, recipe, record.quantization)
    alignment = Alignment(path, model)
    kept = alignment.find_layers(kept_names)  # fails before the work

    data, side = load_training_data(recipe, data_dir), recipe.model.resolution_px
    split, label = data.validation, "validation"
    if split is None:
        split, label = Split(data.train.images[:count], data.train.labels[:count]), "training"
    images = resize_bytes(split.images[:count], side)
    layers = alignment.layers
    log.info("quant-debug: %s, %d layers, %d %s images", path.name, len(layers), len(images), label)
    ranked = compare_layers(alignment, images)
    float_top1, file_top1 = (
        evaluate(predict, split, resolution_px=side).top1
        for predict in (make_keras_predict_fn(model), to_probabilities(Classifier.load(path)))
    )
    is_qat, folder = record.quantization == "int8_qat", run.path / FOLDER
    found = Diagnosis(
        run=run.name,
        file=f"export/{path.name}",
        quantization=record.quantization,
        images=label,
        compared_count=len(images),
        accuracy_count=len(split.labels),
        float_top1=float_top1,
        file_top1=file_top1,
        layers=tuple(ranked),
        advice=advise(ranked, layers, float_top1=float_top1, file_top1=file_top1),
        parity=_explain_parity(run, recipe, path, images) if is_qat else None,
        keep_float=_write_mixed(path, kept, model, recipe, split) if kept else None,
    )
    ratios = {layer.name: (layer.effect_db, layer.own_snr_db, layer.snr_db) for layer in ranked}
    rows = {layer.name: ratios[layer.name] for layer in layers}  # in the network's order
    write_json(folder / f"{found.quantization}.json", found)
    write_text(folder / f"{found.quantization}.svg", plot_layers(path.stem, rows, ranked[0].name))
    return found


def _choose_file(
    files: Sequence[ExportedFile], quantization: str | None, run: RunFolder
) -> ExportedFile:
    by_quantization = {record.quantization: record for record in files}
    for wanted in INT8 if quantization is None else (quantization,):
        if wanted in by_quantization:
            return by_quantization[wanted]
    raise UsageError(
        f"{run.path} has no {quantization or 'int8'} file (it has {', '.join(by_quantization)});"
        f" run mtf export-tflite {run.path} --overwrite --quantization {quantization or 'int8_ptq'}"
    )


def _build_reference(run: RunFolder, recipe: Recipe, quantization: str) -> Any:
    """Return the float network of a file, batch normalisation folded.

    For int8_qat it has the fine-tuned weights, so that only quantization differs.
    """
    folded = fold_batch_norm(build_float_model(recipe, run.stage("train")))
    if quantization == "int8_qat":
        copy_float(build_quantized_model(recipe, run.stage("qat"), as_trained=True), folded)
    return folded


def _explain_parity(
    run: RunFolder, recipe: Recipe, file: Path, images: np.ndarray
) -> ParityExplained:
    """Return why the fake-quantized network of a run and its file differ, for both kernel sets."""
    constants = read_constants(file)

    def explain(is_reference: bool) -> tuple[Differences, np.ndarray]:
        load = partial(Classifier.load, file, threads=2, reference_kernels=is_reference)
        expected = to_probabilities(load())(images)
        model = build_quantized_model(recipe, run.stage("qat"), as_trained=True)
        alignment = Alignment(file, model, load(keep_tensors=True))
        return explain_difference(alignment, constants, images, expected), expected

    (xnnpack, one), (reference, other) = explain(False), explain(True)
    return ParityExplained(len(images), xnnpack, reference, compare_probabilities(one, other))


def _write_mixed(
    path: Path, kept: Sequence[QuantizedLayer], model: Any, recipe: Recipe, split: Split
) -> KeptFloat:
    """Write the file with layers in float and measure it; it and the int8 file run in turns."""
    content = path.read_bytes()
    mixed = rewrite(content, kept, FloatGraph(model))
    names = tuple(layer.name for layer in kept)
    short = "_".join(names) if len(names) <= LONGEST_NAMED else f"{len(names)}_layers"
    target = path.parents[1] / FOLDER / f"{path.stem}_float_{short}.tflite"
    write_bytes(target, mixed)
    side, threads = recipe.model.resolution_px, recipe.benchmark.threads
    image = resize_bytes(split.images[:1], side)[0]
    runs = []
    for source in (content, mixed):
        single = Classifier.load(source, threads=threads)
        single.load_image(image)
        runs.append(single.invoke)
    int8_ms, mixed_ms = (
        round(float(np.median(latencies)), 4)
        for latencies in time_interleaved(runs, recipe.benchmark)
    )
    score = evaluate(to_probabilities(Classifier.load(mixed)), split, resolution_px=side)
    return KeptFloat(
        layers=names,
        file=f"{FOLDER}/{target.name}",
        top1=score.top1,
        size_bytes=len(mixed),
        added_bytes=len(mixed) - len(content),
        latency_median_ms=mixed_ms,
        int8_latency_median_ms=int8_ms,
        threads=threads,
    )


def rewrite(content: bytes, kept: Sequence[QuantizedLayer], graph: FloatGraph) -> bytes:
    """Return the file with some layers in float, and their names in its description."""
    constants: dict[int, list[np.ndarray]] = {}
    for layer in kept:
        keras_layer, constants[layer.op_index] = graph.layers[layer.name], []
        kernel = read_kernel(keras_layer)
        if kernel is None:
            continue
        members = [graph.layers[name] for name in graph.list_group(layer)]
        # The converter moves a hard-swish's 1/6 to the kernel after it.
        factor = math.prod(member.value for member in members if type(member).__name__ == "Scale")
        shift = np.float32(graph.sum_shifts(layer))
        kernel = _arrange_kernel(kernel * np.float32(factor), layer.op_name)
        outputs = kernel.shape[CHANNEL_AXES[layer.op_name]]
        bias = np.zeros(outputs) if keras_layer.bias is None else keras_layer.bias.numpy()
        constants[layer.op_index] = [kernel, bias.astype(np.float32) + shift]
    mixed = keep_float(content, constants)
    metadata = read_metadata(mixed)
    if metadata is None:
        return mixed
    described = f"{metadata.description}; in float: {', '.join(layer.name for layer in kept)}"
    return embed_metadata(mixed, msgspec.structs.replace(metadata, description=described))


def _arrange_kernel(kernel: np.ndarray, op_name: str) -> np.ndarray:
    """Return a Keras kernel in the layout of a .tflite op."""
    if op_name == "DEPTHWISE_CONV_2D":  # (h, w, channels, multiplier) -> (1, h, w, outputs)
        return kernel.reshape(1, *kernel.shape[:2], -1)
    if op_name == "CONV_2D":  # (h, w, in, out) -> (out, h, w, in)
        return kernel.transpose(3, 0, 1, 2)
    return kernel.transpose()  # (in, out) -> (out, in)
