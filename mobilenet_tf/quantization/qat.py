"""A float model -> its fake-quantized twin, ready to be fine-tuned by the one trainer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.keras import keras, tf, unwrap
from mobilenet_tf.models.outputs import check_model
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
    check_model(model, "quantize")
    source = fold_batch_norm(model)
    quantized = keras.models.clone_model(quantize_input(source), clone_function=quantize_layer)
    copy_float(source, quantized)
    return quantized


def quantize_for_training(model: Any) -> Any:
    """Return the fake-quantized twin that is fine-tuned; `deploy` makes the deployed one of it.

    It differs from that by its batch normalisations: each kernel takes its own in before it is
    rounded, at every step, and keeps the parameters it was trained with.

    Raises:
        UsageError: it is no tf_keras model, or has a layer that the scheme does not know.
    """
    check_model(model, "quantize")
    twins: dict[str, FoldedBatchNormalization] = {}  # by its name and by the folding layer's
    for name, folded in find_norms(model).items():
        norm = model.get_layer(name)
        twins[name] = twins[folded] = FoldedBatchNormalization.from_config(norm.get_config())
        with tf.name_scope(name):
            twins[name].build(norm.input_shape)

    def clone(layer: Any) -> Any:
        if isinstance(layer, keras.layers.BatchNormalization):
            return quantize_norm(layer, twins[layer.name])
        return quantize_layer(layer, twins.get(layer.name))

    quantized = keras.models.clone_model(quantize_input(model), clone_function=clone)
    copy_float(model, quantized)
    return quantized


def deploy(trained: Any, float_model: Any) -> Any:
    """Return the deployed twin of a model of `quantize_for_training`, its ranges frozen.

    `float_model` is what that was made from; it takes over the weights.
    """
    norms = find_norms(float_model)
    copy_float(trained, float_model)
    quantized = quantize_model(float_model)
    bounds = _find_variables(quantized, ranges=True)
    for name, variable in _find_variables(trained, ranges=True).items():
        layer, bound = name.split("/")
        bounds[f"{norms.get(layer, layer)}/{bound}"].assign(variable)
    set_mode(quantized, "frozen")
    return quantized


def copy_float(source: Any, target: Any) -> None:
    """Copy every weight of a network but ranges to its twin, either way, by name.

    Raises:
        MtfError: one has weights that the other lacks.
    """
    values, variables = (_find_variables(model, ranges=False) for model in (source, target))
    if values.keys() != variables.keys():
        lost = ", ".join(sorted(values.keys() ^ variables.keys()))
        raise MtfError(f"the float network and its quantized twin do not share the weights {lost}")
    for name, variable in variables.items():
        variable.assign(values[name])


def _find_variables(model: Any, *, ranges: bool) -> dict[str, Any]:
    """Return a network's ranges, or its weights without them, by their float names."""
    return {
        plain_name(variable): variable
        for variable in model.variables
        if variable.dtype.is_floating and ("/output_m" in variable.name) == ranges
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
    for quantizer in activation_quantizers(model):
        if quantizer.low == 0 == quantizer.high:  # 0 in every image: a scale of 0 runs nowhere
            quantizer.high.assign(1.0)
    set_mode(model, "frozen")


def set_mode(model: Any, mode: Mode) -> bool:
    """Set how all activation ranges behave; return whether that changed anything.

    A compiled function keeps the mode it was traced with, so a change needs a new one.
    """
    return _set(activation_quantizers(model), "mode", mode)


def set_norms(model: Any, *, live: bool) -> bool:
    """Set whether batch normalisation follows the batches; return whether that changed it."""
    inside = map(unwrap, model.layers)
    norms = [norm for norm in inside if isinstance(norm, FoldedBatchNormalization)]
    return _set(norms, "live", live)


def _set(holders: Sequence[Any], name: str, value: Any) -> bool:
    changed = any(getattr(holder, name) != value for holder in holders)
    for holder in holders:
        setattr(holder, name, value)
    return changed


def quantize_input(model: Any) -> Any:
    """Return the network, its weights new, with the fixed quantization of bytes after its input."""
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
    objects = {"ImageQuantization": ImageQuantization}
    return keras.Model.from_config(config, custom_objects=objects)
