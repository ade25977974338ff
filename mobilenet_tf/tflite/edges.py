"""The edges of an int8 file: the type that an app gives and gets; what lies between stays.

Runtimes differ in what they take. A Quantize op at either edge turns uint8 into int8 by a shift
of the zero point, so that the same image gives the same scores, byte for byte.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from mobilenet_tf.errors import MtfError, UsageError, check_known
from mobilenet_tf.recipe import IO_TYPES
from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.attached import attach, read_attached
from mobilenet_tf.tflite.layout import LayoutError
from mobilenet_tf.tflite.metadata import get_metadata, pack_with_metadata
from mobilenet_tf.tflite.schema import tables

_SHIFT = {"int8": -128, "uint8": 0}  # a zero point less that of uint8


def convert_edges(
    content: bytes, io_type: str, name: str = "the model", *, fix_batch: bool = False
) -> bytes:
    """Return an int8 file with input and output of another type, its documents with it.

    `fix_batch` makes one that leaves its batch open take one image, as LiteRT.js needs.

    Raises:
        UsageError: as `set_edges`.
        MtfError: it is not a .tflite file, or a document in it is damaged.
    """
    model = schema.parse(content, name)
    metadata = get_metadata(model, name)
    set_edges(model, io_type, name)
    if fix_batch:
        for tensor in model.subgraphs[0].tensors:
            tensor.shapeSignature = None  # `shape` has 1 where it leaves a size open
    if metadata is not None:
        return pack_with_metadata(model, msgspec.structs.replace(metadata, io_type=io_type))
    try:
        return attach(schema.pack(model), read_attached(content))
    except LayoutError as error:
        raise MtfError(f"{name} cannot be converted: {error}") from error


def set_edges(model: Any, io_type: str, name: str = "the model") -> None:
    """Give a parsed integer model input and output of another type, in place.

    Setting the type that it had before gives the same model again.

    Raises:
        UsageError: unknown `io_type`; the model has several inputs or outputs, or does not compute
            in int8 or uint8.
    """
    check_known("io_type", io_type, IO_TYPES)
    graph = model.subgraphs[0]
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise UsageError(
            f"{name} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; only a file"
            f" with one of each can be given {io_type} ones"
        )
    for end in ("inputs", "outputs"):
        _strip(model, end)
        inner = _type_of(graph, getattr(graph, end)[0])
        if inner not in _SHIFT:
            raise UsageError(
                f"{name} computes in {inner}; only an int8 file can be given {io_type} input and"
                " output, export one first"
            )
        tensor = graph.tensors[getattr(graph, end)[0]]
        scales = getattr(tensor.quantization, "scale", None)
        if scales is None or len(scales) != 1 or not scales[0] > 0:
            raise UsageError(
                f"{name} has no scale for its {end}, so that their bytes mean nothing; convert the"
                " model again, with images to calibrate it"
            )
        if inner != io_type:
            _extend(model, end, io_type)
    _drop_unused(model)


def _strip(model: Any, end: str) -> None:
    """Remove the conversion at an end of the graph, if there is one."""
    graph = model.subgraphs[0]
    outer = int(getattr(graph, end)[0])
    users = [op for op in graph.operators if outer in (*op.inputs, *op.outputs)]
    if len(users) != 1 or schema.op_name(model, users[0]) not in ("QUANTIZE", "DEQUANTIZE"):
        return
    inner = int(users[0].outputs[0] if end == "inputs" else users[0].inputs[0])
    if _type_of(graph, inner) not in _SHIFT:
        return
    graph.operators = [op for op in graph.operators if op is not users[0]]
    graph.tensors[inner].name = graph.tensors[outer].name
    _set_end(model, end, inner)


def _extend(model: Any, end: str, io_type: str) -> None:
    """Put a tensor of another type and the conversion to or from it at an end of the graph."""
    graph = model.subgraphs[0]
    inner = int(getattr(graph, end)[0])
    tensor = graph.tensors[inner]
    quantization = None
    if io_type in _SHIFT:
        shift = _SHIFT[io_type] - _SHIFT[_type_of(graph, inner)]
        quantization = tables.QuantizationParametersT(
            scale=tensor.quantization.scale,
            zeroPoint=np.asarray(tensor.quantization.zeroPoint, np.int64) + shift,
        )
    outer = len(graph.tensors)
    graph.tensors.append(
        tables.TensorT(
            shape=tensor.shape,
            shapeSignature=tensor.shapeSignature,
            type=getattr(tables.TensorType, io_type.upper()),
            name=tensor.name,
            quantization=quantization,
            hasRank=tensor.hasRank,
        )
    )
    tensor.name = f"{schema.decode(tensor.name)}_{_type_of(graph, inner)}"
    dequantizes = end == "outputs" and io_type == "float32"
    # As the converter: version 2 is the first that takes int8.
    code = _find_code(model, "DEQUANTIZE", 2) if dequantizes else _find_code(model, "QUANTIZE", 1)
    source, target = (outer, inner) if end == "inputs" else (inner, outer)
    kind = "DequantizeOptions" if dequantizes else "QuantizeOptions"
    op = tables.OperatorT(
        opcodeIndex=code,
        inputs=np.array([source], np.int32),
        outputs=np.array([target], np.int32),
        builtinOptionsType=getattr(tables.BuiltinOptions, kind),
        builtinOptions=getattr(tables, f"{kind}T")(),
    )
    ops = list(graph.operators)
    graph.operators = [op, *ops] if end == "inputs" else [*ops, op]
    _set_end(model, end, outer)


def _set_end(model: Any, end: str, tensor: int) -> None:
    """Make a tensor the graph's input or output, in the signatures too."""
    graph = model.subgraphs[0]
    before = int(getattr(graph, end)[0])
    setattr(graph, end, np.array([tensor], np.int32))
    for signature in model.signatureDefs or ():
        for entry in getattr(signature, end) or ():
            if signature.subgraphIndex == 0 and entry.tensorIndex == before:
                entry.tensorIndex = tensor


def _find_code(model: Any, name: str, version: int) -> int:
    """Return the number of an op code, added where the file has none."""
    number = getattr(tables.BuiltinOperator, name)
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == number and code.version >= version:
            return index
    model.operatorCodes.append(
        tables.OperatorCodeT(builtinCode=number, deprecatedBuiltinCode=number, version=version)
    )
    return len(model.operatorCodes) - 1


def _drop_unused(model: Any) -> None:
    """Remove the tensors without data that nothing refers to any more."""
    graph = model.subgraphs[0]
    lists = [
        (owner, field)
        for owner, fields in (
            (graph, ("inputs", "outputs")),
            *((op, ("inputs", "outputs", "intermediates")) for op in graph.operators),
        )
        for field in fields
        if getattr(owner, field) is not None
    ]
    used = {int(index) for owner, field in lists for index in getattr(owner, field)}
    kept = [
        index
        for index, tensor in enumerate(graph.tensors)
        if index in used or schema.is_constant(model, tensor)
    ]
    numbers = {-1: -1, **{old: new for new, old in enumerate(kept)}}
    graph.tensors = [graph.tensors[index] for index in kept]
    for owner, field in lists:
        indices = [numbers[int(index)] for index in getattr(owner, field)]
        setattr(owner, field, np.array(indices, np.int32))
    for signature in model.signatureDefs or ():
        if signature.subgraphIndex == 0:
            for entry in (*(signature.inputs or ()), *(signature.outputs or ())):
                entry.tensorIndex = numbers[entry.tensorIndex]


def _type_of(graph: Any, tensor: int) -> str:
    return schema.TENSOR_TYPES.get(graph.tensors[tensor].type, "none")
