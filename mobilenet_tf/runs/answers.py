"""A teacher's answers for a whole schedule on disk: logits of every image as it is augmented.

answers.json      the schedule, the teachers, and the SHA-256 of every epoch that is done
epoch_0001.npy    float16 (images, classes), in the order of the epoch's batches

An augmented batch is a function of (seed, epoch, step) alone, so every student of the schedule sees
the very images that were answered (Shen and Xing 2022, arXiv 2112.01528).
"""

from __future__ import annotations

import hashlib
import io
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.files import (
    check_space,
    hash_file,
    is_leftover,
    read_json,
    remove_leftovers,
    write_bytes,
    write_json,
)
from mobilenet_tf.recipe import AugmentationSettings, Recipe
from mobilenet_tf.runs.records import Count, Record, Sha256

if TYPE_CHECKING:
    import numpy as np

ANSWERS_FILE = "answers.json"
BYTES = 2  # of a float16
SHOWN_LENGTH = 40  # of a fingerprint, of many classes
TEACH_AGAIN = "remove the folder and teach again with mtf teach"
MEND = "teach again with the same mtf teach, which answers this epoch and those after it anew"


class Schedule(Record, frozen=True, kw_only=True):
    """What answers depend on: which images in which order, and how they are augmented.

    The first field that differs is named: what follows from others, as the split does from the
    seed, comes last.
    """

    name: str  # of the dataset
    classes: tuple[str, ...]
    resolution_px: Count
    seed: Count
    batch_size: Count
    epochs: Count
    augmentation: AugmentationSettings
    data: str  # fingerprint of the training images
    image_count: Count

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return self.image_count // self.batch_size

    @property
    def epoch_bytes(self) -> int:
        """What the answers of one epoch take."""
        return self.steps * self.batch_size * len(self.classes) * BYTES


class AnswersNote(Record, frozen=True, kw_only=True):
    """What answers.json holds."""

    schedule: Schedule
    teachers: tuple[Sha256, ...]  # of their float weights; their logits are averaged
    seen_data: tuple[str, ...]  # fingerprints of the images that each was trained on
    epochs: tuple[Sha256, ...] = ()  # of the files of those that are done


def make_schedule(recipe: Recipe, classes: tuple[str, ...], data: str, count: int) -> Schedule:
    """Return the schedule of a recipe's float training on `count` images, `data` their print.

    It has the epochs in which different images come, not their repetitions.
    """
    train = recipe.train
    return Schedule(
        name=recipe.data.name,
        classes=classes,
        data=data,
        image_count=count,
        resolution_px=recipe.model.resolution_px,
        seed=recipe.seed,
        batch_size=train.batch_size,
        epochs=train.round_epochs,
        augmentation=recipe.augmentation,
    )


class Answers:
    """A folder of answers that is complete."""

    def __init__(self, folder: Path) -> None:
        """Open a folder of answers.

        Raises:
            UsageError: it is not finished.
            MtfError: answers.json is damaged.
        """
        self.folder, self.note = folder, load_note(folder)
        schedule, done = self.note.schedule, len(self.note.epochs)
        self._epoch: tuple[int, Any] = (-1, None)
        if done < schedule.epochs:
            raise UsageError(
                f"{folder} has the answers for {done} of {schedule.epochs} epochs; finish it with"
                " the same mtf teach first"
            )

    def check(self, wanted: Schedule) -> None:
        """Refuse (UsageError) a student's schedule that sees other images than were answered."""
        told = self.note.schedule
        if wanted.epochs < told.epochs and told.augmentation.strong_share == 1:
            told = msgspec.structs.replace(told, epochs=wanted.epochs)  # the first are the same
        if told != wanted:
            raise UsageError(
                f"train.teacher {self.folder} answers another schedule: {_compare(told, wanted)};"
                " teach this one with mtf teach, or give the same"
            )

    def verify(self, epochs: int) -> None:
        """Read the first `epochs` files, so that a training does not find out late; as `batch`."""
        for number in range(epochs):
            self._load(number)

    def batch(self, step: int) -> np.ndarray:
        """Return the logits (B, C) float32 for a step, counted from 0 over all epochs.

        Raises:
            MtfError: the file of the epoch is missing or damaged.
        """
        schedule = self.note.schedule
        number, place = divmod(step, schedule.steps)
        if self._epoch[0] != number:
            self._epoch = (number, self._load(number))
        first = place * schedule.batch_size
        logits: np.ndarray = self._epoch[1][first : first + schedule.batch_size]
        return logits.astype("f4")

    def _load(self, number: int) -> np.ndarray:
        import numpy as np

        path = self.folder / epoch_file(number)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise MtfError(f"cannot read {path}: {error.strerror}; {MEND}") from error
        if hashlib.sha256(content).hexdigest() != self.note.epochs[number]:
            raise MtfError(f"{path} is damaged (its SHA-256 is not that of {ANSWERS_FILE}); {MEND}")
        logits: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
        return logits


def epoch_file(number: int) -> str:
    """Return the name of the file of an epoch, counted from 0."""
    return f"epoch_{number + 1:04d}.npy"


def has_answers(folder: Path) -> bool:
    """Tell whether this is a folder of answers, finished or not."""
    return (folder / ANSWERS_FILE).is_file()


def load_note(folder: Path) -> AnswersNote:
    """Return what is known of a folder of answers; MtfError if answers.json is damaged."""
    return read_json(folder / ANSWERS_FILE, AnswersNote, TEACH_AGAIN)


def begin_answers(folder: Path, note: AnswersNote) -> AnswersNote:
    """Write the note of a folder that answers come into, or find the one to go on with; return it.

    It has the epochs before the first whose file is missing or damaged. Temporary files that a
    killed command left there are removed.

    Raises:
        UsageError: it has the answers of other teachers or another schedule, or other files.
        MtfError: its note is damaged, or the disk has too little room.
    """
    if has_answers(folder):
        note = _match_note(folder, load_note(folder), note)
    elif folder.exists() and (not folder.is_dir() or not all(map(is_leftover, folder.iterdir()))):
        raise UsageError(f"--out {folder} holds something else; give another folder")
    needed = note.schedule.epoch_bytes * (note.schedule.epochs - len(note.epochs))
    else_do = "choose another folder with --out, or give fewer epochs"
    check_space(folder, needed, "the answers", else_do)
    remove_leftovers(folder)
    if not note.epochs:  # before the first epoch, so that the folder is known to be ours
        write_json(folder / ANSWERS_FILE, note)
    return note


def _match_note(folder: Path, held: AnswersNote, wanted: AnswersNote) -> AnswersNote:
    """Return the note to go on with; a folder without an epoch yet takes any."""
    if not held.epochs:
        return wanted
    if held.schedule != wanted.schedule:
        difference = _compare(held.schedule, wanted.schedule)
        raise UsageError(
            f"{folder} has the answers for another schedule: {difference}; give another --out"
        )
    if held.teachers != wanted.teachers:
        raise UsageError(f"{folder} has the answers for another teacher; give another --out")
    whole = itertools.takewhile(
        lambda number: _is_whole(folder / epoch_file(number), held.epochs[number]),
        range(len(held.epochs)),
    )
    return msgspec.structs.replace(held, epochs=held.epochs[: len(list(whole))])


def _is_whole(path: Path, sha256: str) -> bool:
    try:
        return hash_file(path) == sha256
    except OSError:
        return False


def save_epoch(folder: Path, note: AnswersNote, logits: np.ndarray) -> AnswersNote:
    """Write the answers (N, C) of the next epoch; return the note that has it."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, logits.astype(np.float16), allow_pickle=False)
    content = buffer.getvalue()
    write_bytes(folder / epoch_file(len(note.epochs)), content)
    digests = (*note.epochs, hashlib.sha256(content).hexdigest())
    note = msgspec.structs.replace(note, epochs=digests)
    write_json(folder / ANSWERS_FILE, note)
    return note


def _compare(told: Schedule, wanted: Schedule) -> str:
    """Return the first difference of two schedules that differ, as words."""
    theirs: Record | AugmentationSettings = told
    ours: Record | AugmentationSettings = wanted
    name, section = _first_difference(theirs, ours), ""
    if name == "augmentation":
        theirs, ours, section = told.augmentation, wanted.augmentation, "augmentation."
        name = _first_difference(theirs, ours)
    shown = (_show(getattr(one, name)) for one in (theirs, ours))
    return f"its {section}{name} is {', and this run has '.join(shown)}"


def _first_difference(theirs: Any, ours: Any) -> str:
    names = (n for n in theirs.__struct_fields__ if getattr(theirs, n) != getattr(ours, n))
    return next(names, "")


def _show(value: Any) -> str:
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}..."
