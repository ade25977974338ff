"""Where every byte of a .tflite file belongs: a walk over its flatbuffer that checks all bounds.

Python's flatbuffers reads whatever offsets it is given. Walking the file first, table by table,
finds a truncated or damaged one before anything is read out of it. The tables and their fields
follow TensorFlow Lite's `schema.fbs`, version 3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

FILE_IDENTIFIER = b"TFL3"
_LARGEST_FILE_BYTES = 2**31  # flatbuffer offsets are 32 bits, of which one is the sign


class LayoutError(ValueError):
    """The bytes do not form a .tflite flatbuffer; the message says where."""


@dataclass(frozen=True)
class Region:
    """Bytes [start, end) of the file, whose they are and that table's number in its vector.

    The owner is a table's name; constants and the model's description, which an audit counts
    apart, are "Buffer.data" and "Model.description".
    """

    start: int
    end: int
    owner: str
    index: int


class _Field(NamedTuple):
    """How a field that is not inline is stored: `what` is a table's name or bytes an element."""

    storage: str  # "table", "tables" (a vector of them), "scalars" (a vector) or "string"
    what: str | int = 0


# Fields whose bytes count for themselves instead of for their table.
_OWN_NAMES = {("Buffer", 0): "Buffer.data", ("Model", 3): "Model.description"}

_INTS = _Field("scalars", 4)
_BYTES = _Field("scalars", 1)
_STRING = _Field("string")

# Field numbers are the positions in schema.fbs; scalars stored inline need no entry.
_TABLES: dict[str, dict[int, _Field]] = {
    "Model": {
        1: _Field("tables", "OperatorCode"),
        2: _Field("tables", "SubGraph"),
        3: _STRING,
        4: _Field("tables", "Buffer"),
        5: _INTS,
        6: _Field("tables", "Metadata"),
        7: _Field("tables", "SignatureDef"),
    },
    "OperatorCode": {1: _STRING},
    "SubGraph": {
        0: _Field("tables", "Tensor"),
        1: _INTS,
        2: _INTS,
        3: _Field("tables", "Operator"),
        4: _STRING,
    },
    "Tensor": {
        0: _INTS,
        3: _STRING,
        4: _Field("table", "QuantizationParameters"),
        7: _INTS,
    },
    "QuantizationParameters": {0: _INTS, 1: _INTS, 2: _INTS, 3: _Field("scalars", 8)},
    "Operator": {
        1: _INTS,
        2: _INTS,
        4: _Field("table", "Options"),
        5: _BYTES,
        7: _BYTES,
        8: _INTS,
        12: _Field("table", "Options"),
    },
    "Options": {},
    "ReshapeOptions": {0: _INTS},
    "SqueezeOptions": {0: _INTS},
    "Buffer": {0: _BYTES},
    "Metadata": {0: _STRING},
    "SignatureDef": {
        0: _Field("tables", "TensorMap"),
        1: _Field("tables", "TensorMap"),
        2: _STRING,
    },
    "TensorMap": {0: _STRING},
}
# BuiltinOptions union tags of the options that own a vector; all others are scalars only.
_OPTIONS_WITH_VECTORS = {17: "ReshapeOptions", 30: "SqueezeOptions"}


def walk(content: bytes) -> Iterator[Region]:
    """Yield every region of the flatbuffer; one shared by several owners comes once for each.

    Raises:
        LayoutError: the identifier is missing, or an offset or a length leaves the file.
    """
    if len(content) < 8 or content[4:8] != FILE_IDENTIFIER:
        raise LayoutError("the identifier TFL3 is missing")
    if len(content) >= _LARGEST_FILE_BYTES:
        raise LayoutError("it is larger than 2 GiB")
    yield Region(0, 8, "Header", 0)
    yield from _Walker(content).table(_Walker(content).offset(0), "Model", 0)


class _Walker:
    """Reads tables, vectors and strings of one file within its bounds."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def number(self, format_: str, position: int) -> int:
        try:
            return int(struct.unpack_from(format_, self.content, position)[0])
        except struct.error as error:
            raise LayoutError(f"an offset leaves the file at byte {position}") from error

    def offset(self, position: int) -> int:
        target = position + self.number("<I", position)
        if target == position or target >= len(self.content):
            raise LayoutError(f"the offset at byte {position} leaves the file")
        return target

    def region(self, start: int, end: int, owner: str, index: int) -> Region:
        if start < 0 or end > len(self.content) or start >= end:
            raise LayoutError(f"{owner} {index} ends at byte {end} of {len(self.content)}")
        return Region(start, end, owner, index)

    def table(self, start: int, name: str, index: int) -> Iterator[Region]:
        vtable = start - self.number("<i", start)
        if vtable < 0:
            raise LayoutError(f"{name} {index} has its field list outside the file")
        vtable_bytes, table_bytes = self.number("<H", vtable), self.number("<H", vtable + 2)
        if vtable_bytes < 4 or vtable_bytes % 2:
            raise LayoutError(f"{name} {index} has a damaged field list")
        yield self.region(vtable, vtable + vtable_bytes, name, index)
        yield self.region(start, start + table_bytes, name, index)

        def position(field: int) -> int | None:
            slot = 4 + 2 * field
            inside = self.number("<H", vtable + slot) if slot < vtable_bytes else 0
            return start + inside if inside else None

        tag_at = position(3) if name == "Operator" else None
        options = _OPTIONS_WITH_VECTORS.get(self.number("<B", tag_at) if tag_at else 0)
        for number, field in _TABLES[name].items():
            at = position(number)
            if at is None:
                continue
            if field.what == "Options" and number == 4 and options:
                field = _Field("table", options)  # noqa: PLW2901  # the union's tag narrows it
            owner = _OWN_NAMES.get((name, number), name)
            yield from self.field(self.offset(at), field, owner, index)

    def field(self, start: int, field: _Field, owner: str, index: int) -> Iterator[Region]:
        if field.storage == "table":
            yield from self.table(start, str(field.what), index)
            return
        count = self.number("<I", start)
        width = field.what if isinstance(field.what, int) else 4
        if field.storage == "string":
            width = 1
        terminator = 1 if field.storage == "string" else 0
        yield self.region(start, start + 4 + count * width + terminator, owner, index)
        if field.storage == "tables":
            for child in range(count):
                yield from self.table(self.offset(start + 4 + 4 * child), str(field.what), child)
