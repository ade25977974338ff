"""An int8 file beside the Keras network that has its layers: every op's output, on both sides."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.errors import MtfError, UsageError, suggest
from mobilenet_tf.keras import tf, unwrap
from mobilenet_tf.quantization.qat import WRAPPER_PREFIX, plain_name
from mobilenet_tf.tflite.audit import CHANNEL_AXES, Audit, audit
from mobilenet_tf.tflite.interpreter import Classifier

CONVERSIONS = ("QUANTIZE", "DEQUANTIZE", "RESHAPE")  # they change no value worth comparing
_BATCH_VALUES = 1 << 23  # activations held at a time: 32 MB as float32
_LARGEST_BATCH = 50


@dataclass(frozen=True)
class QuantizedLayer:
    """One op of an int8 file and its Keras layers.

    `name` is the layer with the kernel (the output layer where there is none), `output` the layer
    whose output the op's tensor holds, `sources` the layers that it reads.
    """

    name: str
    output: str
    sources: tuple[str, ...]
    op_index: int
    op_name: str
    tensor: int
    scale: float
    zero_point: int

    def to_real(self, levels: np.ndarray) -> np.ndarray:
        """Return int8 levels of the output as float32 real values."""
        return (levels.astype(np.float32) - self.zero_point) * np.float32(self.scale)

    def to_levels(self, values: np.ndarray) -> np.ndarray:
        """Return real values as int32 levels of the output, not clipped to int8."""
        levels: np.ndarray = np.rint(values / self.scale).astype(np.int32) + self.zero_point
        return levels


class FloatGraph:
    """A functional model whose layers' outputs can be read or replaced, by their float names."""

    def __init__(self, model: Any) -> None:
        self.layers = {plain_name(layer): layer for layer in model.layers}
        self.sources = {plain_name(layer): _source_names(layer) for layer in model.layers}
        self.input = str(model.input_names[0])
        self.output = str(model.output_names[0]).removeprefix(WRAPPER_PREFIX)

    def compute(self, name: str, known: dict[str, Any]) -> Any:
        """Return a layer's output from those in `known`, and add to them what is computed."""
        if name not in known:
            inputs = [self.compute(source, known) for source in self.sources[name]]
            layer = self.layers[name]
            known[name] = layer(inputs if len(inputs) > 1 else inputs[0], training=False)
        return known[name]

    def compute_alone(self, layer: QuantizedLayer, given: Mapping[str, Any]) -> np.ndarray:
        """Return the output of an op's layers on `given` inputs."""
        inputs = {source: tf.constant(given[source]) for source in layer.sources}
        output: np.ndarray = self.compute(layer.output, inputs).numpy()
        return output

    def replace(self, name: str, value: np.ndarray, known: Mapping[str, Any]) -> np.ndarray:
        """Return the logits with a layer's output replaced, the rest as in `known`."""
        dependents = {name}
        for layer, sources in self.sources.items():  # a model lists its layers in their order
            if dependents.intersection(sources):
                dependents.add(layer)
        values = {name: value for name, value in known.items() if name not in dependents}
        values[name] = tf.constant(value)
        logits: np.ndarray = self.compute(self.output, values).numpy()
        return logits

    def list_group(self, layer: QuantizedLayer) -> Iterator[str]:
        """Yield the Keras layers of an op, its output's first."""
        waiting = [layer.output]
        while waiting:
            name = waiting.pop()
            if name not in (*layer.sources, self.input):
                yield name
                waiting += self.sources[name]

    def sum_shifts(self, layer: QuantizedLayer) -> float:
        """Return what an op's layers add behind its kernel: a hard sigmoid's 3, in the bias."""
        members = [unwrap(self.layers[name]) for name in self.list_group(layer)]
        return sum(member.value for member in members if type(member).__name__ == "Shift")


class Alignment:
    """A file's `layers`, the ops that compute something, beside their network's `graph`.

    The network is functional, (N, R, R, 3) normalised to logits; images are (N, R, R, 3) uint8.
    `classifier` is the file's, its tensors kept, where it is another than the default.

    Raises:
        MtfError: a tensor has no layer's name; an older version wrote the file.
    """

    def __init__(
        self, file: Path | bytes, model: Any, classifier: Classifier | None = None
    ) -> None:
        self.graph = FloatGraph(model)
        try:
            self.layers = tuple(_find_layers(audit(file), self.graph))
        except KeyError as error:
            raise MtfError(
                f"the tensor {error} of {file if isinstance(file, Path) else 'the file'} is named"
                " after no Keras layer: an older version exported it; export it again with"
                " mtf export-tflite --overwrite"
            ) from error
        self._classifier = classifier or Classifier.load(file, keep_tensors=True)

    def find_layers(self, names: Sequence[str]) -> list[QuantizedLayer]:
        """Return the ops of the named layers; `conv1` and `conv1_relu` are one op.

        Raises:
            UsageError: there is no such layer.
        """
        owners = {name: layer for layer in self.layers for name in self.graph.list_group(layer)}
        for name in names:
            if name not in owners:
                raise UsageError(
                    f"--keep-float {name!r} is no layer of the file; {suggest(name, owners)}"
                )
        wanted = {owners[name].op_index for name in names}
        return [layer for layer in self.layers if layer.op_index in wanted]

    def split_batches(self, images: np.ndarray) -> list[np.ndarray]:
        """Return images in batches whose activations fit into memory.

        Raises:
            UsageError: there is no image.
        """
        if not len(images):
            raise UsageError("there is no image to compare on; give at least one")
        shapes = (self.graph.layers[layer.output].output_shape[1:] for layer in self.layers)
        size = max(1, min(_LARGEST_BATCH, _BATCH_VALUES // sum(map(math.prod, shapes))))
        return [images[start : start + size] for start in range(0, len(images), size)]

    def read(self, images: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the file's int8 levels by output layer, and the same with the input as reals."""
        tensors = self._classifier.read_tensors(images, [layer.tensor for layer in self.layers])
        levels = {layer.output: tensors[layer.tensor] for layer in self.layers}
        reals: dict[str, Any] = {
            each.output: each.to_real(levels[each.output]) for each in self.layers
        }
        reals[self.graph.input] = normalise(tf.constant(images))
        return levels, reals


def _find_layers(found: Audit, graph: FloatGraph) -> Iterator[QuantizedLayer]:
    """Yield the ops that compute something; the KeyError is a tensor that is no layer's."""
    origin = dict.fromkeys(found.inputs, graph.input)
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
            raise KeyError(tensor.name)
        origin[tensor.index] = output
        yield QuantizedLayer(
            name=name,
            output=output,
            sources=sources,
            op_index=op.index,
            op_name=op.name,
            tensor=tensor.index,
            scale=tensor.scales[0],
            zero_point=tensor.zero_points[0],
        )


def _source_names(layer: Any) -> tuple[str, ...]:
    if not layer.inbound_nodes or type(layer).__name__ == "InputLayer":
        return ()
    inputs = layer.input if isinstance(layer.input, list) else [layer.input]
    return tuple(plain_name(tensor._keras_history.layer) for tensor in inputs)
