"""The kernels and biases that a .tflite file holds, as real values in Keras' shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.audit import CHANNEL_AXES, audit
from mobilenet_tf.tflite.schema import Source


@dataclass(frozen=True)
class Constants:
    """An int8 layer's kernel and bias, dequantized; a depthwise kernel is (h, w, outputs, 1).

    `kernel_scale` broadcasts over the kernel: the size of its steps.
    """

    kernel: np.ndarray
    kernel_scale: np.ndarray
    bias: np.ndarray


def read_constants(source: Source) -> dict[int, Constants]:
    """Return the constants of a file's int8 convolutions and dense layers, by the op's number.

    Raises:
        UsageError: there is no such file.
        MtfError: it is not a whole .tflite file.
    """
    content, name = schema.read_content(source)
    found, file = audit(content), schema.parse(content, name)
    graph = file.subgraphs[0]

    def read(index: int, dtype: str) -> np.ndarray:
        data: np.ndarray = file.buffers[graph.tensors[index].buffer].data
        return data.view(dtype).reshape(found.tensors[index].shape)

    constants = {}
    for op in found.ops:
        if op.name not in CHANNEL_AXES or len(op.inputs) < 3 or "int8" not in op.input_types[1:2]:
            continue
        kernel, bias = (found.tensors[index] for index in op.inputs[1:3])
        scale = np.array(kernel.scales, np.float32)
        levels = read(kernel.index, "i1")
        if op.name == "DEPTHWISE_CONV_2D":  # (1, h, w, outputs)
            levels, scale = levels[0][..., np.newaxis], scale[:, np.newaxis]
        elif op.name == "CONV_2D":  # (out, h, w, in)
            levels = levels.transpose(1, 2, 3, 0)
        else:  # (out, in)
            levels = levels.transpose()
        steps = read(bias.index, "<i4").astype(np.float64)
        constants[op.index] = Constants(
            kernel=levels * scale,
            kernel_scale=scale,
            bias=(steps * np.array(bias.scales)).astype(np.float32),
        )
    return constants


def expose_tensors(content: bytes) -> bytes:
    """Return the file with the output of every op among its outputs, after those it has.

    A delegate keeps what lies inside its part of the graph to itself; outputs it must give.
    """
    file = schema.parse(content)
    graph = file.subgraphs[0]
    made = [int(index) for op in graph.operators for index in op.outputs]
    outputs = dict.fromkeys([*map(int, graph.outputs), *made])
    graph.outputs = np.array(list(outputs), np.int32)
    return schema.pack(file)
