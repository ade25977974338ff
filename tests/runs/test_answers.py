from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.recipe import AugmentationSettings, Recipe, TrainSettings
from mobilenet_tf.runs.answers import (
    ANSWERS_FILE,
    Answers,
    AnswersNote,
    Schedule,
    begin_answers,
    epoch_file,
    load_note,
    make_schedule,
    save_epoch,
)

SCHEDULE = Schedule(
    name="synthetic",
    classes=("a", "b", "c"),
    data="images",
    image_count=10,
    resolution_px=32,
    seed=1,
    batch_size=4,
    epochs=2,
    augmentation=AugmentationSettings(),
)
NOTE = AnswersNote(schedule=SCHEDULE, teachers=("0" * 64,), seen_data=("images",))


def logits_of(number: int) -> np.ndarray:
    return np.arange(24).reshape(8, 3) / 4 + number


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two epochs of answers."""
    folder = tmp_path / "answers"
    note = begin_answers(folder, NOTE)
    for number in range(2):
        note = save_epoch(folder, note, logits_of(number))
    return folder


def test_batches_come_back_in_their_order(folder: Path) -> None:
    answers = Answers(folder)
    for step in (0, 1, 2, 3, 1):
        number, place = divmod(step, 2)
        batch = answers.batch(step)
        assert batch.dtype == np.float32
        np.testing.assert_array_equal(batch, logits_of(number)[4 * place : 4 * place + 4])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "digits"}, "name is synthetic, and this run has digits"),
        ({"classes": ("a", "b", "d")}, "classes is a, b, c, and this run has a, b, d"),
        ({"data": "others"}, "data is images, and this run has others"),
        ({"seed": 2}, "seed is 1, and this run has 2"),
        ({"seed": 2, "data": "others"}, "seed is 1, and this run has 2"),  # it draws the split
        ({"batch_size": 5}, "batch_size is 4, and this run has 5"),
        ({"epochs": 3}, "epochs is 2, and this run has 3"),
        ({"resolution_px": 40}, "resolution_px is 32, and this run has 40"),
        (
            {"augmentation": AugmentationSettings(cutout_px=8)},
            r"augmentation\.cutout_px is 0, and this run has 8",
        ),
    ],
)
def test_another_schedule_is_refused_by_its_difference(
    changes: dict[str, Any], words: str, folder: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        Answers(folder).check(replace(SCHEDULE, **changes))


def test_a_shorter_schedule_is_the_beginning_unless_augmentation_ends_in_its_course(
    tmp_path: Path, folder: Path
) -> None:
    Answers(folder).check(replace(SCHEDULE, epochs=1))
    ending = replace(SCHEDULE, augmentation=AugmentationSettings(strong_share=0.5))
    note, other = replace(NOTE, schedule=ending), tmp_path / "ending"
    for number in range(2):
        note = save_epoch(other, note, logits_of(number))
    with pytest.raises(UsageError, match="epochs is 2, and this run has 1"):
        Answers(other).check(replace(ending, epochs=1))


def test_a_schedule_has_the_epochs_that_differ() -> None:
    for epochs, distinct, expected in ((60, 20, 20), (60, 0, 60), (10, 20, 10)):
        recipe = replace(Recipe(), train=TrainSettings(epochs=epochs, distinct_epochs=distinct))
        assert make_schedule(recipe, ("a", "b"), "images", 10).epochs == expected


@pytest.mark.parametrize("harm", ["truncated", "changed", "missing"])
def test_damaged_answers_are_named(harm: str, folder: Path) -> None:
    file = folder / epoch_file(1)
    content = file.read_bytes()
    if harm == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-1] if harm == "truncated" else content[:-1] + b"\x01")
    answers = Answers(folder)
    answers.batch(0)  # the first epoch is whole
    with pytest.raises(MtfError, match=f"{file.name}.*teach again"):
        answers.batch(2)
    answers.verify(1)
    with pytest.raises(MtfError, match=file.name):
        answers.verify(2)  # before a training that would need it hours later


@pytest.mark.parametrize("number", [0, 1])
def test_answers_go_on_before_the_first_damaged_epoch(number: int, folder: Path) -> None:
    (folder / epoch_file(number)).write_bytes(b"half")
    note = begin_answers(folder, NOTE)
    assert len(note.epochs) == number
    for missing in range(number, 2):
        note = save_epoch(folder, note, logits_of(missing))
    Answers(folder).verify(2)


def test_unfinished_answers_are_continued_and_not_learned_from(tmp_path: Path) -> None:
    save_epoch(tmp_path / "half", NOTE, logits_of(0))
    with pytest.raises(UsageError, match="1 of 2 epochs"):
        Answers(tmp_path / "half")
    assert len(begin_answers(tmp_path / "half", NOTE).epochs) == 1


@pytest.mark.parametrize(
    "killed_at", [ANSWERS_FILE, epoch_file(0), "between", epoch_file(1)], ids=str
)
def test_a_command_killed_at_a_write_goes_on(killed_at: str, tmp_path: Path) -> None:
    def begin_and_save(count: int) -> AnswersNote:
        note = begin_answers(tmp_path, NOTE)
        for number in range(len(note.epochs), count):
            note = save_epoch(tmp_path, note, logits_of(number))
        return note

    if killed_at == epoch_file(1):
        begin_and_save(1)
    elif killed_at != ANSWERS_FILE:
        begin_answers(tmp_path, NOTE)
    if killed_at == "between":  # the epoch is whole and not noted
        (tmp_path / epoch_file(0)).write_bytes(b"whole")
    else:
        (tmp_path / f".{killed_at}.0123abcd.mtf-tmp").write_bytes(b"half")
    begin_and_save(2)
    names = {ANSWERS_FILE, epoch_file(0), epoch_file(1)}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert Answers(tmp_path).batch(0).shape == (4, 3)


def test_a_folder_without_an_epoch_takes_other_teachers(tmp_path: Path) -> None:
    begin_answers(tmp_path, NOTE)
    other = replace(NOTE, teachers=("1" * 64,))
    assert begin_answers(tmp_path, other) == other
    assert load_note(tmp_path) == other


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / ".other.0123abcd.mtf-tmp").touch()  # of a command that works there
    with pytest.raises(UsageError, match="holds something else"):
        begin_answers(tmp_path, NOTE)
    assert (tmp_path / ".other.0123abcd.mtf-tmp").exists()
    with pytest.raises(UsageError, match="for another teacher"):
        begin_answers(folder, replace(NOTE, teachers=("1" * 64,)))
    with pytest.raises(UsageError, match=r"another schedule: its seed is 1, and .* has 2"):
        begin_answers(folder, replace(NOTE, schedule=replace(SCHEDULE, seed=2)))
    (folder / ANSWERS_FILE).write_text("{")
    with pytest.raises(MtfError, match="is damaged"):
        begin_answers(folder, NOTE)


def test_a_disk_that_is_too_small_is_said_beforehand(tmp_path: Path) -> None:
    huge = replace(SCHEDULE, image_count=10**12, batch_size=1000, epochs=100)
    with pytest.raises(MtfError, match=r"the answers need 600000.00 GB .*--out"):
        begin_answers(tmp_path / "answers", replace(NOTE, schedule=huge))
    assert not (tmp_path / "answers").exists()
