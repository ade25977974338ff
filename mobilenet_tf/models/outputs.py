"""What is taken for a model here: one of tf_keras that gives logits, not probabilities."""

from __future__ import annotations

from typing import Any

from mobilenet_tf.errors import UsageError
from mobilenet_tf.keras import keras

# Layers that change neither the order nor the values of what comes through them.
_PASSING = ("Reshape", "Flatten", "Dropout", "Permute", "SeededDropout")


def ends_in_softmax(model: keras.Model) -> bool:
    """Tell whether the last layer that computes something in a model is a softmax.

    A subclassed model shows no layers: the answer is no.
    """
    outputs = getattr(model, "outputs", None)
    if not outputs or len(outputs) != 1 or not hasattr(outputs[0], "_keras_history"):
        return False
    layer, node, _ = outputs[0]._keras_history
    while _passes_on(layer):
        source = layer.get_input_at(node)
        if isinstance(source, (list, tuple)) or not hasattr(source, "_keras_history"):
            return False
        layer, node, _ = source._keras_history
    while isinstance(layer, keras.layers.Wrapper):  # TimeDistributed, tfmot's wrappers
        layer = layer.layer
    return ends_in_softmax(layer) if isinstance(layer, keras.Model) else _is_softmax(layer)


def check_model(model: Any, what: str) -> None:
    """Refuse what is no tf_keras model of one input and one output.

    Raises:
        UsageError: it is a model of Keras 3 or of another library, or its layers cannot be seen.
    """
    if not isinstance(model, keras.Model):
        kind = type(model)
        is_keras_3 = kind.__module__.split(".")[0] == "keras"
        raise UsageError(
            f"{what} takes a tf_keras (Keras 2) model and got a"
            f" {'Keras 3 model' if is_keras_3 else kind.__qualname__}; build it with"
            " mobilenet_tf.create_model or with `import tf_keras as keras`, and copy the weights"
        )
    shapes = [getattr(model, name, None) for name in ("input_shape", "output_shape")]
    if not all(isinstance(shape, tuple) for shape in shapes):
        raise UsageError(
            f"{what} takes a model of one input and one output, whose shapes are known, and"
            f" {model.name!r} is none; build it as keras.Model(input, output)"
        )


def check_logits(model: keras.Model, what: str) -> None:
    """Refuse a model whose output is probabilities already.

    Raises:
        UsageError: it ends in a softmax.
    """
    if ends_in_softmax(model):
        raise UsageError(
            f"model {model.name!r} ends in a softmax and {what} needs logits; build it with"
            " classifier_activation=None (or without its last activation) and the same weights"
        )


def _passes_on(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, keras.layers.Activation):
        return layer.activation is keras.activations.linear
    return type(layer).__name__ in _PASSING


def _is_softmax(layer: keras.layers.Layer) -> bool:
    """Tell whether a layer is a softmax, or has one as its activation, or calls tf.nn.softmax."""
    called = getattr(layer, "activation", None) or getattr(layer, "function", None)
    name = getattr(called, "__name__", type(called).__name__).lower()
    return isinstance(layer, keras.layers.Softmax) or name in ("softmax", "softmax_v2")
