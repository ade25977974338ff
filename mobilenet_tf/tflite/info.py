"""What a file says of itself: classes, pixel arithmetic, resize rule, whoever wrote it.

This project's document comes first, then standard TFLite metadata, then what the graph tells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
import numpy as np

from mobilenet_tf.errors import MtfError
from mobilenet_tf.recipe import ResizeRule
from mobilenet_tf.tflite import schema, standard
from mobilenet_tf.tflite.attached import read_attached
from mobilenet_tf.tflite.layout import LayoutError
from mobilenet_tf.tflite.metadata import ENTRY, get_metadata
from mobilenet_tf.tflite.schema import Source
from mobilenet_tf.tflite.standard import (
    AXIS_LABELS,
    ModelMetadata,
    NormalizationOptions,
    ScoreThresholdingOptions,
    SubGraphMetadata,
    TensorMetadata,
)


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What is known of a classifier from its file alone.

    `documents` names those it has, `classes` is () where none names them; `labels` are those of
    the standard one. `mean` and `std` are () where none has them, else one value or one a channel:
    (byte - mean) / std is the real input. Below the probability `threshold` the model is unsure.
    """

    documents: tuple[str, ...] = ()
    name: str = ""
    description: str = ""
    author: str = ""
    license: str = ""
    classes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: ResizeRule = "crop"
    output: Literal["probabilities", "logits"] = "probabilities"
    threshold: float | None = None

    def normalise(self, images: np.ndarray) -> np.ndarray:
        """Return bytes (..., 3) as a float input: (byte - 128) / 128 unless the file says else."""
        mean, std = (np.array(v or 128, np.float32) for v in (self.mean, self.std))
        return (images.astype(np.float32) - mean) / std


def read_info(source: Source) -> ModelInfo:
    """Return what a file says of itself.

    Raises:
        UsageError: there is no such file.
        MtfError: it is not a .tflite file, or a document in it is damaged.
    """
    content, name = schema.read_content(source)
    return get_info(schema.parse(content, name), content, name)


def get_info(model: Any, content: bytes, name: str = "the model") -> ModelInfo:
    """Return what a parsed file says of itself; `content` has the files behind the model.

    Raises:
        MtfError: a document is damaged.
    """
    ours = get_metadata(model, name)
    info = ModelInfo(output=_find_output(model))
    try:
        for entry in model.metadata or ():
            if schema.decode(entry.name) == standard.ENTRY:
                data = model.buffers[entry.buffer].data
                document = standard.decode(b"" if data is None else bytes(data))
                info = _read_standard(info, document)
                info = _read_labels(info, document, content, strict=ours is None)
    except LayoutError as error:
        raise MtfError(
            f"the {standard.ENTRY} in {name} is damaged ({error}); write the file again"
        ) from error
    if ours is None:
        return info
    return replace(
        info,
        documents=(ENTRY, *info.documents),
        description=ours.description,
        classes=ours.classes,
        mean=(ours.normalisation.mean,),
        std=(ours.normalisation.scale,),
        resize=ours.resize,
        output="logits" if ours.output == "logits" else "probabilities",
        threshold=info.threshold if ours.threshold is msgspec.UNSET else ours.threshold,
    )


def _find_output(model: Any) -> Literal["probabilities", "logits"]:
    """Return what the graph ends in, conversions of its output left aside."""
    for op in reversed(model.subgraphs[0].operators or ()):
        name = schema.op_name(model, op)
        if name not in ("QUANTIZE", "DEQUANTIZE"):
            return "probabilities" if name in ("SOFTMAX", "LOGISTIC") else "logits"
    return "logits"


def _read_standard(info: ModelInfo, document: ModelMetadata) -> ModelInfo:
    graph = next(iter(document.subgraph_metadata), SubGraphMetadata())
    image = next(iter(graph.input_tensor_metadata), TensorMetadata())
    scores = next(iter(graph.output_tensor_metadata), TensorMetadata())
    pixels = image.find_options(NormalizationOptions) or NormalizationOptions()
    if not all(map(math.isfinite, (*pixels.mean, *pixels.std))) or not all(pixels.std):
        raise LayoutError(f"its normalisation is mean {pixels.mean}, std {pixels.std}")
    least = scores.find_options(ScoreThresholdingOptions)
    return replace(
        info,
        documents=(standard.ENTRY,),
        name=document.name,
        description=document.description,
        author=document.author,
        license=document.license,
        mean=pixels.mean if pixels.std else (),
        std=pixels.std if pixels.mean else (),
        threshold=least.global_score_threshold if least else None,
    )


def _read_labels(
    info: ModelInfo, document: ModelMetadata, content: bytes, *, strict: bool
) -> ModelInfo:
    """Return `info` with the lines of the labels, those without a language first."""
    graph = next(iter(document.subgraph_metadata), SubGraphMetadata())
    scores = next(iter(graph.output_tensor_metadata), TensorMetadata())
    files = [file for file in scores.associated_files if file.type == AXIS_LABELS]
    if not files:
        return info
    name = min(files, key=lambda file: bool(file.locale)).name
    try:
        text = read_attached(content, [name])[name].decode("utf-8-sig", "replace")
    except LayoutError:
        if strict:
            raise
        return info  # the other document has the classes
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    labels = tuple(lines[:-1] if lines[-1] == "" else lines)
    return replace(info, classes=labels, labels=labels)
