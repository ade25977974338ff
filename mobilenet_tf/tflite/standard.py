"""Standard TFLite metadata: the tables of `metadata_schema.fbs` 1.5.0, read and written.

A class is a table of the schema and a field's place in it is the field's number, so that both
directions follow from the classes. What is last in a table and of no use to a classifier is left
out; a reader skips it.
"""

from __future__ import annotations

import struct
import types
import typing
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar

import flatbuffers
import numpy as np

from mobilenet_tf.tflite.layout import LayoutError

ENTRY = "TFLITE_METADATA"
IDENTIFIER = b"M001"
AXIS_LABELS = 2  # AssociatedFileType.TENSOR_AXIS_LABELS
RGB = 1  # ColorSpaceType.RGB
_MOST_ITEMS = 100_000  # tables and elements: offsets may share targets, and a file may be hostile
_LONGEST_STRING_BYTES = 1 << 20

Byte = Annotated[int, "b"]
UInt = Annotated[int, "I"]
Float = Annotated[float, "f"]
T = TypeVar("T")


@dataclass(frozen=True)
class AssociatedFile:
    """A file in the zip behind the model."""

    name: str = ""
    description: str = ""
    type: Byte = 0
    locale: str = ""
    version: str = ""


@dataclass(frozen=True)
class FeatureProperties:
    """What a tensor of features is: nothing in particular."""


@dataclass(frozen=True)
class ImageSize:
    """Pixels."""

    width: UInt = 0
    height: UInt = 0


@dataclass(frozen=True)
class ImageProperties:
    """What an image tensor holds."""

    color_space: Byte = 0
    default_size: ImageSize | None = None


@dataclass(frozen=True)
class Content:
    """The kind of a tensor; in a union, the class's place is its tag."""

    content_properties: FeatureProperties | ImageProperties | None = None


@dataclass(frozen=True)
class NormalizationOptions:
    """(byte - mean) / std, one value for all channels or one each."""

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


@dataclass(frozen=True)
class ScoreCalibrationOptions:
    """How scores are calibrated, with the parameters in an associated file."""

    score_transformation: Byte = 0
    default_score: Float = 0.0


@dataclass(frozen=True)
class ScoreThresholdingOptions:
    """The score below which a result should be left out."""

    global_score_threshold: Float = 0.0


@dataclass(frozen=True)
class ProcessUnit:
    """One step before or after the graph."""

    options: NormalizationOptions | ScoreCalibrationOptions | ScoreThresholdingOptions | None = None


@dataclass(frozen=True)
class Stats:
    """The range of a tensor's real values."""

    max: tuple[float, ...] = ()
    min: tuple[float, ...] = ()


@dataclass(frozen=True)
class TensorMetadata:
    """An input or an output."""

    name: str = ""
    description: str = ""
    dimension_names: tuple[str, ...] = ()
    content: Content | None = None
    process_units: tuple[ProcessUnit, ...] = ()
    stats: Stats | None = None
    associated_files: tuple[AssociatedFile, ...] = ()

    def find_options(self, kind: type[T]) -> T | None:
        """Return the options of the first process unit of a kind."""
        return next((u.options for u in self.process_units if isinstance(u.options, kind)), None)


@dataclass(frozen=True)
class SubGraphMetadata:
    """A graph, its inputs and outputs in the graph's order."""

    name: str = ""
    description: str = ""
    input_tensor_metadata: tuple[TensorMetadata, ...] = ()
    output_tensor_metadata: tuple[TensorMetadata, ...] = ()


@dataclass(frozen=True)
class ModelMetadata:
    """The document."""

    name: str = ""
    description: str = ""
    version: str = ""
    subgraph_metadata: tuple[SubGraphMetadata, ...] = ()
    author: str = ""
    license: str = ""
    associated_files: tuple[AssociatedFile, ...] = ()
    min_parser_version: str = ""


def decode(content: bytes) -> ModelMetadata:
    """Return the document in a flatbuffer.

    Raises:
        LayoutError: the identifier is missing, an offset leaves the bytes, or there is too much.
    """
    if content[4:8] != IDENTIFIER:
        raise LayoutError("the identifier M001 is missing")
    reader = _Reader(content)
    document: ModelMetadata = reader.table(reader.follow(0), ModelMetadata)
    return document


def encode(document: ModelMetadata) -> bytes:
    """Return the flatbuffer of a document; the same bytes for the same document."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, document), IDENTIFIER)
    return bytes(builder.Output())


@dataclass(frozen=True)
class _Field:
    name: str
    slot: int
    kind: str  # "scalar", "string", "floats", "strings", "tables" or "union"
    of: Any  # a scalar's format, the table's class, or the union's classes in their order


@cache
def _list_fields(table: Any) -> tuple[_Field, ...]:
    """Return the stored fields of a table; a union takes two slots, its tag comes first."""
    fields: list[_Field] = []
    slot = 0
    for name, hint in typing.get_type_hints(table, include_extras=True).items():
        kind, of = _classify(hint)
        slot += kind == "union" and len(of) > 1
        fields.append(_Field(name, slot, kind, of))
        slot += 1
    return tuple(fields)


def _classify(hint: Any) -> tuple[str, Any]:
    if hint is str:
        return "string", None
    if typing.get_origin(hint) is Annotated:
        return "scalar", hint.__metadata__[0]
    parts = typing.get_args(hint)
    if typing.get_origin(hint) is types.UnionType:
        return "union", tuple(part for part in parts if part is not types.NoneType)
    return {float: "floats", str: "strings"}.get(parts[0], "tables"), parts[0]


class _Reader:
    """Reads tables within the bounds of the bytes, and no more than a limited number of items."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.items_left = _MOST_ITEMS

    def number(self, format_: str, at: int) -> Any:
        if at < 0:
            raise LayoutError("an offset leaves the document")
        try:
            return struct.unpack_from(f"<{format_}", self.content, at)[0]
        except struct.error as error:
            raise LayoutError(f"an offset leaves the document at byte {at}") from error

    def follow(self, at: int) -> int:
        return at + int(self.number("I", at))

    def table(self, at: int, kind: Any) -> Any:
        self.spend(1)
        fields_at = at - self.number("i", at)
        fields_bytes = self.number("H", fields_at)
        if fields_bytes < 4:
            raise LayoutError(f"a table has a damaged field list at byte {fields_at}")

        def find(slot: int) -> int | None:
            entry = fields_at + 4 + 2 * slot
            inside = self.number("H", entry) if entry + 2 <= fields_at + fields_bytes else 0
            return at + inside if inside else None

        values = {}
        for field in _list_fields(kind):
            found = find(field.slot)
            if found is None:
                continue
            if field.kind != "union":
                values[field.name] = self.value(found, field)
                continue
            tag = 1
            if len(field.of) > 1:
                tag_at = find(field.slot - 1)
                tag = self.number("B", tag_at) if tag_at is not None else 0
            if 1 <= tag <= len(field.of):  # later tags are of no use to a classifier
                values[field.name] = self.table(self.follow(found), field.of[tag - 1])
        return kind(**values)

    def value(self, at: int, field: _Field) -> Any:
        if field.kind == "scalar":
            return self.number(field.of, at)
        start = self.follow(at)
        if field.kind == "string":
            return self.string(start)
        count = self.number("I", start)
        self.spend(count)
        places = [start + 4 + 4 * index for index in range(count)]
        if field.kind == "floats":
            return tuple(self.number("f", place) for place in places)
        if field.kind == "strings":
            return tuple(self.string(self.follow(place)) for place in places)
        return tuple(self.table(self.follow(place), field.of) for place in places)

    def string(self, start: int) -> str:
        self.spend(1)
        length = self.number("I", start)
        text = self.content[start + 4 : start + 4 + length]
        if length > _LONGEST_STRING_BYTES or len(text) < length:
            raise LayoutError(f"a text of {length} bytes leaves the document or is too long")
        return text.decode("utf-8", "replace")

    def spend(self, count: int) -> None:
        self.items_left -= count
        if self.items_left < 0:
            raise LayoutError(f"it has more than {_MOST_ITEMS:,} items")


def _write(builder: Any, table: Any) -> int:
    """Write a table after what it points at; return its offset. Defaults are left out."""
    scalars: list[tuple[int, str, Any]] = []
    offsets: list[tuple[int, int]] = []
    fields = _list_fields(table.__class__)
    for field in fields:
        value = getattr(table, field.name)
        if value in (None, "", (), 0):
            continue
        if field.kind == "scalar":
            scalars.append((field.slot, field.of, value))
            continue
        if field.kind == "union" and len(field.of) > 1:
            scalars.append((field.slot - 1, "B", field.of.index(type(value)) + 1))
        offsets.append((field.slot, _write_value(builder, field, value)))
    builder.StartObject(fields[-1].slot + 1 if fields else 0)
    for slot, offset in offsets:
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    prepend = {
        "b": builder.PrependInt8Slot,
        "B": builder.PrependUint8Slot,
        "I": builder.PrependUint32Slot,
        "f": builder.PrependFloat32Slot,
    }
    for slot, format_, value in scalars:
        prepend[format_](slot, value, 0)
    return int(builder.EndObject())


def _write_value(builder: Any, field: _Field, value: Any) -> int:
    if field.kind == "union":
        return _write(builder, value)
    if field.kind == "string":
        return int(builder.CreateString(value))
    if field.kind == "floats":
        return int(builder.CreateNumpyVector(np.array(value, np.float32)))
    write = builder.CreateString if field.kind == "strings" else lambda item: _write(builder, item)
    offsets = [write(item) for item in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
