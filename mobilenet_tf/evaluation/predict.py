"""What a .tflite file sees in images: classes and their probabilities, without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from mobilenet_tf.data.image import load_image
from mobilenet_tf.data.parallel import map_files
from mobilenet_tf.errors import MtfError
from mobilenet_tf.evaluation.labels import read_labels
from mobilenet_tf.tflite.interpreter import Classifier

_IMAGES_AT_A_TIME = 64  # images come one after another, whatever their number


@dataclass(frozen=True)
class ClassScore:
    """A class, its place in the output and its probability in 0..1."""

    name: str
    index: int
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What was seen in one image, the most probable first; or why it could not be read.

    `unsure` says whether even the most probable is below the file's threshold; None without one.
    """

    image: Path
    scores: tuple[ClassScore, ...] = ()
    unsure: bool | None = None
    error: MtfError | None = None


class Predictor:
    """A .tflite classifier, ready for image files.

    Attributes:
        classes: the class names in the output's order; their numbers where none are known.
        threshold: the probability below which a prediction is unsure; None if the file has none.
        warning: what had to be assumed about a file that this project did not write; else "".

    Raises:
        UsageError: there is no such file, `threads` is below 1, or `labels`, a text file of class
            names, does not fit.
        MtfError: the file is not a .tflite classifier.
    """

    def __init__(self, model: Path, *, threads: int = 1, labels: Path | None = None) -> None:
        self._classifier = Classifier.load(model, threads=threads)
        self._info = info = self._classifier.info
        self.threshold = info.threshold
        assumed = []
        if labels is not None:
            self.classes = read_labels(labels, len(self._classifier.classes))
        else:
            self.classes = self._classifier.classes
            if not info.classes:
                assumed.append("its classes: they are shown as numbers, unless --labels names them")
        if not info.mean and self._classifier.input_type == "float32":
            assumed.append("its normalisation: pixels are fed as (byte - 128) / 128")
        self.warning = f"{model} does not say {', nor '.join(assumed)}" if assumed else ""

    def classify(self, images: Iterable[Path]) -> Iterator[tuple[Path, np.ndarray | MtfError]]:
        """Yield each image and its probabilities (C,), or why it cannot be read, in order."""
        waiting = iter(images)
        while chunk := list(islice(waiting, _IMAGES_AT_A_TIME)):
            read = list(map_files(self._read, chunk))
            pixels = [image for image in read if isinstance(image, np.ndarray)]
            rows: Iterator[np.ndarray] = iter(())
            if pixels:
                scores = self._classifier.predict(np.stack(pixels)).astype(np.float64)
                rows = iter(softmax(scores) if self._info.output == "logits" else scores)
            for path, image in zip(chunk, read, strict=True):
                yield path, image if isinstance(image, MtfError) else next(rows)

    def predict(self, images: Iterable[Path], *, top: int) -> Iterator[Prediction]:
        """Yield a prediction for each image, in order, with its `top` classes.

        An image that cannot be read gets a prediction with `error`; the others go on.
        """
        for path, row in self.classify(images):
            if isinstance(row, MtfError):
                yield Prediction(path, error=row)
                continue
            unsure = None if self.threshold is None else bool(row.max() < self.threshold)
            yield Prediction(path, self._rank(row, top), unsure)

    def _read(self, path: Path) -> np.ndarray:
        height_px, width_px, _ = self._classifier.input_shape
        return load_image(path, height_px, width_px, self._info.resize)

    def _rank(self, row: np.ndarray, top: int) -> tuple[ClassScore, ...]:
        best = np.argsort(-row, kind="stable")[:top]  # of equal ones the first class first
        return tuple(
            ClassScore(self.classes[index], int(index), float(row[index])) for index in best
        )


def to_probabilities(classifier: Classifier) -> Callable[[np.ndarray], np.ndarray]:
    """Return the predict function of a file: bytes (N, R, R, 3) -> probabilities (N, C)."""
    if classifier.info.output != "logits":
        return classifier.predict
    return lambda images: softmax(classifier.predict(images))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of logits (N, C)."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(-1, keepdims=True)
    return probabilities
