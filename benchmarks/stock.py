"""What stock tensorflow-model-optimization makes of a network, to compare with."""

from __future__ import annotations

from typing import Any

import tensorflow_model_optimization as tfmot

from mobilenet_tf.keras import keras
from mobilenet_tf.models.dropout import SeededDropout


def quantize_stock(model: Any) -> Any:
    """Return the network with stock fake quantization and the same weights."""

    def replace(layer: Any) -> Any:  # it refuses layers that it does not know
        if isinstance(layer, SeededDropout):
            return keras.layers.Dropout(layer.rate, name=layer.name)
        return type(layer).from_config(layer.get_config())

    plain = keras.models.clone_model(model, clone_function=replace)
    for layer in plain.layers:
        if layer.name != "dropout":
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return tfmot.quantization.keras.quantize_model(plain)
