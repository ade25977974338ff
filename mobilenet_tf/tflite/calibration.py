"""Calibration: the ranges that the converter quantizes a float file's activations to.

The converter's own calibration (TensorFlow 2.21) reads the inputs of an op after it has run. MUL
and ADD write over an input where they can, which then has the range of the output: the gate
relu6(x + 3) of a hard-swish that of the product, the last convolution of a residual block that of
the sum. Here every tensor is an output of the graph, which no op writes over.
"""

from __future__ import annotations

import math

import numpy as np

from mobilenet_tf.errors import MtfError
from mobilenet_tf.system import terminal
from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.interpreter import Classifier

_BATCH_PIXELS = 8 * 224 * 224  # whose activations are held at once: 220 MB for MobileNetV2


def calibrate(content: bytes, images: np.ndarray) -> bytes:
    """Return a float file with the least and the largest value of every tensor over images.

    Images are uint8 (N, H, W, 3) of the file's size.

    Raises:
        MtfError: a tensor has a value that is not finite.
    """
    file = schema.parse(content)
    graph = file.subgraphs[0]
    computed = (int(index) for op in graph.operators for index in op.outputs)
    numbers = list(dict.fromkeys((*map(int, graph.inputs), *computed)))
    lows, highs = dict.fromkeys(numbers, np.inf), dict.fromkeys(numbers, -np.inf)
    classifier = Classifier.load(content, keep_tensors=True)
    size = max(1, _BATCH_PIXELS // math.prod(images.shape[1:3]))
    for start in terminal.track(range(0, len(images), size), "calibrating"):
        values = classifier.read_tensors(images[start : start + size], numbers)
        for number, value in values.items():
            lows[number] = np.minimum(lows[number], value.min())
            highs[number] = np.maximum(highs[number], value.max())
    for number in numbers:
        tensor = graph.tensors[number]
        least, largest = (np.array([x[number]], np.float32) for x in (lows, highs))
        if not np.isfinite(largest - least):
            raise MtfError(
                f"the tensor {schema.decode(tensor.name)!r} has values from {least[0]} to"
                f" {largest[0]}, for which there is no int8 scale; train again"
            )
        if least == 0 == largest:  # 0 in every image: a scale of 0 runs nowhere
            largest += 1
        tensor.quantization = schema.tables.QuantizationParametersT(min=least, max=largest)
    return schema.pack(file)
