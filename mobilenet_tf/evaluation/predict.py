"""What a .tflite file sees in images: classes and their probabilities, without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from mobilenet_tf.data.image import load_image
from mobilenet_tf.errors import MtfError
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
    """What was seen in one image, the most probable first; or why it could not be read."""

    image: Path
    scores: tuple[ClassScore, ...] = ()
    error: MtfError | None = None


class Predictor:
    """A .tflite classifier, ready for image files.

    `warning` says what had to be assumed about a file that this project did not write; else "".

    Raises:
        UsageError: there is no such file, or `threads` is below 1.
        MtfError: the file is not a .tflite classifier.
    """

    def __init__(self, model: Path, *, threads: int = 1) -> None:
        self._classifier = Classifier.load(model, threads=threads)
        info = self._classifier.info
        assumed = []
        if not info.classes:
            assumed.append("its classes: they are shown as numbers")
        if not info.mean and self._classifier.input_type == "float32":
            assumed.append("its normalisation: pixels are fed as (byte - 128) / 128")
        self.warning = f"{model} does not say {', nor '.join(assumed)}" if assumed else ""

    def predict(self, images: Sequence[Path], *, top: int) -> Iterator[Prediction]:
        """Yield a prediction for each image, in order, with its `top` classes.

        An image that cannot be read gets a prediction with `error`; the others go on.
        """
        waiting = iter(images)
        while chunk := list(islice(waiting, _IMAGES_AT_A_TIME)):
            yield from self._predict_chunk(chunk, top)

    def _predict_chunk(self, paths: Sequence[Path], top: int) -> Iterator[Prediction]:
        height_px, width_px, _ = self._classifier.input_shape
        rule = self._classifier.info.resize
        images: list[np.ndarray] = []
        errors: dict[int, MtfError] = {}
        for position, path in enumerate(paths):
            try:
                images.append(load_image(path, height_px, width_px, rule))
            except MtfError as error:
                errors[position] = error
            except OSError as error:  # a folder that may not be read, a name that is too long
                errors[position] = MtfError(f"{path} cannot be read: {error.strerror}")
        rows: Iterator[np.ndarray] = iter(())
        if images:
            scores = self._classifier.predict(np.stack(images)).astype(np.float64)
            rows = iter(softmax(scores) if self._classifier.info.output == "logits" else scores)
        for position, path in enumerate(paths):
            if position in errors:
                yield Prediction(path, error=errors[position])
            else:
                yield Prediction(path, self._rank(next(rows), top))

    def _rank(self, row: np.ndarray, top: int) -> tuple[ClassScore, ...]:
        best = np.argsort(-row, kind="stable")[:top]  # of equal ones the first class first
        return tuple(
            ClassScore(self._classifier.classes[index], int(index), float(row[index]))
            for index in best
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
