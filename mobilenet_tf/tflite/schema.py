"""Reading a .tflite file into the schema's objects and writing them back."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, TypeAlias

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated

from mobilenet_tf.errors import MtfError
from mobilenet_tf.files import read_regular
from mobilenet_tf.tflite.layout import (
    FILE_IDENTIFIER,
    LARGEST_FILE_BYTES,
    LayoutError,
    Region,
    walk,
)
from mobilenet_tf.tflite.soundness import check_model

Source: TypeAlias = "str | Path | bytes"

tables = schema_py_generated
_BUFFER_ALIGNMENT_BYTES = 16  # schema.fbs: `data:[ubyte] (force_align: 16)`


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


BUILTIN_OPERATORS = _names(tables.BuiltinOperator)
TENSOR_TYPES = {value: name.lower() for value, name in _names(tables.TensorType).items()}


def read_content(source: Source) -> tuple[bytes, str]:
    """Return the bytes of a file, or `source` itself when it is bytes, and a name for messages.

    Raises:
        UsageError: there is no such file, or it is a folder or a device.
        MtfError: the file cannot be read, or is larger than any model.
    """
    if isinstance(source, bytes):
        return source, "the model"
    path = Path(source)
    content = read_regular(path, "the path of a .tflite file", LARGEST_FILE_BYTES)
    return content, str(path)


def find_regions(content: bytes, name: str) -> list[Region]:
    """Return where every byte of a .tflite file belongs, having checked all its bounds.

    Raises:
        MtfError: the bytes are not a whole .tflite file; the message has `name`.
    """
    try:
        return list(walk(content))
    except LayoutError as error:
        raise MtfError(
            f"{name} is not a .tflite file, or it is damaged or cut off ({error}); export it again"
        ) from error


def parse(content: bytes, name: str = "the model") -> Any:
    """Return a file's contents as the schema's `ModelT`.

    Raises:
        MtfError: the bytes are not a whole .tflite file; the message has `name`.
    """
    find_regions(content, name)
    try:
        model = tables.ModelT.InitFromPackedBuf(content)
        check_model(model)
    except (struct.error, IndexError, TypeError, ValueError) as error:
        raise MtfError(f"{name} is a damaged .tflite file ({error}); export it again") from error
    return model


def decode(text: str | bytes | None) -> str:
    """Return a string of the schema's objects, which are bytes after parsing."""
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text or ""


def op_name(model: Any, op: Any) -> str:
    """Return the name of an op; CUSTOM:… for others' ops, UNKNOWN:… for later ones."""
    code = model.operatorCodes[op.opcodeIndex]
    # Codes up to 126 stand in the old one-byte field; later ones only in the new field.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    name = BUILTIN_OPERATORS.get(number, f"UNKNOWN:{number}")
    return f"CUSTOM:{decode(code.customCode)}" if name == "CUSTOM" else name


def is_constant(model: Any, tensor: Any) -> bool:
    """Tell whether a tensor's data is stored in the file."""
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def pack(model: Any) -> bytes:
    """Return the file of a `ModelT`, with equal vectors and strings stored once.

    The converter writes an int8 kernel's scales and 8-byte zero points, and its bias's again: 28
    bytes a channel, of which sharing leaves 16. LiteRT reads the file as before.
    """
    builder = _SharingBuilder(1024)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


class _SharingBuilder(flatbuffers.Builder):
    """A builder that writes equal vectors and strings once: offsets may share a target."""

    def __init__(self, initial_bytes: int) -> None:
        super().__init__(initial_bytes)
        self._offsets: dict[tuple[int, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802  # flatbuffers' own name
        payload = x.astype(x.dtype.newbyteorder("<"), copy=False).tobytes()
        alignment = _BUFFER_ALIGNMENT_BYTES if x.dtype == np.uint8 else x.itemsize
        return self._share((x.itemsize + 256 * alignment, payload), x.size, x.itemsize, alignment)

    def CreateString(self, s: str | bytes, *_: Any, **__: Any) -> int:  # noqa: N802  # likewise
        payload = s.encode() if isinstance(s, str) else s
        key = (0, payload)  # a string has a terminator that a vector has not
        if key not in self._offsets:
            self._offsets[key] = super().CreateString(payload)
        return self._offsets[key]

    def _share(self, key: tuple[int, bytes], count: int, width: int, alignment: int) -> int:
        if key not in self._offsets:
            payload = key[1]
            self.StartVector(width, count, alignment)
            self.head -= len(payload)
            self.Bytes[self.head : self.head + len(payload)] = payload
            self._offsets[key] = self.EndVector()
        return self._offsets[key]
