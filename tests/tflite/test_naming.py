from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.quantization.qat import calibrate, quantize_model
from mobilenet_tf.recipe import Options
from mobilenet_tf.tflite.audit import CHANNEL_AXES, audit
from mobilenet_tf.tflite.convert import convert

pytestmark = pytest.mark.slow  # converts with TensorFlow

CLASSES = tuple("abcdefghij")


@pytest.fixture(scope="module")
def model() -> Any:
    network = build_variant(
        make_variant(
            "mobilenet_v1",
            alpha=0.25,
            resolution_px=32,
            classes=10,
            stride_plan="cifar",
            options=Options(block_count=4),
        ),
        seed=1,
    )
    rng = np.random.default_rng(1)
    for variable in network.variables:  # equal biases would be stored as one tensor
        if "beta" in variable.name or "bias" in variable.name:
            variable.assign(rng.normal(0, 0.1, variable.shape))
    return network


@pytest.mark.parametrize("quantization", ["float32", "int8_ptq", "int8_qat"])
def test_tensors_are_named_after_the_layers(model: Any, quantization: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    source = model
    if quantization == "int8_qat":
        source = quantize_model(model)
        calibrate(source, images)
    found = audit(
        convert(
            source,
            quantization=quantization,
            classes=CLASSES,
            description="test",
            calibration_images=images,
        )
    )
    names = [tensor.name for tensor in found.tensors]
    assert len(set(names)) == len(names)
    assert not [name for name in names if ";" in name or "ReadVariableOp" in name]
    layers = {layer.name: layer for layer in model.layers}
    for op in found.ops:
        if op.name not in CHANNEL_AXES:
            continue
        _, kernel, bias = (found.tensors[index] for index in op.inputs)
        layer, _, role = kernel.name.partition("/")
        assert role == "kernel"
        assert bias.name == f"{layer}/bias"
        # The right layer, by its size: the file's kernels have their axes in another order.
        assert sorted(kernel.shape) == sorted(layers[layer].weights[0].shape)
        output = found.tensors[op.outputs[0]].name
        assert output in {layer, f"{layer}_relu"}
        assert output in layers
