"""A model on images that it has not seen: which these are, its score, the labels it doubts."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from mobilenet_tf.data.check import Finding, count_groups
from mobilenet_tf.data.folder import index_images, list_images
from mobilenet_tf.data.index import PARTS, TEST, TRAIN, VALIDATION, ImageIndex
from mobilenet_tf.data.partition import SPLIT_FILE, restore_split
from mobilenet_tf.errors import UsageError
from mobilenet_tf.evaluation.images import (
    UNKNOWN,
    Evaluation,
    Predictions,
    describe_predictions,
    predict_index,
)
from mobilenet_tf.evaluation.label_errors import find_label_errors
from mobilenet_tf.evaluation.predict import Predictor
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.system.hardware import usable_cores
from mobilenet_tf.zoo.shelf import find_tflite

log = logging.getLogger(__name__)


def evaluate_file(
    model: Path,
    images: Path | None,
    *,
    part: str | None = None,
    unknown: Path | None = None,
    labels: Path | None = None,
    threshold: float | None = None,
) -> tuple[Predictions, Evaluation]:
    """Return what a `.tflite` file predicts for labelled images, and how good that is.

    `model` is a file, the folder of a run or a name of the zoo; `images` and `part` are those of
    `choose_images`, `unknown` a folder of images that show none of the model's classes. Without a
    `threshold` the file's is taken.

    Raises:
        UsageError: there are no such images, or `labels` does not name the model's classes.
        MtfError: the file is damaged, or no image can be read.
    """
    file = find_tflite(model)
    predictor = Predictor(file, threads=usable_cores(), labels=labels)
    if predictor.warning:
        log.warning(predictor.warning)
    index, chosen = choose_images(model, images, part)
    strange = list_images(unknown) if unknown else []
    if unknown and not strange:
        raise UsageError(f"--unknown {unknown} is no folder that holds images; give one")
    predictions = predict_index(predictor, index, strange)
    evaluation = describe_predictions(
        predictions,
        model=str(file),
        data=str(index.origin),
        part=chosen,
        threshold=predictor.threshold if threshold is None else threshold,
        is_asked=threshold is not None,
    )
    return predictions, evaluation


def choose_images(model: Path, images: Path | None, part: str | None) -> tuple[ImageIndex, str]:
    """Return the images that a model is evaluated on, and the parts of their folder that these are.

    Without `images`, those of the run, or of the run that exported the file. Of these, and of any
    folder that is split, `part` is taken; None stands for what was not trained on where that is
    known, "all" for everything.

    Raises:
        UsageError: there are no such images, or the part has none.
    """
    run = _find_run(model)
    path = run.load_recipe().data.path if run.has_recipe() else ""
    own = Path(path) if path else None  # Path("") would be the current folder
    origin = own if images is None else images
    if origin is None:
        raise UsageError(f"there are no images to evaluate {model} on; name a folder of them")
    index = index_images(origin, to_train=False)
    if own is not None and origin.resolve() == own.resolve():
        parts = restore_split(index, run.stage("train") / SPLIT_FILE)
        index = replace(index, parts=np.where(parts < 0, TEST, parts).astype(np.int8))  # new ones
        held_out = index.parts != TRAIN
    else:
        best = next((p for p in (TEST, VALIDATION) if index.has(p)), TRAIN)
        held_out = index.parts == best
    if part is None:
        chosen = held_out
    else:
        chosen = np.full(len(index), True) if part == "all" else index.parts == PARTS.index(part)
    if not chosen.any():
        raise UsageError(f"{origin} has no {part or 'held-out'} images; choose another --part")
    names = [name for number, name in enumerate(PARTS) if (index.parts[chosen] == number).any()]
    return index.keep(chosen), "" if set(index.parts) == {TRAIN} else " and ".join(names)


def _find_run(model: Path) -> RunFolder:
    """Return the folder of the run that is meant, or that has exported the file that is."""
    file = model.resolve()
    around = RunFolder(file.parent.parent)
    return around if file.is_file() and file.parent == around.stage("export") else RunFolder(model)


def doubt_labels(model: Path, images: Path) -> list[Finding]:
    """Return the finding that labels are probably wrong, if a model says so of any.

    `model` is a .tflite file, the folder of a run or a name of the zoo. As in `choose_images`, it
    judges what it was not trained on, where that is known.

    Raises:
        as `choose_images`, `Predictor` and `predict_index` do.
    """
    predictor = Predictor(find_tflite(model), threads=usable_cores())
    index, part = choose_images(model, images, None)
    predictions = predict_index(predictor, index)
    labels = np.array(predictions.labels)
    known = np.flatnonzero(labels != UNKNOWN)
    rows = np.stack(predictions.rows)
    doubted = known[find_label_errors(rows[known], labels[known])].tolist()
    names = {str(index.path(row)): path for row, path in enumerate(index.paths)}
    if not doubted:
        return []
    finding = Finding(
        kind="label",
        severity="warning",
        what=f"of {len(known):,}{f' for {part}' if part else ''} whose label is probably wrong",
        advice=f"look at them; {model} predicts another class, as surely as it does where it is"
        " right" + ("" if part else ", and may have been trained on them"),
        groups=tuple((names[predictions.paths[row]],) for row in doubted),
        notes=tuple(
            f"{predictions.classes[int(rows[row].argmax())]}, {100 * rows[row].max():.0f} %"
            for row in doubted
        ),
    )
    return [count_groups(finding)]
