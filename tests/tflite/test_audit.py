from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.keras import keras
from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.audit import SIZE_KINDS, audit
from mobilenet_tf.tflite.layout import walk

pytestmark = pytest.mark.slow  # converts with TensorFlow

Export = Callable[..., bytes]
QUANTIZATIONS = ("float32", "float16", "dynamic_range", "int8_ptq", "int8_qat")


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_every_byte_is_accounted_for(export: Export, quantization: str) -> None:
    content = export(quantization)
    found = audit(content)
    assert found.file_bytes == len(content)
    assert tuple(found.sizes_bytes) == SIZE_KINDS
    assert sum(found.sizes_bytes.values()) == len(content)
    assert found.sizes_bytes["unknown"] == 0
    assert found.sizes_bytes["padding"] < 0.08 * len(content)


def test_the_converters_own_file_is_accounted_for_too(converter_file: bytes) -> None:
    found = audit(converter_file)
    assert sum(found.sizes_bytes.values()) == len(converter_file)
    assert found.sizes_bytes["unknown"] == 0


def test_weights_and_biases_are_what_the_model_holds(
    export: Export, tiny_model: keras.Model
) -> None:
    kernels = [w for w in tiny_model.weights if "kernel" in w.name]
    elements = sum(int(np.prod(kernel.shape)) for kernel in kernels)
    channels = 16 + 16 + 80 + 80 + 10
    lengths = 4 * len(kernels)  # every vector has its length before it
    for quantization, width, bias_width in (
        ("float32", 4, 4),
        ("float16", 2, 2),
        ("int8_ptq", 1, 4),
    ):
        found = audit(export(quantization))
        assert found.sizes_bytes["weights"] == elements * width + lengths
        assert found.sizes_bytes["biases"] == channels * bias_width + lengths
        assert found.channel_count == channels
        weights = [tensor for tensor in found.tensors if tensor.kind == "weights"]
        assert sum(tensor.size_bytes for tensor in weights) == elements * width


def test_it_tells_ops_types_scales_and_signature(export: Export) -> None:
    found = audit(export("int8_ptq"))
    assert [op.name for op in found.ops] == [
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "MEAN",
        "CONV_2D",
        "RESHAPE",
        "SOFTMAX",
    ]
    assert found.ops[0].input_types == ("int8", "int8", "int32")
    assert found.ops[0].output_types == ("int8",)
    kernel = found.tensors[found.ops[1].inputs[1]]
    assert (kernel.type, kernel.kind, kernel.axis, len(kernel.scales)) == ("int8", "weights", 3, 16)
    assert set(kernel.zero_points) == {0}
    assert found.batch == 1
    assert found.float_tensors == found.conversion_ops == found.boundary_ops == ()
    signature = found.signatures[0]
    assert signature.key == "serving_default"
    assert {found.tensors[i].name for i in signature.inputs.values()} == {"image"}
    assert {found.tensors[i].name for i in signature.outputs.values()} == {"probabilities"}


def test_conversions_at_the_edge_are_told_from_those_inside(export: Export) -> None:
    unsigned = audit(export("int8_ptq", "uint8"))
    assert [op.name for op in unsigned.boundary_ops] == ["QUANTIZE", "QUANTIZE"]
    half = audit(export("float16"))
    assert len(half.boundary_ops) == 10  # five kernels and five biases
    assert unsigned.conversion_ops == half.conversion_ops == ()


def test_bytes_that_nothing_points_at_are_unknown(export: Export) -> None:
    content = export("int8_ptq")
    assert audit(content + b"\x07" * 5).sizes_bytes["unknown"] == 5
    assert audit(content + bytes(64)).sizes_bytes["unknown"] >= 64  # zeros, but no padding


def test_vectors_inside_an_ops_options_are_accounted_for(export: Export) -> None:
    model = schema.parse(export("float32"))
    reshape = model.subgraphs[0].operators[-2]
    for kind, options in (
        ("ReshapeOptions", schema.tables.ReshapeOptionsT(newShape=np.array([9, 8, 7], "<i4"))),
        ("SqueezeOptions", schema.tables.SqueezeOptionsT(squeezeDims=np.array([9, 8], "<i4"))),
    ):
        reshape.builtinOptionsType = getattr(schema.tables.BuiltinOptions, kind)
        reshape.builtinOptions = options
        assert audit(schema.pack(model)).sizes_bytes["unknown"] == 0


def test_custom_and_unknown_ops_are_named(export: Export) -> None:
    model = schema.parse(export("float32"))
    softmax = next(code for code in model.operatorCodes if code.builtinCode == 25)
    softmax.builtinCode = softmax.deprecatedBuiltinCode = schema.tables.BuiltinOperator.CUSTOM
    softmax.customCode = "FlexErf"
    assert audit(schema.pack(model)).custom_ops == ("CUSTOM:FlexErf",)
    softmax.builtinCode, softmax.deprecatedBuiltinCode = 9999, 127
    assert audit(schema.pack(model)).unknown_ops == ("UNKNOWN:9999",)


def test_a_truncated_file_is_refused_at_every_length(export: Export) -> None:
    content = export("int8_qat")
    last_used = max(region.end for region in walk(content))
    for length in range(last_used):
        with pytest.raises(MtfError, match=r"is not a \.tflite file, or it is damaged or cut off"):
            audit(content[:length])


def test_damaged_bytes_give_a_clear_error_or_a_whole_audit(export: Export) -> None:
    rng = np.random.default_rng(5)
    content = export("int8_ptq")
    refused = 0
    for _ in range(400):
        damaged = bytearray(content)
        for position in rng.integers(0, len(content), 3):
            damaged[position] = rng.integers(256)
        try:
            found = audit(bytes(damaged))
        except MtfError:
            refused += 1
        else:
            assert sum(found.sizes_bytes.values()) == len(content)
    assert refused > 40


def test_files_that_are_not_there_or_not_models(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        audit(tmp_path / "none.tflite")
    with pytest.raises(UsageError, match="is a folder"):
        audit(tmp_path)
    image = tmp_path / "image.tflite"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(MtfError, match=r"image\.tflite is not a \.tflite file"):
        audit(str(image))
