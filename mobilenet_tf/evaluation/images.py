"""What a .tflite classifier makes of labelled image files: every figure that one can act on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from mobilenet_tf.data.index import ImageIndex
from mobilenet_tf.errors import MtfError, UsageError, name_some
from mobilenet_tf.evaluation.calibration import (
    Bin,
    calibration_error,
    choose_threshold,
    measure_reliability,
    thin_out,
    trace_coverage,
)
from mobilenet_tf.evaluation.label_errors import find_label_errors
from mobilenet_tf.evaluation.labels import match_classes
from mobilenet_tf.evaluation.predict import Predictor
from mobilenet_tf.evaluation.score import mean_known, score_probabilities
from mobilenet_tf.runs.records import Amount, Count, Record, Share
from mobilenet_tf.runs.results import Accepted
from mobilenet_tf.system import terminal
from mobilenet_tf.system.terminal import escape

ACCURACY_WANTED = 0.95
CLASSES_NAMED = 8
UNKNOWN = -1  # the label of an image that shows none of the model's classes


class ClassFigures(Record, frozen=True, kw_only=True):
    """One class: its images, the share found (recall), the share of its predictions right."""

    name: str
    count: Count
    precision: Share | None
    recall: Share | None
    f1: Share | None


class Judged(Record, frozen=True, kw_only=True):
    """One image: its label, what was predicted, and the probabilities of both."""

    path: str
    label: str
    predicted: str
    confidence: Share
    label_probability: Share


class Unreadable(Record, frozen=True, kw_only=True):
    """An image that could not be read, and why."""

    path: str
    reason: str


class Unknown(Record, frozen=True, kw_only=True):
    """Images of none of the model's classes: how sure it is of them all the same.

    `unsure` is the share below the threshold, None without one; `auroc` the probability that such
    an image gets less confidence than one of a known class; `surest` are the likeliest traps.
    """

    classes: tuple[str, ...]
    count: Count
    mean_confidence: Share
    unsure: Share | None
    auroc: Share
    surest: tuple[Judged, ...]


class Threshold(Record, frozen=True, kw_only=True):
    """A probability below which a prediction is "unsure", where it is from, and what it does."""

    value: Share
    origin: Literal["file", "option", "these images"]
    coverage: Share
    accuracy: Share | None  # of the images that are accepted, None if none are


class Evaluation(Record, frozen=True, kw_only=True):
    """A classifier on labelled images; shares are 0 to 1, `confusion[true][predicted]` counts.

    `classes` and `confusion` are in the model's order. `missing` are its classes without images.
    """

    model: str
    data: str
    part: str  # of a split folder
    count: Count
    unreadable: tuple[Unreadable, ...]
    missing: tuple[str, ...]
    top1: Share
    top5: Share | None
    balanced_accuracy: Share
    macro_f1: Share
    loss: Amount
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[Count, ...], ...]
    calibration_error: Share
    mean_confidence: Share
    reliability: tuple[Bin, ...]
    coverage: tuple[Accepted, ...]
    threshold: Threshold | None
    worst_mistakes: tuple[Judged, ...]
    least_sure: tuple[Judged, ...]
    label_errors: tuple[Judged, ...]
    label_error_count: Count
    unknown: Unknown | None


@dataclass(eq=False)
class Predictions:
    """The probabilities of image files: `labels[i]` and `rows[i]` (C,) belong to `paths[i]`."""

    classes: tuple[str, ...]
    paths: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    given: list[str] = field(default_factory=list)  # the class's name in the folder
    rows: list[np.ndarray] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)


def predict_index(
    predictor: Predictor, index: ImageIndex, unknown: Sequence[Path] = ()
) -> Predictions:
    """Return the predictions for an index's images and for `unknown` ones, of no known class.

    Raises:
        UsageError: none of the index's classes is one of the model's.
        MtfError: a class may be several of the model's, or no image can be read.
    """
    numbers = match_classes(index.classes, predictor.classes)
    if not numbers:
        theirs, ours = (
            name_some(list(map(escape, names)), CLASSES_NAMED)
            for names in (index.classes, predictor.classes)
        )
        raise UsageError(
            f"{index.origin} has the classes {theirs}, and the model knows {ours}: none is the"
            " same; rename the folders, name the model's classes with --labels, or give images of"
            " other things with --unknown"
        )
    predictions = Predictions(predictor.classes)
    names = [index.classes[label] for label in index.labels.tolist()] + ["-"] * len(unknown)
    paths = [*map(index.path, range(len(index))), *unknown]
    judged = predictor.classify(terminal.track(paths, "evaluating"))
    for name, (path, row) in zip(names, judged, strict=True):
        if isinstance(row, MtfError):
            reason = str(row).removeprefix(f"{path} ")
            predictions.unreadable.append(Unreadable(path=str(path), reason=reason))
            continue
        predictions.paths.append(str(path))
        predictions.given.append(name)
        predictions.labels.append(numbers.get(name, UNKNOWN))
        predictions.rows.append(row.astype(np.float32))
    if not any(label != UNKNOWN for label in predictions.labels):
        raise MtfError(f"no image of {index.origin} could be read; `mtf data check` says why")
    return predictions


def describe_predictions(
    predictions: Predictions,
    *,
    model: str,
    data: str,
    part: str = "",
    threshold: float | None = None,
    is_asked: bool = False,
    shown: int = 24,
) -> Evaluation:
    """Return every figure of `predictions`.

    `threshold` is that of the file, or one that was asked for; without one it is chosen on these
    images. At most `shown` images are named of each kind.
    """
    labels = np.array(predictions.labels, np.int64)
    rows = np.stack(predictions.rows)
    known = np.flatnonzero(labels != UNKNOWN)
    own, probabilities = labels[known], rows[known]
    score = score_probabilities(probabilities, own)
    confidence = probabilities.max(-1)
    right = probabilities.argmax(-1) == own
    bins, curve = measure_reliability(confidence, right), trace_coverage(confidence, right)
    settled = _settle_threshold(threshold, is_asked, confidence, right)

    def name(chosen: Iterable[int]) -> tuple[Judged, ...]:
        return tuple(_judge(predictions, int(row)) for row in chosen)

    mistakes = known[~right]
    suspects = known[find_label_errors(probabilities, own)]
    names = predictions.classes
    counts = np.bincount(own, minlength=len(names)).tolist()
    figures = zip(names, counts, score.precision, score.per_class, score.f1, strict=True)
    return Evaluation(
        model=model,
        data=data,
        part=part,
        count=len(own),
        unreadable=tuple(predictions.unreadable),
        missing=tuple(name for name, count in zip(names, counts, strict=True) if not count),
        top1=score.top1,
        top5=score.top5,
        balanced_accuracy=score.balanced_accuracy,
        macro_f1=mean_known(score.f1),
        loss=score.loss,
        classes=tuple(
            ClassFigures(name=title, count=count, precision=precision, recall=recall, f1=f1)
            for title, count, precision, recall, f1 in figures
        ),
        confusion=tuple(map(tuple, score.confusion)),
        calibration_error=calibration_error(bins),
        mean_confidence=float(confidence.mean()),
        reliability=bins,
        coverage=thin_out(curve),
        threshold=settled,
        worst_mistakes=name(mistakes[_order(-rows[mistakes].max(-1))][:shown]),
        least_sure=name(known[_order(confidence)][:shown]),
        label_errors=name(suspects[:shown]),
        label_error_count=len(suspects),
        unknown=_describe_unknown(predictions, rows, labels, settled, shown),
    )


def list_shown(evaluation: Evaluation) -> list[str]:
    """Return the paths of all images that an evaluation names."""
    surest = evaluation.unknown.surest if evaluation.unknown else ()
    named = (evaluation.worst_mistakes, evaluation.least_sure, evaluation.label_errors, surest)
    return [image.path for images in named for image in images]


def _settle_threshold(
    value: float | None, is_asked: bool, confidence: np.ndarray, right: np.ndarray
) -> Threshold | None:
    if value is None:
        chosen = choose_threshold(confidence, right, ACCURACY_WANTED)
        if chosen is None:
            return None
        return Threshold(
            value=chosen.threshold,
            origin="these images",
            coverage=chosen.coverage,
            accuracy=chosen.accuracy,
        )
    accepted = confidence >= value
    return Threshold(
        value=value,
        origin="option" if is_asked else "file",
        coverage=float(accepted.mean()),
        accuracy=float(right[accepted].mean()) if accepted.any() else None,
    )


def _describe_unknown(
    predictions: Predictions,
    rows: np.ndarray,
    labels: np.ndarray,
    threshold: Threshold | None,
    shown: int,
) -> Unknown | None:
    strange = np.flatnonzero(labels == UNKNOWN)
    if not len(strange):
        return None
    confidence = rows[strange].max(-1)
    known = np.sort(rows[labels != UNKNOWN].max(-1))
    below, upto = (np.searchsorted(known, confidence, side) for side in ("left", "right"))
    surest = strange[_order(-confidence)][:shown]
    classes = {predictions.given[row] for row in strange.tolist()} - {"-"}
    return Unknown(
        classes=tuple(sorted(classes)),
        count=len(strange),
        mean_confidence=float(confidence.mean()),
        unsure=None if threshold is None else float((confidence < threshold.value).mean()),
        auroc=float(1 - (below + upto).mean() / (2 * len(known))),  # a tie counts half
        surest=tuple(_judge(predictions, int(row)) for row in surest),
    )


def _judge(predictions: Predictions, row: int) -> Judged:
    probabilities, label = predictions.rows[row], predictions.labels[row]
    best = int(probabilities.argmax())
    return Judged(
        path=predictions.paths[row],
        label=predictions.given[row] if label == UNKNOWN else predictions.classes[label],
        predicted=predictions.classes[best],
        confidence=float(probabilities[best]),
        label_probability=0.0 if label == UNKNOWN else float(probabilities[label]),
    )


def _order(keys: np.ndarray) -> np.ndarray:
    return np.argsort(keys, kind="stable")
