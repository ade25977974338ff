"""The model of an app: a uint8 file, and what an app must know of it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mobilenet_tf.app.selftest import make_selftest
from mobilenet_tf.errors import UsageError
from mobilenet_tf.evaluation.labels import read_labels
from mobilenet_tf.recipe import ResizeRule
from mobilenet_tf.runs.examples import Example
from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.edges import convert_edges
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.tflite.trial import prove

_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\ufffe\uffff]+")  # in XML, which phones read names from
RULE_WORDS = {
    "crop": "cropped to the largest centred square",
    "pad": "padded with grey",
    "stretch": "stretched",
}


@dataclass(frozen=True)
class Side:
    """Size of the model's input in pixels."""

    width: int
    height: int


@dataclass(frozen=True)
class AppModel:
    """A classifier that takes and gives bytes (uint8), ready to be put into an app."""

    name: str
    content: bytes
    classifier: Classifier  # the content, opened
    classes: tuple[str, ...]
    own_type: str  # of the file that it was made from
    examples: tuple[Example, ...] = ()  # images that the page of `mtf try` has to click on

    @property
    def rule(self) -> ResizeRule:
        """How an image becomes the input."""
        return self.classifier.info.resize

    @property
    def slug(self) -> str:
        """The name as a part of a path."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") or "model"

    @property
    def input(self) -> Side:
        """Size of the input."""
        height, width, _ = self.classifier.input_shape
        return Side(width, height)

    @property
    def example_files(self) -> dict[str, bytes]:
        """The examples by their path in an app."""
        return {f"examples/{n}.png": each.image for n, each in enumerate(self.examples, 1)}

    @cached_property
    def sha256(self) -> str:
        """Digest of the file, in hex."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def selftest(self) -> dict[str, Any]:
        """The document `selftest.json`."""
        return make_selftest(self.classifier, self.rule)

    def describe(self) -> dict[str, Any]:
        """Return the document `model.json`."""
        classifier = self.classifier
        return {
            "name": self.name,
            "sha256": self.sha256,
            "size_bytes": len(self.content),
            "input": {"width": self.input.width, "height": self.input.height, "type": "uint8"},
            "output": {
                "type": "uint8",
                "scale": classifier.output_scale,
                "zero_point": classifier.output_zero_point,
                "kind": classifier.info.output,
            },
            "resize": self.rule,
            "threshold": classifier.info.threshold,
            "classes": list(self.classes),
            "examples": [
                {"file": name, "label": example.label, "predicted": example.predicted}
                for name, example in zip(self.example_files, self.examples, strict=True)
            ],
        }


def load_model(path: Path, *, name: str | None = None, labels: Path | None = None) -> AppModel:
    """Return the model in a `.tflite` file, with uint8 edges.

    `labels` names the classes, one a line, where the file does not.

    Raises:
        UsageError: there is no such file, it is not an integer classifier of one RGB image, or its
            classes are not known.
        MtfError: the file is damaged.
    """
    given, _ = schema.read_content(path)
    content = convert_edges(given, "uint8", str(path), fix_batch=True)
    graph = schema.parse(given).subgraphs[0]
    _check_shape(graph, path)
    prove(content, str(path))
    classifier = Classifier.load(content, name=str(path))
    info = classifier.info
    classes = info.classes if labels is None else read_labels(labels, len(classifier.classes))
    if not classes:
        raise UsageError(
            f"{path} does not name its {len(classifier.classes)} classes; give them with --labels"
            " FILE"
        )
    name = (name or info.name or path.stem).encode("utf-8", "replace").decode()
    name = _UNWRITABLE.sub(" ", name).strip() or "model"
    own_type = schema.TENSOR_TYPES[graph.tensors[graph.inputs[0]].type]
    return AppModel(name, content, classifier, classes, own_type)


def _check_shape(graph: Any, path: Path) -> None:
    """Refuse an input that leaves its size open, or takes several images at a time."""
    image = graph.tensors[graph.inputs[0]]
    open_shape = image.shape if image.shapeSignature is None else image.shapeSignature
    batch, *size = map(int, open_shape)
    if batch not in (-1, 1) or -1 in size:
        raise UsageError(
            f"{path} takes images of shape {(batch, *size)}; an app gives one image of one size:"
            " convert the model with a batch of 1 and a fixed height and width"
        )
