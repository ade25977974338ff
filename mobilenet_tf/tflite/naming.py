"""Names of tensors: those of the Keras layers, instead of the converter's list of fused ops.

`conv_dw_1_relu` is that layer's output, `conv_dw_1/kernel` and `conv_dw_1/bias` its constants.
Tensors can be matched with layers, and the file is some kilobytes smaller.
"""

from __future__ import annotations

from typing import Any

from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.audit import CHANNEL_AXES


def name_tensors(file: Any, model: Any) -> None:
    """Rename the tensors of a parsed file, in place, after the layers of its Keras model.

    A tensor whose name tells no layer keeps it, and so do the graph's input and output.
    """
    layers = {layer.name: _plain_name(layer) for layer in model.layers}
    norms = {layers[x.name] for x in model.layers if type(x).__name__ == "BatchNormalization"}
    with_kernel = (x for x in model.layers if any("kernel" in w.name for w in x.weights))
    kernels = {layers[layer.name] for layer in with_kernel}
    graph = file.subgraphs[0]
    taken = {schema.decode(graph.tensors[index].name) for index in (*graph.inputs, *graph.outputs)}
    named = {*graph.inputs, *graph.outputs}
    for op in graph.operators:
        produced = _layers_in(graph.tensors[op.outputs[0]].name, layers)
        # What a batch normalisation is folded into gives its name.
        produced = [layer for layer in produced if layer not in norms] or produced
        constants = [i for i in op.inputs if i >= 0 and schema.is_constant(file, graph.tensors[i])]
        if not produced:
            continue
        owner = next((layer for layer in produced if layer in kernels), produced[0])
        has_kernel = schema.op_name(file, op) in CHANNEL_AXES
        roles = ["kernel", "bias"] if has_kernel else ["constant"]
        wanted = [(i, f"{owner}/{role}") for i, role in zip(constants, roles, strict=False)]
        wanted += [(i, produced[0]) for i in op.outputs]
        for index, name in wanted:
            if index not in named and name not in taken:
                graph.tensors[index].name = name
                taken.add(name)
                named.add(index)


def _plain_name(layer: Any) -> str:
    """Return a layer's name without what tfmot puts before it."""
    wrapped = type(layer).__name__ == "QuantizeWrapperV2"
    return str(layer.name).removeprefix("quant_" if wrapped else "")


def _layers_in(name: Any, layers: dict[str, str]) -> list[str]:
    """Return the layers that a fused op's name lists, the last computed first."""
    matches = (
        next((layers[word] for word in part.split("/") if word in layers), None)
        for part in schema.decode(name).split(";")
    )
    return [match for match in matches if match]
