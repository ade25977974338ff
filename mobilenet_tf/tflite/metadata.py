"""What an app must know about a file, inside the file: classes, pixel arithmetic, origin."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np

from mobilenet_tf.errors import MtfError
from mobilenet_tf.recipe import ResizeRule
from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.schema import Source

ENTRY = "mobilenet_tf"


class Normalisation(msgspec.Struct, frozen=True, kw_only=True):
    """How a pixel byte becomes the model's real-valued input: (byte - mean) / scale."""

    mean: float = 128.0
    scale: Annotated[float, msgspec.Meta(gt=0)] = 128.0


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON document in a file's metadata entry `mobilenet_tf`."""

    description: str
    classes: tuple[str, ...]
    quantization: str
    io_type: str
    output: str
    project_version: str
    normalisation: Normalisation = Normalisation()
    resize: ResizeRule = "crop"  # how an image of any size becomes the model's
    # The probability below which the model is unsure.
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] | msgspec.UnsetType = msgspec.UNSET


def embed_metadata(content: bytes, metadata: Metadata) -> bytes:
    """Return the file with `metadata` in it, replacing what was there; other entries stay.

    Raises:
        MtfError: `content` is not a .tflite file.
    """
    model = schema.parse(content)
    set_metadata(model, metadata)
    return schema.pack(model)


def set_metadata(model: Any, metadata: Metadata) -> None:
    """Put `metadata` into a parsed model, in place."""
    document = np.frombuffer(msgspec.json.encode(metadata), dtype=np.uint8)
    entries = list(model.metadata or [])
    found = next((entry for entry in entries if _is_ours(entry.name)), None)
    if found is not None:
        model.buffers[found.buffer] = schema.tables.BufferT(data=document)
    else:
        model.buffers.append(schema.tables.BufferT(data=document))
        entries.append(schema.tables.MetadataT(name=ENTRY, buffer=len(model.buffers) - 1))
    model.metadata = entries
    model.description = metadata.description


def read_metadata(source: Source) -> Metadata | None:
    """Return what this project wrote into a file; None for a file from elsewhere.

    Raises:
        UsageError: there is no such file.
        MtfError: it is not a .tflite file, or its entry is damaged.
    """
    content, name = schema.read_content(source)
    return get_metadata(schema.parse(content, name), name)


def get_metadata(model: Any, name: str = "the model") -> Metadata | None:
    """Return the metadata of a parsed model; None where this project wrote none.

    Raises:
        MtfError: the entry is damaged.
    """
    for entry in model.metadata or []:
        if not _is_ours(entry.name):
            continue
        try:
            return msgspec.json.decode(model.buffers[entry.buffer].data.tobytes(), type=Metadata)
        except (msgspec.MsgspecError, ValueError, AttributeError) as error:
            raise MtfError(
                f"the {ENTRY} metadata in {name} is damaged ({error}); export the file again"
            ) from error
    return None


def _is_ours(name: str | bytes | None) -> bool:
    return name in (ENTRY, ENTRY.encode())
