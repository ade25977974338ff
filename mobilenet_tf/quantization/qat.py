"""A float model -> its fake-quantized twin, ready to be fine-tuned by the one trainer."""

from __future__ import annotations

from typing import Any

import numpy as np

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.keras import keras, tf
from mobilenet_tf.quantization.batch_norm import FoldedBatchNormalization
from mobilenet_tf.quantization.folding import find_norms, fold_batch_norm, redirect
from mobilenet_tf.quantization.quantizers import ImageQuantization, Mode
from mobilenet_tf.quantization.scheme import activation_quantizers, quantize_layer, quantize_norm
from mobilenet_tf.system import terminal

IMAGE_QUANTIZATION = "image_quantization"
WRAPPER_PREFIX = "quant_"  # what tfmot puts before the name of a layer it wraps


def quantize_model(model: Any) -> Any:
    """Return the fake-quantized twin of a float functional model, as it is deployed.

    Batch normalisation is folded; ranges are still to be calibrated. Input (B, R, R, 3) float32
    in [-1, 127/128], output (B, C) logits, as the float model's.

    Raises:
        UsageError: it is no tf_keras model, or has a layer that the scheme does not know.
    """
    check_model(model)
    source = quantize_input(fold_batch_norm(model))
    quantized = keras.models.clone_model(source, clone_function=quantize_layer)
    copy_float(source, quantized)
    return quantized


def quantize_for_training(model: Any) -> Any:
    """Return the fake-quantized twin that is fine-tuned; `deploy` makes the deployed one of it.

    It differs from that by its batch normalisations: each kernel takes its own in before it is
    rounded, at every step, and keeps the parameters it was trained with.

    Raises:
        UsageError: it is no tf_keras model, or has a layer that the scheme does not know.
    """
    check_model(model)
    source = quantize_input(model)
    twins: dict[str, FoldedBatchNormalization] = {}
    norm_after: dict[str, FoldedBatchNormalization] = {}
    for name, folded in find_norms(source).items():
        norm = source.get_layer(name)
        twins[name] = FoldedBatchNormalization.from_config(norm.get_config())
        with tf.name_scope(name):
            twins[name].build(norm.input_shape)
        norm_after[folded] = twins[name]

    def clone(layer: Any) -> Any:
        if layer.name in twins:
            return quantize_norm(layer, twins[layer.name])
        return quantize_layer(layer, norm_after.get(layer.name))

    quantized = keras.models.clone_model(source, clone_function=clone)
    copy_float(source, quantized)
    return quantized


def deploy(trained: Any, float_model: Any) -> Any:
    """Return the deployed twin of a model of `quantize_for_training`, its ranges frozen.

    `float_model` is what that was made from; it takes over the weights.
    """
    norms = find_norms(float_model)
    copy_float(trained, float_model)
    quantized = quantize_model(float_model)
    ranges = {
        norms.get(layer, layer) + "/" + bound: variable
        for variable in trained.variables
        if "/output_m" in variable.name
        for layer, bound in [plain_name(variable).split("/")]
    }
    for variable in quantized.variables:
        if "/output_m" in variable.name:
            variable.assign(ranges[plain_name(variable)])
    set_mode(quantized, "frozen")
    return quantized


def check_model(model: Any) -> None:
    """Refuse what is no tf_keras model."""
    if not isinstance(model, keras.Model):
        raise UsageError(
            f"{type(model).__module__}.{type(model).__name__} is not a tf_keras model; Keras 3"
            " models cannot be quantized: build it with `import tf_keras`"
        )


def copy_float(source: Any, target: Any) -> None:
    """Copy every weight of a network but ranges to its twin, either way, by name.

    Raises:
        MtfError: one has weights that the other lacks.
    """
    values, variables = float_variables(source), float_variables(target)
    if values.keys() != variables.keys():
        lost = ", ".join(sorted(values.keys() ^ variables.keys()))
        raise MtfError(f"the float network and its quantized twin do not share the weights {lost}")
    for name, variable in variables.items():
        variable.assign(values[name])


def float_variables(model: Any) -> dict[str, Any]:
    """Return the weights that a network and its twin share, by their name in the former."""
    return {
        plain_name(variable): variable
        for variable in model.variables
        if variable.dtype.is_floating and "/output_m" not in variable.name
    }


def plain_name(variable: Any) -> str:
    """Return the name that a variable has in the float network."""
    return str(variable.name).removeprefix(WRAPPER_PREFIX)


def calibrate(model: Any, images: np.ndarray, batch_size: int = 64) -> None:
    """Set every activation's range to that over images (N, R, R, 3) uint8.

    Raises:
        UsageError: there is no image, or one of another size or type.
    """
    shape = tuple(model.input_shape[1:])
    if not len(images):
        raise UsageError("the calibration set is empty; give at least one training image")
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        raise UsageError(
            f"calibration images are {images.shape[1:]} {images.dtype}, the model takes {shape}"
            " uint8"
        )
    set_mode(model, "calibrate")
    for start in terminal.track(range(0, len(images), batch_size), "calibrating"):
        model(normalise(tf.constant(images[start : start + batch_size])), training=False)
    widen_dead_ranges(model)
    set_mode(model, "frozen")


def widen_dead_ranges(model: Any) -> None:
    """Give activations that are 0 in every image the range [0, 1]: a scale of 0 runs nowhere."""
    bounds = {variable.name: variable for variable in model.variables}
    for name, high in bounds.items():
        layer, found, _ = name.partition("/output_max")
        if found and high == 0 == bounds[f"{layer}/output_min:0"]:
            high.assign(1.0)


def set_mode(model: Any, mode: Mode) -> bool:
    """Set how all activation ranges behave; return whether that changed anything.

    A compiled function keeps the mode it was traced with, so a change needs a new one.
    """
    changed = False
    for quantizer in activation_quantizers(model):
        changed |= quantizer.mode != mode
        quantizer.mode = mode
    return changed


def set_norms(model: Any, *, live: bool) -> bool:
    """Set whether batch normalisation follows the batches; return whether that changed it."""
    changed = False
    for layer in model.layers:
        norm = getattr(layer, "layer", layer)  # inside its wrapper, if it has one
        if isinstance(norm, FoldedBatchNormalization):
            changed |= norm.live != live
            norm.live = live
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
