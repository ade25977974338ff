"""What a model's output is: logits, as everything here takes them, or probabilities."""

from __future__ import annotations

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
    is_activation = isinstance(layer, keras.layers.Activation)
    return type(layer).__name__ in _PASSING or (
        is_activation and layer.activation is keras.activations.linear
    )


def _is_softmax(layer: keras.layers.Layer) -> bool:
    """Tell whether a layer is a softmax, or has one as its activation, or calls tf.nn.softmax."""
    called = getattr(layer, "activation", None) or getattr(layer, "function", None)
    name = getattr(called, "__name__", type(called).__name__).lower()
    return isinstance(layer, keras.layers.Softmax) or name in ("softmax", "softmax_v2")
