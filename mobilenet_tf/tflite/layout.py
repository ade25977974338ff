"""Where every byte of a .tflite file belongs: a walk over its flatbuffer that checks all bounds.

Python's flatbuffers reads whatever offsets it is given. Walking the file first, table by table,
finds a truncated or damaged one before anything is read out of it. The tables and their fields
follow TensorFlow Lite's `schema.fbs`, version 3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

FILE_IDENTIFIER = b"TFL3"
LARGEST_FILE_BYTES = 2**29  # twice AlexNet in float32; the format ends at 2 GiB
# Offsets may share targets, so that a small file can describe a huge one.
_MOST_TABLES = 100_000
_MOST_BYTES_PER_BYTE = 8  # of regions for each byte of the file; ours have 1.4


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


# Fields whose bytes count for themselves instead of for their table.
_OWN_NAMES = {("Buffer", 0): "Buffer.data", ("Model", 3): "Model.description"}

# What a field holds by its position in schema.fbs, and in its notation: a "Table", a vector of
# "[Table]", a "string"; a number is a vector of scalars of so many bytes. Scalars stored inline
# need no entry; what is refused is not read, and therefore not checked.
_REFUSED = "refused"
_TABLES: dict[str, dict[int, str | int]] = {
    "Model": {
        1: "[OperatorCode]",
        2: "[SubGraph]",
        3: "string",
        4: "[Buffer]",
        5: 4,
        6: "[Metadata]",
        7: "[SignatureDef]",
        8: _REFUSED,  # constants in other files
        9: _REFUSED,
    },
    "OperatorCode": {1: "string"},
    "SubGraph": {0: "[Tensor]", 1: 4, 2: 4, 3: "[Operator]", 4: "string"},
    "Tensor": {0: 4, 3: "string", 4: "QuantizationParameters", 6: _REFUSED, 7: 4, 9: _REFUSED},
    "QuantizationParameters": {0: 4, 1: 4, 2: 4, 3: 8, 5: _REFUSED},
    "Operator": {1: 4, 2: 4, 4: "Options", 5: 1, 7: 1, 8: 4, 12: _REFUSED},  # 12: StableHLO
    "Options": {},
    "FullyConnectedOptions": {5: 4},
    "ReshapeOptions": {0: 4},
    "SqueezeOptions": {0: 4},
    "BucketizeOptions": {0: 4},
    "VarHandleOptions": {0: "string", 1: "string"},
    "Buffer": {0: 1, 1: _REFUSED, 2: _REFUSED},  # a constant behind the flatbuffer
    "Metadata": {0: "string"},
    "SignatureDef": {0: "[TensorMap]", 1: "[TensorMap]", 2: "string"},
    "TensorMap": {0: "string"},
}
# BuiltinOptions union tags of the options that own a vector; all others are scalars only.
_OPTIONS_WITH_VECTORS = {
    8: "FullyConnectedOptions",
    17: "ReshapeOptions",
    30: "SqueezeOptions",
    111: "VarHandleOptions",
    115: "BucketizeOptions",
}


def walk(content: bytes) -> Iterator[Region]:
    """Yield every region of the flatbuffer; one shared by several owners comes once for each.

    Raises:
        LayoutError: the identifier is missing, an offset or a length leaves the file, or there is
            more in it than its size allows.
    """
    if len(content) < 8 or content[4:8] != FILE_IDENTIFIER:
        raise LayoutError("the identifier TFL3 is missing")
    if len(content) > LARGEST_FILE_BYTES:
        raise LayoutError(f"it is larger than {LARGEST_FILE_BYTES:,} bytes")
    yield Region(0, 8, "Header", 0)
    walker = _Walker(content)
    yield from walker.table(walker.offset(0), "Model", 0)


class _Walker:
    """Reads tables, vectors and strings of one file within its bounds."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.tables_left = _MOST_TABLES
        self.bytes_left = _MOST_BYTES_PER_BYTE * len(content)

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
        self.bytes_left -= end - start
        if self.bytes_left < 0:
            raise LayoutError("its tables share more than a model has")
        return Region(start, end, owner, index)

    def table(self, start: int, name: str, index: int) -> Iterator[Region]:
        self.tables_left -= 1
        if self.tables_left < 0:
            raise LayoutError(f"it has more than {_MOST_TABLES:,} tables")
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
        for number, kind in _TABLES[name].items():
            at = position(number)
            if at is None:
                continue
            if kind == _REFUSED:
                raise LayoutError(f"{name} {index} has field {number}, which is not supported")
            if number == 4 and kind == "Options" and options:
                kind = options  # noqa: PLW2901  # the union's tag narrows it
            owner = _OWN_NAMES.get((name, number), name)
            yield from self.field(self.offset(at), kind, owner, index)

    def field(self, start: int, kind: str | int, owner: str, index: int) -> Iterator[Region]:
        if kind in _TABLES:
            yield from self.table(start, str(kind), index)
            return
        count = self.number("<I", start)
        terminator = 1 if kind == "string" else 0
        width = kind if isinstance(kind, int) else 1 if kind == "string" else 4
        yield self.region(start, start + 4 + count * width + terminator, owner, index)
        if isinstance(kind, str) and kind != "string":
            for child in range(count):
                yield from self.table(self.offset(start + 4 + 4 * child), kind[1:-1], child)
