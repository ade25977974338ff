"""The contract of each quantization: the expected format, checked against a file's audit."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from mobilenet_tf.errors import MtfError, UsageError, check_known
from mobilenet_tf.recipe import IO_TYPES, QUANTIZATIONS
from mobilenet_tf.tflite import standard
from mobilenet_tf.tflite.audit import CHANNEL_AXES, Audit, OpInfo, TensorInfo
from mobilenet_tf.tflite.metadata import LABELS_FILE, make_labels

_SIGNATURE = "serving_default"
# The converter leaves smaller tensors in float when only weights are quantized.
_SMALLEST_DYNAMIC_RANGE_ELEMENTS = 1024
_ZERO_POINTS = {"int8": (0, -128), "uint8": (128, 0)}  # of the input, of the probabilities


class Contract(msgspec.Struct, frozen=True):
    """What a file is checked against: the arguments of `check_contract`."""

    quantization: str
    io_type: str
    logits: bool


def choose_contract(
    found: Audit, name: str, quantization: str | None, io_type: str | None, logits: bool | None
) -> Contract | None:
    """Return what the file `name` should be: as asked for, else as it says; None without either.

    Raises:
        UsageError: `io_type` or `logits` without a quantization, or an `io_type` of a float one.
        MtfError: the file names a quantization that this version does not know.
    """
    metadata = found.metadata
    if quantization is None:
        if metadata is None:
            if io_type is not None or logits is not None:
                raise UsageError(f"{name} does not name its format; give --quantization too")
            return None
        quantization = metadata.quantization
        if quantization not in QUANTIZATIONS:
            raise MtfError(
                f"{name} calls itself {quantization!r} (written by mobilenet-tf"
                f" {metadata.project_version}), unknown to this version; give --quantization"
            )
    if not quantization.startswith("int8"):
        if io_type is not None:
            raise UsageError(
                f"--io-type {io_type} is for int8 files; {quantization} has float32 at both ends"
            )
        io_type = "float32"
    elif io_type is None:
        io_type = metadata.io_type if metadata and metadata.io_type in IO_TYPES else "int8"
    if logits is None:
        logits = metadata is not None and metadata.output == "logits"
    return Contract(quantization, io_type, logits)


def check_contract(found: Audit, quantization: str, io_type: str, logits: bool) -> list[str]:
    """Return where a file differs from its expected format, op by op; [] where it does not.

    Every file: only LiteRT's own ops, batch 1, the signature image -> probabilities or logits,
    metadata that fits, every byte owned. int8: no float tensor but float32 edges, kernels per
    channel (zero points 0), int32 biases, no conversion inside, input 1/128 and probabilities
    1/256 exactly. float32:
    nothing quantized. float16: float16 constants. dynamic_range: int8 kernels, float activations.

    Raises:
        UsageError: unknown `quantization` or, for the int8 ones, `io_type`.
    """
    check_known("quantization", quantization, QUANTIZATIONS)
    integer = quantization in ("int8_ptq", "int8_qat")
    if integer:
        check_known("io_type", io_type, IO_TYPES)
    broken = [*_check_graph(found, logits)]
    if integer:
        broken += _check_integer(found, io_type, logits)
    else:
        broken += _check_edges(found, "float32")
        broken += _check_weights(found, quantization)
    return broken


def _check_graph(found: Audit, logits: bool) -> Iterator[str]:
    for op in found.ops:
        if op.name in (*found.custom_ops, *found.unknown_ops):
            yield f"{_name(op)} is no op of LiteRT's own"
    if found.subgraph_count != 1:
        yield f"the file has {found.subgraph_count} graphs instead of 1"
    if len(found.inputs) != 1 or len(found.outputs) != 1:
        yield f"the graph has {len(found.inputs)} inputs and {len(found.outputs)} outputs"
        return
    if found.batch != 1:
        yield f"the input takes batches of {found.batch} instead of 1"
    output = "logits" if logits else "probabilities"
    wanted = ({"image": found.inputs[0]}, {output: found.outputs[0]})
    if not any(
        entry.key == _SIGNATURE and (entry.inputs, entry.outputs) == wanted
        for entry in found.signatures
    ):
        yield f"there is no signature {_SIGNATURE} that maps image to {output}"
    if found.ops and (found.ops[-1].name == "SOFTMAX") and logits:
        yield f"{_name(found.ops[-1])} ends the graph where logits were asked for"
    yield from _check_metadata(found)
    if found.sizes_bytes["unknown"]:
        yield f"{found.sizes_bytes['unknown']} bytes belong to nothing in the file"


def _check_metadata(found: Audit) -> Iterator[str]:
    if found.metadata is None:
        yield "the mobilenet_tf metadata is missing"
        return
    classes, count = found.metadata.classes, found.tensors[found.outputs[0]].shape[-1]
    if len(classes) != count:
        yield f"the metadata names {len(classes)} classes for {count} outputs"
    if found.info.labels != make_labels(classes):
        yield f"there is no {standard.ENTRY} that names the same classes"
    if found.attached != (LABELS_FILE,):
        yield f"the zip behind the model holds {list(found.attached)} instead of {LABELS_FILE}"


def _check_edges(found: Audit, io_type: str) -> Iterator[str]:
    for what, tensors in (("input", found.inputs), ("output", found.outputs)):
        for index in tensors:
            if found.tensors[index].type != io_type:
                yield f"the {what} is {found.tensors[index].type} instead of {io_type}"


def _check_integer(found: Audit, io_type: str, logits: bool) -> Iterator[str]:
    yield from _check_edges(found, io_type)
    inner = "int8" if io_type == "float32" else io_type
    inputs, outputs = (
        _find_quantized_ends(found)
        if io_type == "float32"
        else (
            found.inputs,
            found.outputs,
        )
    )
    for index in inputs:
        wanted = ((1 / 128,), (_ZERO_POINTS[inner][0],))
        yield from _check_scale(found.tensors[index], "input", wanted)
    for index in outputs:
        if not logits:
            wanted = ((1 / 256,), (_ZERO_POINTS[inner][1],))
            yield from _check_scale(found.tensors[index], "output", wanted)
    for op in found.ops:
        for tensor in _list_tensors(found, op):
            if tensor.is_float and op not in found.boundary_ops:
                yield f"{_name(op)} has the {tensor.type} tensor {tensor.name!r}"
        if op.name in CHANNEL_AXES:
            yield from _check_kernel(found, op)
    for op in found.conversion_ops:
        types = f"{'/'.join(op.input_types)} to {'/'.join(op.output_types)}"
        yield f"{_name(op)} converts {types} inside the graph"
    boundary = 0 if io_type == "int8" else 2
    if len(found.boundary_ops) != boundary:
        yield f"{len(found.boundary_ops)} ops convert at the edge of the graph, not {boundary}"


def _find_quantized_ends(found: Audit) -> tuple[list[int], list[int]]:
    """Return what a float32 input becomes and what a float32 output comes from."""
    edges = found.boundary_ops
    return (
        [op.outputs[0] for op in edges if op.name == "QUANTIZE"],
        [op.inputs[0] for op in edges if op.name == "DEQUANTIZE"],
    )


def _check_kernel(found: Audit, op: OpInfo) -> Iterator[str]:
    axis, channels = CHANNEL_AXES[op.name], found.count_channels(op)
    if not channels:
        yield f"{_name(op)} has no kernel"
        return
    kernel = found.tensors[op.inputs[1]]
    if kernel.type != "int8":
        yield f"{_name(op)} has a {kernel.type} kernel {kernel.name!r} instead of int8"
    if op.name != "FULLY_CONNECTED" and (len(kernel.scales), kernel.axis) != (channels, axis):
        yield (
            f"{_name(op)} has {len(kernel.scales)} scales along axis {kernel.axis} for its"
            f" {channels} channels along axis {axis} in {kernel.name!r}"
        )
    if any(kernel.zero_points):
        yield f"{_name(op)} has a kernel {kernel.name!r} with zero points other than 0"
    bias = op.inputs[2] if len(op.inputs) > 2 else -1
    if bias >= 0 and found.tensors[bias].type != "int32":
        yield f"{_name(op)} has a {found.tensors[bias].type} bias instead of int32"


def _check_weights(found: Audit, quantization: str) -> Iterator[str]:
    """Check the constants of the files that compute in float."""
    for op in found.conversion_ops:
        yield f"{_name(op)} converts {op.input_types[0]} to {op.output_types[0]} inside the graph"
    for op in found.ops:
        if op.name not in CHANNEL_AXES:
            continue
        if not found.count_channels(op):
            yield f"{_name(op)} has no kernel"
            continue
        for index in op.outputs:
            if found.tensors[index].type != "float32":
                yield f"{_name(op)} gives {found.tensors[index].type} instead of float32"
        kernel = found.constant(op.inputs[1])
        wanted = {"float32": "float32", "float16": "float16", "dynamic_range": "int8"}[quantization]
        small = quantization == "dynamic_range" and (
            math.prod(kernel.shape) < _SMALLEST_DYNAMIC_RANGE_ELEMENTS
        )
        if kernel.type != wanted and not small:
            yield f"{_name(op)} has a {kernel.type} kernel {kernel.name!r} instead of {wanted}"


def _check_scale(
    tensor: TensorInfo, what: str, wanted: tuple[tuple[float, ...], tuple[int, ...]]
) -> Iterator[str]:
    if (tensor.scales, tensor.zero_points) != wanted:
        yield (
            f"the {what} has scale {_list(tensor.scales)} and zero point"
            f" {_list(tensor.zero_points)} instead of {_list(wanted[0])} and {_list(wanted[1])}"
        )


def _list_tensors(found: Audit, op: OpInfo) -> Iterator[TensorInfo]:
    for index in (*op.inputs, *op.outputs):
        if index >= 0:
            yield found.tensors[index]


def _list(values: tuple[float, ...] | tuple[int, ...]) -> str:
    return ", ".join(f"{value:.9g}" for value in values) or "none"


def _name(op: OpInfo) -> str:
    return f"op {op.index} {op.name}"
