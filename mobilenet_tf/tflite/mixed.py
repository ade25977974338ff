"""Some ops of an int8 file in float32: what one layer's quantization costs, nothing else changed.

The graph is rewritten, not converted again: all other tensors keep their bytes and scales, so that
a difference in accuracy is those layers' alone. Between a float op and an int8 one stands a
Quantize or a Dequantize; between two float ops nothing does.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mobilenet_tf.errors import MtfError
from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.schema import tables


def keep_float(content: bytes, constants: Mapping[int, Sequence[np.ndarray]]) -> bytes:
    """Return the file with the ops that `constants` numbers computing in float32.

    `constants` has, by op, the real values of its kernel and bias in the file's layout (none for
    an op without). An output that an int8 op reads, or the app, is quantized as before.

    Raises:
        MtfError: the file is damaged, or a constant has another shape than its tensor.
    """
    file = schema.parse(content)
    rewriter = _Rewriter(file, set(constants))
    ops = list(file.subgraphs[0].operators)
    file.subgraphs[0].operators = [
        new
        for index, op in enumerate(ops)
        for new in (rewriter.turn(op, constants[index]) if index in constants else [op])
    ]
    return schema.pack(file)


class _Rewriter:
    """Turns ops of one parsed file, in their order; remembers the float twin of each tensor."""

    def __init__(self, file: Any, kept: set[int]) -> None:
        self.file = file
        self.graph = file.subgraphs[0]
        self.twins: dict[int, int] = {}
        self.read_as_int8 = set(map(int, self.graph.outputs))
        for index, op in enumerate(self.graph.operators):
            if index not in kept:
                self.read_as_int8.update(map(int, op.inputs))

    def turn(self, op: Any, constants: Sequence[np.ndarray]) -> list[Any]:
        """Return the ops that replace `op`: Dequantize where needed, itself, Quantize likewise."""
        tensors = self.graph.tensors
        before, after = [], []
        inputs, left = [], list(constants)
        for index in map(int, op.inputs):
            if index >= 0 and schema.is_constant(self.file, tensors[index]):
                if left:
                    self._set_constant(index, left.pop(0))
                elif _is_int8(tensors[index]):  # a factor, such as a hard sigmoid's 1/6
                    self._set_constant(index, self._dequantize(tensors[index]))
            elif index >= 0 and index not in self.twins and _is_int8(tensors[index]):
                self.twins[index] = self._add_twin(index)
                before.append(self._make_op("DEQUANTIZE", index, self.twins[index]))
            inputs.append(self.twins.get(index, index))
        op.inputs = np.array(inputs, np.int32)
        (output,) = map(int, op.outputs)
        if output in self.read_as_int8:
            self.twins[output] = self._add_twin(output)
            op.outputs = np.array([self.twins[output]], np.int32)
            after.append(self._make_op("QUANTIZE", self.twins[output], output))
        else:
            _make_float(tensors[output])
            self.twins[output] = output
        return [*before, op, *after]

    def _dequantize(self, tensor: Any) -> np.ndarray:
        levels = np.frombuffer(bytes(self.file.buffers[tensor.buffer].data), np.int8)
        scale, zero_point = tensor.quantization.scale[0], tensor.quantization.zeroPoint[0]
        real = (levels.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
        return real.reshape(_shape(tensor))

    def _set_constant(self, index: int, values: np.ndarray) -> None:
        # The converter holds equal constants once: other ops may read this one as int8.
        if index in self.read_as_int8 and index not in self.twins:
            self.twins[index] = self._add_twin(index)
        tensor = self.graph.tensors[self.twins.get(index, index)]
        if _shape(tensor) != values.shape:
            raise MtfError(
                f"{tensor.name.decode()} has shape {_shape(tensor)} in the file and"
                f" {values.shape} in the Keras model; export the run again"
            )
        old = tensor.buffer
        data = np.frombuffer(np.ascontiguousarray(values, "<f4").tobytes(), np.uint8)
        self.file.buffers.append(tables.BufferT(data=data))
        tensor.buffer = len(self.file.buffers) - 1
        _make_float(tensor)
        if all(other.buffer != old for other in self.graph.tensors):
            self.file.buffers[old].data = None  # nobody reads the int8 values any more

    def _add_twin(self, index: int) -> int:
        twin = copy.copy(self.graph.tensors[index])
        twin.name = twin.name + b"_float"
        _make_float(twin)
        self.graph.tensors.append(twin)
        return len(self.graph.tensors) - 1

    def _make_op(self, name: str, source: int, target: int) -> Any:
        number = getattr(tables.BuiltinOperator, name)
        codes = self.file.operatorCodes
        found = next((i for i, code in enumerate(codes) if code.builtinCode == number), None)
        if found is None:
            # Version 2 of Dequantize takes int8 (its first one uint8); Quantize always gave it.
            version = 2 if name == "DEQUANTIZE" else 1
            codes.append(
                tables.OperatorCodeT(
                    builtinCode=number, deprecatedBuiltinCode=number, version=version
                )
            )
            found = len(codes) - 1
        return tables.OperatorT(
            opcodeIndex=found,
            inputs=np.array([source], np.int32),
            outputs=np.array([target], np.int32),
        )


def _shape(tensor: Any) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(map(int, tensor.shape))  # a scalar may have none


def _is_int8(tensor: Any) -> bool:
    return bool(tensor.type == tables.TensorType.INT8)


def _make_float(tensor: Any) -> None:
    tensor.type = tables.TensorType.FLOAT32
    tensor.quantization = None
