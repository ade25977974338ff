from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.errors import UsageError
from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.attached import attach
from mobilenet_tf.tflite.audit import audit
from mobilenet_tf.tflite.contract import check_contract

pytestmark = pytest.mark.slow  # converts with TensorFlow

Export = Callable[..., bytes]


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize(
    ("quantization", "io_type"),
    [
        ("float32", "int8"),
        ("float16", "int8"),
        ("dynamic_range", "int8"),
        ("int8_ptq", "int8"),
        ("int8_ptq", "uint8"),
        ("int8_qat", "int8"),
        ("int8_qat", "uint8"),
        ("int8_qat", "float32"),
    ],
)
def test_exported_files_keep_it(
    export: Export, quantization: str, io_type: str, logits: bool
) -> None:
    found = audit(export(quantization, io_type, logits))
    assert check_contract(found, quantization, io_type, logits) == []


def test_a_float_file_is_no_int8_file_and_every_op_says_why(export: Export) -> None:
    found = audit(export("float32"))
    broken = check_contract(found, "int8_ptq", "int8", False)
    for op in found.ops:
        assert any(line.startswith(f"op {op.index} {op.name} has the float32") for line in broken)
    assert "the input is float32 instead of int8" in broken
    assert any(line.startswith("the input has scale none") for line in broken)


@pytest.mark.parametrize(
    ("made", "asked", "message"),
    [
        ("float32", "float16", "has a float32 kernel .* instead of float16"),
        ("float16", "float32", "has a float16 kernel .* instead of float32"),
        ("dynamic_range", "float32", "has a int8 kernel .* instead of float32"),
        ("float32", "dynamic_range", "has a float32 kernel .* instead of int8"),
        ("int8_ptq", "float32", "the input is int8 instead of float32"),
        ("dynamic_range", "int8_ptq", "has the float32 tensor"),
    ],
)
def test_one_kind_does_not_pass_for_another(
    export: Export, made: str, asked: str, message: str
) -> None:
    assert_broken(audit(export(made)), asked, message)


def assert_broken(found: Any, quantization: str, message: str, **options: Any) -> None:
    broken = check_contract(
        found, quantization, options.get("io_type", "int8"), options.get("logits", False)
    )
    assert broken
    with pytest.raises(AssertionError, match=message):
        raise AssertionError("; ".join(broken))


def find_tensor(model: Any, op: int, position: int) -> Any:
    graph = model.subgraphs[0]
    return graph.tensors[graph.operators[op].inputs[position]]


def set_one_scale(model: Any) -> None:
    quantization = find_tensor(model, 1, 1).quantization
    quantization.scale, quantization.zeroPoint = quantization.scale[:1], quantization.zeroPoint[:1]


def set_wrong_axis(model: Any) -> None:
    find_tensor(model, 1, 1).quantization.quantizedDimension = 0


def set_kernel_zero_point(model: Any) -> None:
    quantization = find_tensor(model, 0, 1).quantization
    quantization.zeroPoint = quantization.zeroPoint + 3


def set_bias_type(model: Any) -> None:
    bias = find_tensor(model, 0, 2)
    bias.type = schema.tables.TensorType.INT64
    buffer = model.buffers[bias.buffer]
    buffer.data = np.frombuffer(buffer.data.view("<i4").astype("<i8").tobytes(), np.uint8)


def set_float_activation(model: Any) -> None:
    find_tensor(model, 3, 0).type = schema.tables.TensorType.FLOAT32


def set_input_scale(model: Any) -> None:
    find_tensor(model, 0, 0).quantization.scale = np.array([1 / 127], np.float32)


def set_output_scale(model: Any) -> None:
    graph = model.subgraphs[0]
    graph.tensors[graph.outputs[0]].quantization.scale = np.array([1 / 255], np.float32)


def set_batch(model: Any) -> None:
    find_tensor(model, 0, 0).shape = np.array([4, 16, 16, 3], np.int32)


def rename_signature_input(model: Any) -> None:
    model.signatureDefs[0].inputs[0].name = "input_1"


def remove_signature(model: Any) -> None:
    model.signatureDefs = []


def remove_metadata(model: Any) -> None:
    model.metadata = []


def set_op_inside(model: Any) -> None:
    """Turn the mean over the image into a conversion inside the graph."""
    graph = model.subgraphs[0]
    code = model.operatorCodes[graph.operators[4].opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = schema.tables.BuiltinOperator.DEQUANTIZE
    graph.operators[4].inputs = graph.operators[4].inputs[:1]


def set_custom_op(model: Any) -> None:
    code = model.operatorCodes[model.subgraphs[0].operators[-1].opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = schema.tables.BuiltinOperator.CUSTOM
    code.customCode = "FlexSoftmax"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (set_one_scale, "op 1 DEPTHWISE_CONV_2D has 1 scales along axis 3 for its 16 channels"),
        (set_wrong_axis, "op 1 DEPTHWISE_CONV_2D has 16 scales along axis 0"),
        (set_kernel_zero_point, "op 0 CONV_2D has a kernel .* zero points other than 0"),
        (set_bias_type, "op 0 CONV_2D has a int64 bias instead of int32"),
        (set_float_activation, "op 2 CONV_2D has the float32 tensor .*op 3 DEPTHWISE_CONV_2D has"),
        (set_input_scale, "the input has scale 0.00787401.* instead of 0.0078125 and 0"),
        (set_output_scale, "the output has scale 0.00392156.* instead of 0.00390625 and -128"),
        (set_batch, "the input takes batches of 4 instead of 1"),
        (rename_signature_input, "no signature serving_default that maps image to probabilities"),
        (remove_signature, "no signature serving_default"),
        (remove_metadata, "the mobilenet_tf metadata is missing"),
        (set_op_inside, "op 4 DEQUANTIZE converts int8 to int8 inside the graph"),
        (set_custom_op, "op 7 CUSTOM:FlexSoftmax is no op of LiteRT's own"),
    ],
)
def test_each_breach_is_named(export: Export, damage: Callable[[Any], None], message: str) -> None:
    model = schema.parse(export("int8_ptq"))
    damage(model)
    assert_broken(audit(schema.pack(model)), "int8_ptq", message)


def test_io_type_and_output_are_part_of_it(export: Export) -> None:
    signed = audit(export("int8_ptq"))
    assert_broken(signed, "int8_ptq", "the input is int8 instead of uint8", io_type="uint8")
    assert_broken(signed, "int8_ptq", "0 ops convert at the edge .* not 2", io_type="uint8")
    assert_broken(signed, "int8_ptq", "SOFTMAX ends the graph where logits", logits=True)


def test_nothing_else_may_stand_behind_the_model(export: Export) -> None:
    content = export("int8_ptq")
    assert_broken(audit(content + b"stuffing"), "int8_ptq", "8 bytes belong to nothing")
    model = content[: content.index(b"PK\3\4")]
    labels = {"labels.txt": "".join(f"{name}\n" for name in "abcdefghij").encode()}
    assert attach(model, labels) == content
    assert_broken(audit(model), "int8_ptq", "no TFLITE_METADATA that names the same classes")
    more = audit(attach(model, {**labels, "more.txt": b"x"}))
    assert_broken(more, "int8_ptq", "holds .'labels.txt', 'more.txt'. instead of labels.txt")
    others = audit(attach(model, {"labels.txt": b"a\n"}))
    assert_broken(others, "int8_ptq", "no TFLITE_METADATA that names the same classes")


def test_unknown_formats_are_refused(export: Export) -> None:
    found = audit(export("int8_ptq"))
    with pytest.raises(UsageError, match="did you mean 'float32'"):
        check_contract(found, "float_32", "int8", False)
    with pytest.raises(UsageError, match="unknown io_type 'int4'"):
        check_contract(found, "int8_ptq", "int4", False)
