"""Keras model in, .tflite file out: batch 1, a named signature, compact, with its metadata."""

from __future__ import annotations

import copy
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mobilenet_tf import __version__
from mobilenet_tf.errors import MtfError, UsageError, check_known
from mobilenet_tf.keras import freeze_variables, keras, quantize_tflite, tf
from mobilenet_tf.models.outputs import check_logits, check_model
from mobilenet_tf.recipe import IO_TYPES, QUANTIZATIONS, RESIZE_RULES, ResizeRule
from mobilenet_tf.system.quiet import quiet_stderr
from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.audit import audit
from mobilenet_tf.tflite.calibration import calibrate
from mobilenet_tf.tflite.contract import check_contract
from mobilenet_tf.tflite.edges import set_edges
from mobilenet_tf.tflite.metadata import Metadata, pack_with_metadata
from mobilenet_tf.tflite.naming import name_tensors

INPUT_NAME = "image"


def convert(
    model: keras.Model,
    *,
    quantization: str,
    classes: Sequence[str],
    description: str,
    io_type: str = "int8",
    logits: bool = False,
    resize: ResizeRule = "crop",
    calibration_images: np.ndarray | None = None,
    check: bool = True,
) -> bytes:
    """Return the .tflite file of a model that maps normalised images to logits.

    The signature maps "image" (1, H, W, 3) to "probabilities" or "logits" (1, C). Integer files
    take byte - 128 for int8 (scale 1/128, zero point 0), the byte for uint8 (zero point 128).

    Args:
        model: tf_keras model of (N, H, W, 3) float32, (byte - 128) / 128, to (N, C) logits.
            For "int8_qat" it carries the fake-quantization nodes that give the ranges.
        quantization: one of `recipe.QUANTIZATIONS`.
        classes: the C class names, in the order of the output.
        description: one line that says what the file is, stored in it.
        io_type: "int8", "uint8" or "float32" for the int8 quantizations; others have float32.
        logits: leave the softmax out.
        resize: one of `recipe.RESIZE_RULES`, by which images were made the model's size.
        calibration_images: uint8 (N, H, W, 3) training images; "int8_ptq" needs them.
        check: audit the file against the contract of `quantization`.

    Raises:
        UsageError: an argument does not fit the model, or the model ends in a softmax already.
        MtfError: the converter failed, or its file is not of the expected format.
    """
    check_known("quantization", quantization, QUANTIZATIONS)
    check_known("io_type", io_type, IO_TYPES)
    check_known("resize rule", resize, RESIZE_RULES)
    image_shape = _check_model(model, classes)
    output_name = "logits" if logits else "probabilities"
    images = None
    if quantization == "int8_ptq":
        images = _check_calibration(calibration_images, image_shape)
    with tempfile.TemporaryDirectory() as folder:
        serve = _trace(model, image_shape, output_name)
        if quantization.startswith("int8"):  # others would come out in another order
            serve = _freeze(serve)
        _save_for_export(serve, folder)
        converted = _run(_configure(folder, quantization).convert, quantization)
    if images is not None:
        calibrated = calibrate(converted, images)
        converted = _run(lambda: quantize_tflite(calibrated), quantization)
    metadata = Metadata(
        name=model.name,
        description=description,
        classes=tuple(classes),
        quantization=quantization,
        io_type=io_type if quantization.startswith("int8") else "float32",
        output=output_name,
        project_version=__version__,
        resize=resize,
    )
    content = _finish(converted, model, output_name, metadata)
    broken = check_contract(audit(content), quantization, io_type, logits) if check else []
    if broken:
        raise MtfError(
            f"the exported file is not in the format of {quantization}: " + "; ".join(broken)
        )
    return content


def _check_model(model: Any, classes: Sequence[str]) -> tuple[int, int, int]:
    """Return the model's (H, W, 3)."""
    check_model(model, "convert")
    check_logits(model, "convert")
    image_shape = tuple(model.input_shape[1:])
    if len(image_shape) != 3 or image_shape[2] != 3 or None in image_shape:
        raise UsageError(
            f"model {model.name!r} takes {model.input_shape}; convert needs (batch, height,"
            " width, 3) with a fixed height and width"
        )
    if len(model.output_shape) != 2 or model.output_shape[1] != len(classes):
        raise UsageError(
            f"model {model.name!r} gives {model.output_shape} and there are {len(classes)}"
            " class names; the output must be (batch, classes)"
        )
    return image_shape


def _check_calibration(images: np.ndarray | None, image_shape: tuple[int, ...]) -> np.ndarray:
    """Return the calibration images with bytes 0 and 255 among them, so that the input range
    is exactly [-1, 127/128] and a byte maps to one int8 value.
    """
    if images is None or len(images) == 0:
        raise UsageError(
            "int8_ptq needs calibration images and there are none; give some training images"
        )
    if images.dtype != np.uint8:
        nan = " with NaN" if images.dtype.kind == "f" and bool(np.isnan(images).any()) else ""
        raise UsageError(
            f"calibration images are {images.dtype}{nan}; give the uint8 bytes, not normalised"
        )
    if images.shape[1:] != image_shape:
        raise UsageError(
            f"calibration images have shape {images.shape[1:]} and the model takes"
            f" {image_shape}; resize them first"
        )
    images = images.copy()
    first = images[0].reshape(-1)
    if images.min() != 0:
        first[0] = 0
    if images.max() != 255:
        first[-1] = 255
    return images


def _trace(model: keras.Model, image_shape: tuple[int, ...], output_name: str) -> Any:
    """Return the function of a model for one image, with the signature's names."""

    @tf.function(input_signature=[tf.TensorSpec((1, *image_shape), tf.float32, name=INPUT_NAME)])
    def serve(image: Any) -> dict[str, Any]:
        scores = tf.cast(model(image, training=False), tf.float32)
        if output_name == "probabilities":
            scores = tf.nn.softmax(scores)
        return {output_name: tf.identity(scores)}

    return serve.get_concrete_function()


def _freeze(serve: Any) -> Any:
    """Return a traced function with its weights as constants, which is saved and loaded faster."""
    constant, (output_name,) = freeze_variables(serve), serve.structured_outputs

    @tf.function(input_signature=serve.structured_input_signature[0])
    def frozen(image: Any) -> dict[str, Any]:
        return {output_name: constant(image)[0]}

    return frozen.get_concrete_function()


def _save_for_export(serve: Any, folder: str) -> None:
    """Write a SavedModel of one function.

    Keras' own saving traces every layer by itself, which takes many times longer.
    """
    module = tf.Module()
    module.weights = serve.graph.variables  # what the function reads; the layers stay out
    failure: Exception | None = None
    with quiet_stderr():
        try:
            options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
            tf.saved_model.save(module, folder, signatures=serve, options=options)
        except (OSError, tf.errors.OpError) as error:  # TensorFlow's own kinds for a full disk
            failure = error
    if failure is not None:
        reason = str(failure).splitlines()[0][-200:]
        raise MtfError(
            f"cannot write the converter's temporary files to {folder} ({reason}); free some space"
            " there, or set TMPDIR to another folder"
        ) from failure


def _configure(folder: str, quantization: str) -> Any:
    """Return the converter of a SavedModel, set for a quantization; float32 for int8_ptq."""
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    if quantization in ("float16", "dynamic_range", "int8_qat"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantization == "int8_qat":
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter


def _run(convert_step: Callable[[], Any], quantization: str) -> bytes:
    """Return what a step of the converter gives, without its log; its errors as one sentence."""
    failure: Exception | None = None
    with quiet_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return bytes(convert_step())
        except Exception as error:  # the converter raises its own and everybody else's types
            failure = error
    # Among pages of compiler output, the first line with "error:" names the op.
    said = str(failure).strip()
    errors = re.findall(r"\berror: (?:loc\(.*\): )?(.+)", said)
    lines = (
        errors
        or re.findall(r"\bloc\(.*\): (.+)", said)
        or said.splitlines()[-1:]
        or [type(failure).__name__]
    )
    reason = " ".join(lines[0].split())
    hint = "; int8_qat needs a fake-quantized model" if quantization == "int8_qat" else ""
    raise MtfError(
        f"the TFLite converter refused the model as {quantization}: {reason[:500]}{hint}"
    ) from failure


def _finish(content: bytes, model: keras.Model, output_name: str, metadata: Metadata) -> bytes:
    """Name the tensors after signature and layers, describe the file, compact it."""
    file = schema.parse(content)
    graph = file.subgraphs[0]
    graph.tensors[graph.inputs[0]].name = INPUT_NAME
    graph.tensors[graph.outputs[0]].name = output_name
    name_tensors(file, model)
    _free_batch(file)
    if metadata.quantization.startswith("int8"):
        set_edges(file, metadata.io_type)
    return pack_with_metadata(file, metadata)


def _free_batch(model: Any) -> None:
    """Let reshapes to (1, ...) infer the batch, so that an interpreter can be given more images.

    The file stays one of batch 1; a reshape to a constant shape would pin it there.
    """
    graph = model.subgraphs[0]
    for op in graph.operators:
        code = model.operatorCodes[op.opcodeIndex]
        if code.builtinCode != schema.tables.BuiltinOperator.RESHAPE:
            continue
        source, target = (graph.tensors[index] for index in op.inputs[:2])
        data = model.buffers[target.buffer].data
        if data is None or source.shape[0] != 1:
            continue
        shape = data.view("<i4").copy()
        if shape[0] == 1 and (shape > 0).all():
            shape[0] = -1
            if sum(list(other.inputs).count(op.inputs[1]) for other in graph.operators) > 1:
                # Pooling over the axes (1, 2) has the same constant as a reshape to (1, 2).
                target = copy.copy(target)
                target.name = f"{schema.decode(graph.tensors[op.outputs[0]].name)}/constant"
                op.inputs = np.array([op.inputs[0], len(graph.tensors)], np.int32)
                graph.tensors.append(target)
            if sum(tensor.buffer == target.buffer for tensor in graph.tensors) > 1:
                model.buffers.append(schema.tables.BufferT())
                target.buffer = len(model.buffers) - 1
            model.buffers[target.buffer].data = shape.view(np.uint8)
