"""The files in a zip behind a model, where standard metadata keeps labels."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping

from mobilenet_tf.tflite.layout import LayoutError, Region

_MOST_FILES = 64
_LARGEST_FILE_BYTES = 1 << 24
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DATE = (1980, 1, 1, 0, 0, 0)  # the same bytes on every day

# What zipfile raises for bytes that are no zip, or a damaged, encrypted or unknown one.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    OSError,
    ValueError,
)


def attach(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return the model with a zip of `files` behind it: stored, with offsets from the start.

    MediaPipe maps them from the file itself and refuses compressed ones.
    """
    if not files:
        return model
    target = io.BytesIO(model)
    with zipfile.ZipFile(target, "a") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), content)
    return target.getvalue()


def read_attached(content: bytes, names: Iterable[str] | None = None) -> dict[str, bytes]:
    """Return the named files of the zip behind a model; by default all, {} where there is no zip.

    Raises:
        LayoutError: the zip is damaged, or a file is missing or larger than 16 MiB.
    """
    found: dict[str, bytes] = {}
    if names is None and not zipfile.is_zipfile(io.BytesIO(content)):
        return found
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist()[:_MOST_FILES] if names is None else names:
                info = archive.getinfo(name)
                if info.compress_type not in _METHODS:
                    raise LayoutError(f"{name!r} has compression method {info.compress_type}")
                with archive.open(info) as file:
                    found[name] = file.read(_LARGEST_FILE_BYTES + 1)
                if len(found[name]) > _LARGEST_FILE_BYTES:
                    raise LayoutError(f"{name!r} is larger than {_LARGEST_FILE_BYTES:,} bytes")
    except KeyError as error:
        raise LayoutError(f"its file is missing: {error.args[0]}") from error
    except _DAMAGE as error:
        raise LayoutError(f"the zip behind the model is damaged: {error}") from error
    return found


def find_attached(content: bytes, model_bytes: int) -> tuple[tuple[str, ...], list[Region]]:
    """Return the names of the files in the zip behind the model, and whose its bytes are.

    Extra fields, comments and what lies between entries belong to nothing. No zip is no error.
    """
    if model_bytes == len(content):
        return (), []
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos, at = archive.infolist(), archive.start_dir
        spans = []
        for info in infos:
            name, extra = struct.unpack_from("<HH", content, info.header_offset + 26)
            data = info.header_offset + 30 + name + extra
            spans += [(info.header_offset, data - extra), (data, data + info.compress_size)]
            lengths = struct.unpack_from("<HHH", content, at + 28)
            spans.append((at, at + 46 + lengths[0]))
            at += 46 + sum(lengths)
        spans.append((at, at + 22))
    except _DAMAGE:
        return (), []
    if any(not model_bytes <= start <= end <= len(content) for start, end in spans):
        return (), []
    names = tuple(info.filename for info in infos)
    return names, [Region(start, end, "Metadata", 0) for start, end in spans]
