"""Whether the graph of a parsed .tflite file makes sense, before anything runs it.

The interpreter trusts sizes and numbers that a file states; what is checked here it may trust.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from ai_edge_litert.schema_py_generated import BuiltinOperator, TensorType

_LARGEST_TENSOR_BYTES = 2**31  # LiteRT's own kernels count in 32 bits
_BITS = {
    TensorType.FLOAT32: 32,
    TensorType.FLOAT16: 16,
    TensorType.INT32: 32,
    TensorType.UINT8: 8,
    TensorType.INT64: 64,
    TensorType.BOOL: 8,
    TensorType.INT16: 16,
    TensorType.COMPLEX64: 64,
    TensorType.INT8: 8,
    TensorType.FLOAT64: 64,
    TensorType.COMPLEX128: 128,
    TensorType.UINT64: 64,
    TensorType.UINT32: 32,
    TensorType.UINT16: 16,
    TensorType.INT4: 4,
}
_CONVERSIONS = (BuiltinOperator.QUANTIZE, BuiltinOperator.DEQUANTIZE)


def check_model(model: Any) -> None:
    """Raise ValueError with the first thing in a parsed file that contradicts another.

    Every number refers to something, constants are as long as their tensors, and every op reads
    what the file or an op before it has written.
    """
    if fault := next(_find_faults(model), ""):
        raise ValueError(fault)


def _find_faults(model: Any) -> Iterator[str]:
    if not model.subgraphs or not model.operatorCodes or not model.buffers:
        yield "it has no graph"
    for graph in model.subgraphs:
        tensors = graph.tensors or []
        yield from _check("buffer", [tensor.buffer for tensor in tensors], len(model.buffers))
        yield from _check("tensor", graph.inputs, len(tensors))
        yield from _check("tensor", graph.outputs, len(tensors))
        for op in graph.operators or ():
            yield from _check("op code", [op.opcodeIndex], len(model.operatorCodes))
            # -1: an optional input left out
            yield from _check("tensor", op.inputs, len(tensors), lowest=-1)
            yield from _check("tensor", op.intermediates, len(tensors), lowest=-1)
            yield from _check("tensor", op.outputs, len(tensors))
        for number, tensor in enumerate(tensors):
            yield from _check_tensor(number, tensor, model.buffers[tensor.buffer].data)
        yield from _check_order(model, graph)
    for signature in model.signatureDefs or ():
        yield from _check("graph", [signature.subgraphIndex], len(model.subgraphs))
        tensors = model.subgraphs[signature.subgraphIndex].tensors or []
        for entry in (*(signature.inputs or ()), *(signature.outputs or ())):
            yield from _check("tensor", [entry.tensorIndex], len(tensors))
    yield from _check(
        "buffer", [entry.buffer for entry in model.metadata or ()], len(model.buffers)
    )


def _check(what: str, numbers: Iterable[int] | None, count: int, lowest: int = 0) -> Iterator[str]:
    for number in numbers if numbers is not None else ():
        if not lowest <= number < count:
            yield f"it refers to {what} {number} of {count}"


def _check_tensor(number: int, tensor: Any, data: Any) -> Iterator[str]:
    shape = [int(side) for side in tensor.shape] if tensor.shape is not None else []
    if min(shape, default=0) < 0:
        yield f"tensor {number} has the shape {shape}"
    bits = _BITS.get(tensor.type)
    size_bytes = -(-math.prod(shape) * (bits or 8) // 8)
    if size_bytes > _LARGEST_TENSOR_BYTES:
        yield f"tensor {number} of shape {shape} takes {size_bytes:,} bytes"
    if data is not None and len(data) and bits and len(data) != size_bytes:
        yield f"tensor {number} of shape {shape} takes {size_bytes:,} bytes and has {len(data):,}"
    quantization = tensor.quantization
    scales, zeros = (
        0 if values is None else len(values)
        for values in (
            getattr(quantization, "scale", None),
            getattr(quantization, "zeroPoint", None),
        )
    )
    if zeros not in (0, 1, scales):
        yield f"tensor {number} has {scales} scales and {zeros} zero points"


def _check_order(model: Any, graph: Any) -> Iterator[str]:
    """Yield the ops that read what nothing has written, or write what is not theirs."""
    ops, tensors = graph.operators or [], graph.tensors or []
    constant = {
        number
        for number, tensor in enumerate(tensors)
        if tensor.isVariable or _has_data(model, tensor)
    }
    written = set(map(int, graph.inputs if graph.inputs is not None else ()))
    if not ops:
        yield "its graph has no ops"
    for number, op in enumerate(ops):
        inputs, outputs = (
            [int(tensor) for tensor in ends] if ends is not None else []
            for ends in (op.inputs, op.outputs)
        )
        code = model.operatorCodes[op.opcodeIndex]
        is_conversion = max(code.builtinCode, code.deprecatedBuiltinCode) in _CONVERSIONS
        if is_conversion and not len(inputs) == len(outputs) == 1:
            yield f"op {number} converts {len(inputs)} tensors to {len(outputs)}"
        for tensor in inputs:
            if tensor != -1 and tensor not in written and tensor not in constant:
                yield f"op {number} reads tensor {tensor}, which nothing has written"
        for tensor in outputs:
            if tensor in written or _has_data(model, tensors[tensor]):
                yield f"op {number} writes tensor {tensor}, which has a value already"
        written.update(outputs)
    for tensor in map(int, graph.outputs if graph.outputs is not None else ()):
        if tensor not in written and tensor not in constant:
            yield f"its output, tensor {tensor}, is written by nothing"


def _has_data(model: Any, tensor: Any) -> bool:
    """Tell whether a tensor is a constant: it has bytes, or needs none."""
    data = model.buffers[tensor.buffer].data
    is_empty = tensor.shape is not None and len(tensor.shape) > 0 and 0 in tensor.shape
    return is_empty or (data is not None and len(data) > 0)
