"""`mtf quant-debug`: a run's int8 file compared with its float network, layer by layer."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mobilenet_tf.data.pipeline import resize_bytes
from mobilenet_tf.data.sources import Split
from mobilenet_tf.data.training import load_training_data
from mobilenet_tf.debugging.advice import advise
from mobilenet_tf.debugging.causes import explain_difference
from mobilenet_tf.debugging.findings import Diagnosis, Differences, KeptFloat, ParityExplained
from mobilenet_tf.debugging.layers import FloatGraph, QuantizedLayer, compare_layers
from mobilenet_tf.debugging.tables import plot_layers
from mobilenet_tf.errors import MtfError, UsageError, suggest
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
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.results import ExportedFile
from mobilenet_tf.tflite.audit import CHANNEL_AXES, Audit, audit
from mobilenet_tf.tflite.constants import read_constants
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.tflite.metadata import embed_metadata, read_metadata
from mobilenet_tf.tflite.mixed import keep_float

log = logging.getLogger(__name__)
FOLDER = "quant-debug"
INT8 = ("int8_qat", "int8_ptq")
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE", "RESHAPE")  # they change no value worth comparing
LONGEST_NAMED = 3  # layers in a file name, before it only counts them


@dataclass(frozen=True)
class Request:
    """What to compare (None: QAT's file if there is one), and which layers to try in float."""

    quantization: str | None = None
    images: int = 200
    keep_float: tuple[str, ...] = ()


def diagnose_run(
    run: RunFolder, recipe: Recipe, request: Request, *, data_dir: Path | None
) -> Diagnosis:
    """Compare, write RUN/quant-debug/ and return the diagnosis; test images are never read.

    Raises:
        UsageError: the run has no such int8 file or layer, or a stage is missing or out of date.
        MtfError: a file of the run is damaged, or names no layers.
    """
    results = load_inputs(replace(find_stage("benchmark"), name=FOLDER), make_plan(run, recipe))
    record = choose_file(results["export"].metrics.files, request.quantization, run)
    path = run.stage("export") / record.file
    content = path.read_bytes()
    model = build_reference(run, recipe, record.quantization)
    graph = FloatGraph(model)
    layers = find_layers(audit(content), graph, path)
    kept = find_named(layers, graph, request.keep_float)  # fails before the work

    data, side = load_training_data(recipe, data_dir), recipe.model.resolution_px
    if data.validation is not None:
        split, label = data.validation, "validation"
    else:
        count = request.images
        split, label = Split(data.train.images[:count], data.train.labels[:count]), "training"
    images = resize_bytes(split.images[: request.images], side)
    log.info("quant-debug: %s, %d layers, %d %s images", path.name, len(layers), len(images), label)
    ranked = compare_layers(model, layers, make_reader(content, layers), images)
    float_top1, file_top1 = (
        evaluate(predict, split, resolution_px=side).top1
        for predict in (make_keras_predict_fn(model), to_probabilities(Classifier.load(content)))
    )
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
        parity=(
            explain_parity(run, recipe, path, images) if record.quantization == "int8_qat" else None
        ),
        keep_float=write_mixed(path, kept, model, recipe=recipe, split=split) if kept else None,
    )
    target = run.path / FOLDER / found.quantization
    write_json(target.with_suffix(".json"), found)
    plot = plot_layers(path.stem, ranked, [layer.name for layer in layers])
    write_text(target.with_suffix(".svg"), plot)
    return found


def choose_file(
    files: Sequence[ExportedFile], quantization: str | None, run: RunFolder
) -> ExportedFile:
    """Return the record of the int8 file to compare.

    Raises:
        UsageError: the run has none of that quantization.
    """
    by_quantization = {record.quantization: record for record in files}
    for wanted in INT8 if quantization is None else (quantization,):
        if wanted in by_quantization:
            return by_quantization[wanted]
    raise UsageError(
        f"{run.path} has no {quantization or 'int8'} file (it has {', '.join(by_quantization)});"
        f" run mtf export-tflite {run.path} --overwrite --quantization {quantization or 'int8_ptq'}"
    )


def build_reference(run: RunFolder, recipe: Recipe, quantization: str) -> Any:
    """Return the float network of a file, batch normalisation folded.

    For int8_qat it has the fine-tuned weights, so that only quantization differs.
    """
    folded = fold_batch_norm(build_float_model(recipe, run.stage("train")))
    if quantization == "int8_qat":
        copy_float(build_quantized_model(recipe, run.stage("qat"), as_trained=True), folded)
    return folded


def find_layers(found: Audit, graph: FloatGraph, path: Path) -> list[QuantizedLayer]:
    """Return the ops of a file that compute something, with their Keras layers.

    Raises:
        MtfError: a tensor has no layer's name; an older version wrote the file.
    """
    origin = dict.fromkeys(found.inputs, graph.input)
    layers: list[QuantizedLayer] = []
    for op in found.ops:
        if op.name in CONVERSIONS:
            origin[op.outputs[0]] = origin.get(op.inputs[0], "")
            continue
        if op.name == "SOFTMAX":  # its range is fixed, and no layer of the model
            continue
        tensor = found.tensors[op.outputs[0]]
        output = graph.output if tensor.index in found.outputs else tensor.name
        kernel = found.tensors[op.inputs[1]].name if op.name in CHANNEL_AXES else ""
        name = kernel.removesuffix("/kernel") or output
        sources = tuple(dict.fromkeys(origin[i] for i in op.inputs if i in origin))
        if output not in graph.layers or name not in graph.layers or not sources:
            raise MtfError(
                f"the tensor {tensor.name!r} of {path} is named after no Keras layer: an older"
                " version exported it; export it again with mtf export-tflite --overwrite"
            )
        origin[tensor.index] = output
        layers.append(
            QuantizedLayer(
                name=name,
                output=output,
                sources=sources,
                op_index=op.index,
                op_name=op.name,
                tensor=tensor.index,
                scale=tensor.scales[0],
                zero_point=tensor.zero_points[0],
            )
        )
    return layers


def find_named(
    layers: Sequence[QuantizedLayer], graph: FloatGraph, names: Sequence[str]
) -> list[QuantizedLayer]:
    """Return the ops of the named layers; `conv1` and `conv1_relu` are one op.

    Raises:
        UsageError: there is no such layer.
    """
    owners = {member: layer for layer in layers for member in graph.list_group(layer)}
    for name in names:
        if name not in owners:
            raise UsageError(
                f"--keep-float {name!r} is no layer of the file; {suggest(name, owners)}"
            )
    wanted = {owners[name].op_index for name in names}
    return [layer for layer in layers if layer.op_index in wanted]


def make_reader(
    content: bytes, layers: Sequence[QuantizedLayer], **options: Any
) -> Callable[[np.ndarray], dict[int, np.ndarray]]:
    """Return a function from images (N, R, R, 3) uint8 to the layers' int8 tensors (N, …)."""
    classifier = Classifier.load(content, keep_tensors=True, **options)
    numbers = [layer.tensor for layer in layers]
    return lambda images: classifier.read_tensors(images, numbers)


def explain_parity(
    run: RunFolder, recipe: Recipe, file: Path, images: np.ndarray
) -> ParityExplained:
    """Return why the fake-quantized network of a run and its file differ, for both kernel sets."""
    content, found = file.read_bytes(), audit(file)
    constants = read_constants(content)
    explained, given = [], []
    for reference in (False, True):
        model = build_quantized_model(recipe, run.stage("qat"), as_trained=True)
        layers = find_layers(found, FloatGraph(model), file)
        classifier = Classifier.load(content, threads=2, reference_kernels=reference)
        given.append(to_probabilities(classifier)(images))
        causes, differences = explain_difference(
            model,
            {each.name: constants[each.op_index] for each in layers if each.op_index in constants},
            layers,
            make_reader(content, layers, threads=2, reference_kernels=reference),
            images=images,
            expected=given[-1],
        )
        explained.append(Differences(tuple(causes), tuple(differences)))
    return ParityExplained(
        len(images), explained[0], explained[1], compare_probabilities(given[0], given[1])
    )


def rewrite(content: bytes, kept: Sequence[QuantizedLayer], model: Any) -> bytes:
    """Return the file with some layers in float, and their names in its description."""
    shapes, graph = audit(content), FloatGraph(model)
    constants: dict[int, list[np.ndarray]] = {}
    for layer in kept:
        keras_layer = model.get_layer(layer.name)
        kernel = read_kernel(keras_layer)
        op = shapes.ops[layer.op_index]
        constants[layer.op_index] = []
        if kernel is None:
            continue
        biases = [w.numpy() for w in keras_layer.weights if "bias" in w.name.rsplit("/", 1)[-1]]
        channels = shapes.count_channels(op)
        members = [graph.layers[name] for name in graph.list_group(layer)]
        # The converter moves a hard sigmoid's 3 to the bias before, a hard-swish's 1/6 to the
        # kernel after it.
        shift = sum(member.value for member in members if type(member).__name__ == "Shift")
        factor = math.prod(member.value for member in members if type(member).__name__ == "Scale")
        constants[layer.op_index] = [
            arrange_kernel(kernel * np.float32(factor), layer.op_name),
            (biases[0] if biases else np.zeros(channels, np.float32)) + np.float32(shift),
        ]
    mixed = keep_float(content, constants)
    metadata = read_metadata(mixed)
    if metadata is None:
        return mixed
    names = ", ".join(layer.name for layer in kept)
    described = f"{metadata.description}; in float: {names}"
    return embed_metadata(mixed, msgspec.structs.replace(metadata, description=described))


def arrange_kernel(kernel: np.ndarray, op_name: str) -> np.ndarray:
    """Return a Keras kernel in the layout of a .tflite op."""
    if op_name == "DEPTHWISE_CONV_2D":  # (h, w, channels, multiplier) -> (1, h, w, outputs)
        return kernel.reshape(1, *kernel.shape[:2], -1)
    if op_name == "CONV_2D":  # (h, w, in, out) -> (out, h, w, in)
        return kernel.transpose(3, 0, 1, 2)
    return kernel.transpose()  # (in, out) -> (out, in)


def write_mixed(
    path: Path, kept: Sequence[QuantizedLayer], model: Any, *, recipe: Recipe, split: Split
) -> KeptFloat:
    """Write the file with layers in float and measure it; it and the int8 file run in turns."""
    content = path.read_bytes()
    mixed = rewrite(content, kept, model)
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
