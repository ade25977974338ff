"""Teachers' answers for a schedule: their mean logits of every augmented image, once for all."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mobilenet_tf.data.batches import TrainingBatches
from mobilenet_tf.data.pipeline import denormalise
from mobilenet_tf.data.splits import Split
from mobilenet_tf.runs.answers import AnswersNote, begin_answers, save_epoch
from mobilenet_tf.system import terminal
from mobilenet_tf.system.duration import format_duration
from mobilenet_tf.system.interrupt import raise_if_interrupted
from mobilenet_tf.tflite.interpreter import Classifier

log = logging.getLogger(__name__)


def write_answers(
    make_teachers: Callable[[], Sequence[Classifier]],
    train: Split,
    note: AnswersNote,
    folder: Path,
) -> AnswersNote:
    """Write the teachers' mean logits for every image of the note's schedule into a folder.

    A folder that was begun is continued after its last epoch. The teachers are made only once it is
    known that there is something to answer, and room for it.

    Raises:
        UsageError, MtfError: as `begin_answers`.
    """
    note, schedule = begin_answers(folder, note), note.schedule
    done = len(note.epochs)
    log.info(
        "teach: %d epochs of %s images, %.1f MB in %s%s",
        schedule.epochs,
        f"{schedule.steps * schedule.batch_size:,}",
        schedule.epoch_bytes * schedule.epochs / 1e6,
        folder,
        f", {done} of them done" if done else "",
    )
    if done == schedule.epochs:
        return note

    teachers = make_teachers()
    batches = TrainingBatches(
        split=train,
        augmentation=schedule.augmentation,
        resolution_px=schedule.resolution_px,
        batch_size=schedule.batch_size,
        class_count=len(schedule.classes),
        seed=schedule.seed,
        epochs=schedule.epochs,
    )
    asked = iter(batches.from_epoch(done))
    for number in range(done, schedule.epochs):
        clock, logits = time.monotonic(), []
        for _ in terminal.track(range(schedule.steps), f"teach {number + 1}/{schedule.epochs}"):
            raise_if_interrupted()
            images = denormalise(next(asked)[0].numpy())
            logits.append(
                np.mean([one.predict(images, batch_size=len(images)) for one in teachers], axis=0)
            )
        note = save_epoch(folder, note, np.concatenate(logits))
        epoch_s = time.monotonic() - clock
        left = format_duration(epoch_s * (schedule.epochs - number - 1))
        log.info("teach %d/%d  %.0f s  about %s left", number + 1, schedule.epochs, epoch_s, left)
    return note
