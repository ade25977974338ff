"""Batch normalisation folded into the kernels before it, as the deployed file has it.

The kernels that are fake-quantized are then the file's own.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from mobilenet_tf.errors import UsageError
from mobilenet_tf.keras import keras

FOLDABLE = ("Conv2D", "DepthwiseConv2D", "Dense")


def fold_batch_norm(model: Any) -> Any:
    """Return a new model with the same outputs at inference and no batch normalisation.

    Every BatchNormalization of the functional `model` must follow a convolution, a depthwise
    convolution or a dense layer without activation, and be its only reader. The kernel and the
    bias of that layer take it in (Jacob 2018, arXiv 1712.05877, section 3.2).

    Raises:
        UsageError: a batch normalisation stands elsewhere; the message names it.
    """
    norms = find_norms(model)
    config = model.get_config()
    config["layers"] = [entry for entry in config["layers"] if entry["name"] not in norms]
    for entry in config["layers"]:
        if entry["name"] in norms.values():
            entry["config"]["use_bias"] = True
        redirect(entry["inbound_nodes"], norms)
    redirect(config["output_layers"], norms)
    folded = keras.Model.from_config(config)
    norm_of = {target: model.get_layer(name) for name, target in norms.items()}
    for layer in folded.layers:
        source, norm = model.get_layer(layer.name), norm_of.get(layer.name)
        layer.set_weights(fold(source, norm) if norm else source.get_weights())
    return folded


def find_norms(model: Any) -> dict[str, str]:
    """Return every batch normalisation of a model and the layer that takes it in, by name."""
    return {
        layer.name: find_folded_layer(model, layer)
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }


def find_folded_layer(model: Any, norm: Any) -> str:
    """Return the name of the layer that takes in the batch normalisation `norm`."""
    source = norm.input._keras_history.layer
    kind = type(source).__name__
    linear = getattr(source, "activation", keras.activations.linear) is keras.activations.linear
    if kind not in FOLDABLE or not linear or len(source.outbound_nodes) != 1:
        raise UsageError(
            f"cannot fold {norm.name}: it follows {source.name} ({kind}); a batch normalisation"
            f" must directly follow one of {', '.join(FOLDABLE)} without activation"
        )
    return str(source.name)


def redirect(references: Any, replacements: dict[str, str]) -> None:
    """Replace layer names in Keras' nested [name, node, tensor, …] references, in place."""
    for i, item in enumerate(references):
        if isinstance(item, str):
            references[i] = replacements.get(item, item) if i == 0 else item
        elif isinstance(item, list):
            redirect(item, replacements)


def fold(layer: Any, norm: Any) -> list[np.ndarray]:
    """Return the kernel and the bias of `layer` with `norm` folded in."""
    kernel, *rest = layer.get_weights()
    variance = norm.moving_variance.numpy().astype(np.float64)
    gain = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        gain = gain * norm.gamma.numpy()
    bias = (rest[0] if rest else 0.0) - norm.moving_mean.numpy().astype(np.float64)
    bias = bias * gain
    if norm.center:
        bias = bias + norm.beta.numpy()
    # (h, w, in, out), (h, w, channels, multiplier) and (in, out): the outputs come last, for a
    # depthwise kernel as the two last axes together.
    outputs = gain.reshape(kernel.shape[2:]) if "Depthwise" in type(layer).__name__ else gain
    return [(kernel * outputs).astype(np.float32), bias.astype(np.float32)]


def divide_logits(model: Any, temperature: float) -> None:
    """Divide what a network or its fake-quantized twin gives by `temperature`, in its weights.

    These are the kernel and the bias of the last layer and the range of its output, which all are
    linear in it: quantized values stay the same.
    """
    for layer in reversed(model.layers):
        for weight in layer.weights:
            if re.search(r"/(kernel|bias|output_min|output_max):0$", weight.name):
                weight.assign(weight / temperature)
        if read_kernel(layer) is not None:
            return


def read_kernel(layer: Any) -> np.ndarray | None:
    """Return a Keras layer's kernel; None where it has none."""
    for weight in layer.weights:
        if "kernel" in weight.name.rsplit("/", 1)[-1]:
            kernel: np.ndarray = weight.numpy()
            return kernel
    return None
