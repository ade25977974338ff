"""What a .tflite file contains: ops, types, scales, signatures and the use of every byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.attached import find_attached
from mobilenet_tf.tflite.info import ModelInfo, get_info
from mobilenet_tf.tflite.layout import Region
from mobilenet_tf.tflite.metadata import Metadata, get_metadata
from mobilenet_tf.tflite.schema import TENSOR_TYPES, Source, decode

SIZE_KINDS = (
    "weights",
    "biases",
    "constants",
    "quantization",
    "graph",
    "metadata",
    "padding",
    "unknown",
)
# The axis of a kernel that holds its output channels, by op.
CHANNEL_AXES = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
_KINDS = {  # of the bytes of a table, else "graph"; constants have a kind each
    "Metadata": "metadata",
    "Model.description": "metadata",
    "QuantizationParameters": "quantization",
}
_LONGEST_PADDING_BYTES = 15  # what aligns a vector to 16 bytes


@dataclass(frozen=True)
class TensorInfo:
    """One tensor: `size_bytes` is its stored data (0 for activations), scales per channel."""

    index: int
    name: str
    type: str
    shape: tuple[int, ...]
    size_bytes: int
    kind: str  # "weights", "biases", "constants" or "activations"
    scales: tuple[float, ...] = field(repr=False)
    zero_points: tuple[int, ...] = field(repr=False)
    axis: int

    @property
    def is_float(self) -> bool:
        """Whether its elements are floating-point numbers."""
        return "float" in self.type


@dataclass(frozen=True)
class OpInfo:
    """One op, in the order of execution; an absent optional input is tensor -1."""

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    input_types: tuple[str, ...]
    output_types: tuple[str, ...]


@dataclass(frozen=True)
class SignatureInfo:
    """A named entry point: names in the signature to tensor numbers."""

    key: str
    inputs: dict[str, int]
    outputs: dict[str, int]


@dataclass(frozen=True)
class Audit:
    """The contents of a file; `sizes_bytes` by kind adds up to `file_bytes`.

    `custom_ops` need code from outside LiteRT (Flex ones too), `unknown_ops` have no name in this
    schema version. `conversion_ops` are Quantize and Dequantize ops inside the graph; those that
    convert a uint8 or float32 input or output, or unpack float16 constants, are `boundary_ops`.
    """

    file_bytes: int
    sizes_bytes: dict[str, int]
    ops: tuple[OpInfo, ...]
    tensors: tuple[TensorInfo, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    signatures: tuple[SignatureInfo, ...]
    subgraph_count: int
    attached: tuple[str, ...]  # the files in the zip behind the model
    metadata: Metadata | None
    info: ModelInfo
    custom_ops: tuple[str, ...]
    unknown_ops: tuple[str, ...]
    conversion_ops: tuple[OpInfo, ...]
    boundary_ops: tuple[OpInfo, ...]

    @property
    def float_tensors(self) -> tuple[TensorInfo, ...]:
        """The tensors of a floating-point type."""
        return tuple(tensor for tensor in self.tensors if tensor.is_float)

    @property
    def batch(self) -> int:
        """How many images the file takes at a time; 0 where its input has no shape."""
        shape = self.tensors[self.inputs[0]].shape if self.inputs else ()
        return shape[0] if shape else 0

    @property
    def channel_count(self) -> int:
        """The output channels of all kernels together."""
        return sum(self.count_channels(op) for op in self.ops if op.name in CHANNEL_AXES)

    def count_channels(self, op: OpInfo) -> int:
        """Return the output channels of a convolution or dense op; 0 where its kernel has none."""
        axis = CHANNEL_AXES[op.name]
        shape = self.tensors[op.inputs[1]].shape if len(op.inputs) > 1 else ()
        return shape[axis] if axis < len(shape) else 0

    def constant(self, tensor: int) -> TensorInfo:
        """Return a tensor, or the constant it is unpacked from by a Dequantize op."""
        for op in self.boundary_ops:
            if op.name == "DEQUANTIZE" and tensor in op.outputs:
                return self.tensors[op.inputs[0]]
        return self.tensors[tensor]


def audit(source: Source) -> Audit:
    """Return the audit of a file, given by its path or its bytes.

    Raises:
        UsageError: there is no such file.
        MtfError: it is not a whole .tflite file.
    """
    content, name = schema.read_content(source)
    regions = schema.find_regions(content, name)
    attached, behind = find_attached(content, max(region.end for region in regions))
    model = schema.parse(content, name)
    graph = model.subgraphs[0]
    inputs, outputs = _integers(graph.inputs), _integers(graph.outputs)
    ops = _list_ops(model, graph)
    kinds = _find_buffer_kinds(graph, ops)
    tensors = tuple(
        _describe_tensor(model, index, tensor, kinds) for index, tensor in enumerate(graph.tensors)
    )
    conversions = [op for op in ops if op.name in ("QUANTIZE", "DEQUANTIZE")]
    boundary = [op for op in conversions if _is_boundary(op, tensors, inputs, outputs)]
    for entry in model.metadata or []:
        kinds[int(entry.buffer)] = "metadata"
    return Audit(
        file_bytes=len(content),
        sizes_bytes=_count_bytes(content, [*regions, *behind], kinds),
        ops=ops,
        tensors=tensors,
        inputs=inputs,
        outputs=outputs,
        signatures=tuple(_describe_signature(entry) for entry in model.signatureDefs or []),
        subgraph_count=len(model.subgraphs),
        attached=attached,
        metadata=get_metadata(model, name),
        info=get_info(model, content, name),
        custom_ops=tuple(op.name for op in ops if op.name.startswith("CUSTOM:")),
        unknown_ops=tuple(op.name for op in ops if op.name.startswith("UNKNOWN:")),
        conversion_ops=tuple(op for op in conversions if op not in boundary),
        boundary_ops=tuple(boundary),
    )


def _integers(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in values) if values is not None else ()


def _list_ops(model: Any, graph: Any) -> tuple[OpInfo, ...]:
    def types(tensors: Sequence[int]) -> tuple[str, ...]:
        return tuple(TENSOR_TYPES.get(graph.tensors[i].type, "none") for i in tensors if i >= 0)

    ops = []
    for index, op in enumerate(graph.operators or []):
        name = schema.op_name(model, op)
        inputs, outputs = _integers(op.inputs), _integers(op.outputs)
        ops.append(OpInfo(index, name, inputs, outputs, types(inputs), types(outputs)))
    return tuple(ops)


def _find_buffer_kinds(graph: Any, ops: Sequence[OpInfo]) -> dict[int, str]:
    """Return what each buffer of constants is for; a Dequantize hands its reader's use on."""
    unpacked = {op.outputs[0]: op.inputs[0] for op in ops if op.name == "DEQUANTIZE"}
    kinds: dict[int, str] = {}
    for op in ops:
        if op.name in CHANNEL_AXES:
            for position, kind in ((1, "weights"), (2, "biases")):
                tensor = op.inputs[position] if position < len(op.inputs) else -1
                if tensor >= 0:
                    kinds[int(graph.tensors[unpacked.get(tensor, tensor)].buffer)] = kind
    return kinds


def _describe_tensor(model: Any, index: int, tensor: Any, kinds: dict[int, str]) -> TensorInfo:
    data = model.buffers[tensor.buffer].data
    size_bytes = 0 if data is None else len(data)
    quantization = tensor.quantization
    scales = getattr(quantization, "scale", None)
    return TensorInfo(
        index=index,
        name=decode(tensor.name),
        type=TENSOR_TYPES.get(tensor.type, "none"),
        shape=_integers(tensor.shape),
        size_bytes=size_bytes,
        kind=kinds.get(int(tensor.buffer), "constants") if size_bytes else "activations",
        scales=tuple(float(scale) for scale in scales) if scales is not None else (),
        zero_points=_integers(getattr(quantization, "zeroPoint", None)),
        axis=int(getattr(quantization, "quantizedDimension", 0)),
    )


def _is_boundary(
    op: OpInfo, tensors: Sequence[TensorInfo], inputs: Sequence[int], outputs: Sequence[int]
) -> bool:
    """Tell whether a conversion stands at the graph's edge or unpacks a constant."""
    ends = (*op.input_types, *op.output_types)
    if ends == ("float16", "float32"):
        return tensors[op.inputs[0]].size_bytes > 0
    if op.inputs[0] in inputs and ends in (("uint8", "int8"), ("float32", "int8")):
        return True
    return op.outputs[0] in outputs and ends in (("int8", "uint8"), ("int8", "float32"))


def _describe_signature(entry: Any) -> SignatureInfo:
    def names(entries: Any) -> dict[str, int]:
        return {decode(item.name): int(item.tensorIndex) for item in entries or []}

    return SignatureInfo(decode(entry.signatureKey), names(entry.inputs), names(entry.outputs))


def _count_bytes(
    content: bytes, regions: Sequence[Region], buffer_kinds: dict[int, str]
) -> dict[str, int]:
    """Return the bytes of each kind; a shared vector counts for its first owner.

    What no table points at is padding when it is a short run of zeros, else unknown.
    """
    owners = np.full(len(content), -1, dtype=np.int8)
    for region in regions:
        kind = _KINDS.get(region.owner, "graph")
        if region.owner == "Buffer.data":
            kind = buffer_kinds.get(region.index, "constants")
        stretch = owners[region.start : region.end]
        stretch[stretch < 0] = SIZE_KINDS.index(kind)
    free = np.flatnonzero(owners < 0)
    for run in np.split(free, np.flatnonzero(np.diff(free) > 1) + 1):
        if len(run):
            is_padding = len(run) <= _LONGEST_PADDING_BYTES and not any(
                content[run[0] : run[-1] + 1]
            )
            owners[run] = SIZE_KINDS.index("padding" if is_padding else "unknown")
    counts = np.bincount(owners, minlength=len(SIZE_KINDS))
    return {kind: int(count) for kind, count in zip(SIZE_KINDS, counts, strict=True)}
