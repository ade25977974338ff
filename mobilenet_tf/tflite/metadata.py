"""What an app must know about a file, inside the file: classes, pixel arithmetic, origin."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
import numpy as np

from mobilenet_tf.errors import MtfError
from mobilenet_tf.recipe import ResizeRule
from mobilenet_tf.tflite import schema, standard
from mobilenet_tf.tflite.attached import attach
from mobilenet_tf.tflite.schema import Source

ENTRY = "mobilenet_tf"
LABELS_FILE = "labels.txt"
_LINE_BREAKS = re.compile(r"[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")  # any reader's
_RESIZE_RULES = {
    "crop": "Upright RGB, the largest centred part of its aspect ratio, bilinear with antialiasing",
    "pad": "Upright RGB, whole between bars of grey 128, bilinear with antialiasing",
    "stretch": "Upright RGB, stretched, bilinear with antialiasing",
}


class Normalisation(msgspec.Struct, frozen=True, kw_only=True):
    """How a pixel byte becomes the model's real-valued input: (byte - mean) / scale."""

    mean: float = 128.0
    scale: Annotated[float, msgspec.Meta(gt=0)] = 128.0


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON document in a file's metadata entry `mobilenet_tf`."""

    name: str = ""
    description: str
    author: str = ""
    license: str = ""
    classes: tuple[str, ...]
    quantization: str
    io_type: str
    output: str
    project_version: str
    normalisation: Normalisation = Normalisation()
    resize: ResizeRule = "crop"  # how an image of any size becomes the model's
    # What the logits were divided by, in the weights, so that probabilities are calibrated.
    temperature: Annotated[float, msgspec.Meta(gt=0)] | msgspec.UnsetType = msgspec.UNSET
    # The probability below which the model is unsure.
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] | msgspec.UnsetType = msgspec.UNSET


def embed_metadata(content: bytes, metadata: Metadata) -> bytes:
    """Return the file with `metadata` in it, replacing what was there; other entries stay.

    Raises:
        MtfError: `content` is not a .tflite file.
    """
    return pack_with_metadata(schema.parse(content), metadata)


def replace_metadata(content: bytes, **changes: Any) -> bytes:
    """Return a file of ours with fields of its metadata changed.

    Raises:
        MtfError: the file has no metadata of ours.
    """
    metadata = read_metadata(content)
    if metadata is None:
        raise MtfError(f"there is no {ENTRY} metadata to change")
    return embed_metadata(content, msgspec.structs.replace(metadata, **changes))


def pack_with_metadata(model: Any, metadata: Metadata) -> bytes:
    """Return the file of a parsed classifier with its documents: ours and the standard one.

    Standard metadata is what other tools read; they find the classes in a zip behind the model.
    """
    _set_entry(model, ENTRY, msgspec.json.encode(metadata))
    _set_entry(model, standard.ENTRY, standard.encode(_make_standard(model, metadata)))
    model.description = metadata.description
    return attach(schema.pack(model), {LABELS_FILE: format_labels(metadata.classes)})


def make_labels(classes: Iterable[str]) -> tuple[str, ...]:
    """Return the lines that stand for classes in a file of labels: without any line break."""
    return tuple(_LINE_BREAKS.sub(" ", name) for name in classes)


def format_labels(classes: Iterable[str]) -> bytes:
    """Return a file of labels: one class a line, in the order of the output."""
    return "".join(f"{label}\n" for label in make_labels(classes)).encode("utf-8", "replace")


def _set_entry(model: Any, name: str, content: bytes) -> None:
    buffer = schema.tables.BufferT(data=np.frombuffer(content, dtype=np.uint8))
    entries = list(model.metadata or [])
    found = next((entry for entry in entries if schema.decode(entry.name) == name), None)
    if found is not None:
        model.buffers[found.buffer] = buffer
    else:
        model.buffers.append(buffer)
        entries.append(schema.tables.MetadataT(name=name, buffer=len(model.buffers) - 1))
    model.metadata = entries


def _make_standard(model: Any, metadata: Metadata) -> standard.ModelMetadata:
    graph = model.subgraphs[0]
    image, scores = (graph.tensors[ends[0]] for ends in (graph.inputs, graph.outputs))
    _, height, width, _ = map(int, image.shape)
    properties = standard.ImageProperties(standard.RGB, standard.ImageSize(width, height))
    pixels = metadata.normalisation
    normalisation = standard.NormalizationOptions((pixels.mean,), (pixels.scale,))
    threshold = None
    if metadata.output == "probabilities" and metadata.threshold is not msgspec.UNSET:
        threshold = standard.ScoreThresholdingOptions(metadata.threshold)
    tensors = standard.SubGraphMetadata(
        input_tensor_metadata=(
            standard.TensorMetadata(
                name=schema.decode(image.name),
                description=f"{_RESIZE_RULES[metadata.resize]} to {width} x {height}",
                content=standard.Content(properties),
                process_units=(standard.ProcessUnit(normalisation),),
            ),
        ),
        output_tensor_metadata=(
            standard.TensorMetadata(
                name=schema.decode(scores.name),
                content=standard.Content(standard.FeatureProperties()),
                process_units=(standard.ProcessUnit(threshold),) if threshold else (),
                associated_files=(standard.AssociatedFile(LABELS_FILE, type=standard.AXIS_LABELS),),
            ),
        ),
    )
    return standard.ModelMetadata(
        name=metadata.name,
        description=metadata.description,
        subgraph_metadata=(tensors,),
        author=metadata.author,
        license=metadata.license,
        min_parser_version="1.0.0",
    )


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
        if schema.decode(entry.name) != ENTRY:
            continue
        try:
            return msgspec.json.decode(model.buffers[entry.buffer].data.tobytes(), type=Metadata)
        except (msgspec.MsgspecError, ValueError, AttributeError, RecursionError) as error:
            raise MtfError(
                f"the {ENTRY} metadata in {name} is damaged ({error}); export the file again"
            ) from error
    return None
