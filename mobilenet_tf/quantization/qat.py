"""A float model -> its fake-quantized twin, ready to be fine-tuned by the one trainer."""

from __future__ import annotations

from typing import Any

import numpy as np

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.keras import keras, tf
from mobilenet_tf.quantization.folding import fold_batch_norm, redirect
from mobilenet_tf.quantization.quantizers import ImageQuantization, Mode
from mobilenet_tf.quantization.scheme import activation_quantizers, quantize_layer

IMAGE_QUANTIZATION = "image_quantization"
WRAPPER_PREFIX = "quant_"  # what tfmot puts before the name of a layer it wraps


def quantize_model(model: Any) -> Any:
    """Return the fake-quantized twin of a float functional model; ranges still to be calibrated.

    Input (B, R, R, 3) float32 in [-1, 127/128], output (B, C) logits, as the float model's.

    Raises:
        UsageError: it is no tf_keras model, or has a layer that the scheme does not know.
    """
    if not isinstance(model, keras.Model):
        raise UsageError(
            f"{type(model).__module__}.{type(model).__name__} is not a tf_keras model; Keras 3"
            " models cannot be quantized: build it with `import tf_keras`"
        )
    folded = quantize_input(fold_batch_norm(model))
    quantized = keras.models.clone_model(folded, clone_function=quantize_layer)
    copy_trained(folded, quantized)
    return quantized


def copy_trained(source: Any, target: Any) -> None:
    """Copy the kernels and biases between a folded network and its fake-quantized twin, by name.

    Raises:
        MtfError: one has weights that the other lacks.
    """
    trained = {plain_name(variable): variable for variable in source.trainable_variables}
    names = [plain_name(variable) for variable in target.trainable_variables]
    if set(names) != set(trained):
        lost = ", ".join(sorted(set(names) ^ set(trained)))
        raise MtfError(f"the float network and its quantized twin do not share the weights {lost}")
    for variable, name in zip(target.trainable_variables, names, strict=True):
        variable.assign(trained[name])


def plain_name(variable: Any) -> str:
    """Return the name that a variable has in the float network."""
    return str(variable.name).removeprefix(WRAPPER_PREFIX)


def calibrate(model: Any, images: np.ndarray, batch_size: int = 64) -> None:
    """Set every activation's range to what it is over pictures (N, R, R, 3) uint8.

    Raises:
        UsageError: there is no picture, or one of another size or type.
    """
    shape = tuple(model.input_shape[1:])
    if not len(images):
        raise UsageError("the calibration set is empty; give at least one training picture")
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        raise UsageError(
            f"calibration pictures are {images.shape[1:]} {images.dtype}, the model takes {shape}"
            " uint8"
        )
    set_mode(model, "calibrate")
    for start in range(0, len(images), batch_size):
        model(normalise(tf.constant(images[start : start + batch_size])), training=False)
    set_mode(model, "frozen")


def set_mode(model: Any, mode: Mode) -> bool:
    """Say how all activation ranges behave from now on; True if that changed anything.

    A compiled function keeps the mode it was traced with, so a change needs a new one.
    """
    changed = False
    for quantizer in activation_quantizers(model):
        changed |= quantizer.mode != mode
        quantizer.mode = mode
    return changed


def quantize_input(model: Any) -> Any:
    """Return the model with the fixed quantization of bytes after its input."""
    config = model.get_config()
    (name, *_) = config["input_layers"][0]
    for entry in config["layers"]:
        redirect(entry["inbound_nodes"], {name: IMAGE_QUANTIZATION})
    entry = {
        "class_name": "ImageQuantization",
        "config": {"name": IMAGE_QUANTIZATION},
        "name": IMAGE_QUANTIZATION,
        "inbound_nodes": [[[name, 0, 0, {}]]],
    }
    config["layers"].insert(1, entry)
    quantized = keras.Model.from_config(
        config, custom_objects={"ImageQuantization": ImageQuantization}
    )
    for layer in quantized.layers:
        if layer.name != IMAGE_QUANTIZATION:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return quantized
