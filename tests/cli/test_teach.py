from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from mobilenet_tf.cli import options
from mobilenet_tf.cli.main import run_command
from mobilenet_tf.cli.options import WorkOptions
from mobilenet_tf.pipeline import teaching
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.answers import ANSWERS_FILE, Answers, Schedule, epoch_file, make_schedule

SAME = ("--set", "data.validation_count=64", "--set", "augmentation.crop_padding_px=2")
ENDING = ("--set", "augmentation.strong_share=0.5", "--set", "train.distinct_epochs=2")


def teach(*arguments: object) -> int:
    words = ["--dataset", "synthetic", *SAME, "--batch-size", "64", "--epochs", "2"]
    return run_command(["teach", *words, "-q", *map(str, arguments)])


def train(out: Path, answers: Path, *arguments: str) -> int:
    words = ["--dataset", "synthetic", *SAME, "--alpha", "0.05", "--block-count", "1"]
    words += ["--batch-size", "64", "--epochs", "2", "-q", "--out", str(out)]
    return run_command(["train", *words, "--teacher", str(answers), *arguments])


def test_teacher_and_student_start_from_the_same_recipe(
    listed_images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Recipe] = []

    def note(_teachers: object, recipe: Recipe, *_: object) -> Schedule:
        asked.append(recipe)
        return make_schedule(recipe, ("a", "b"), "images", 40)

    monkeypatch.setattr(teaching, "teach", note)
    monkeypatch.setattr(
        options, "run_stage", lambda _s, _run, recipe, *_, **__: asked.append(recipe)
    )
    own = ["--set", f"data.path={listed_images}"]
    assert run_command(["teach", "someone", "--out", "answers", *own]) == 0
    assert run_command(["train", *own]) == 0
    assert asked[0] == asked[1]


def test_the_next_command_sees_what_the_teacher_was_given(
    listed_images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[Recipe, WorkOptions]] = []

    def note(_stage: str, _run: object, recipe: Recipe, work: WorkOptions, **_: object) -> None:
        asked.append((recipe, work))

    monkeypatch.setattr(options, "run_stage", note)
    monkeypatch.setattr(
        teaching, "teach", lambda _t, recipe, *_: make_schedule(recipe, ("a", "b"), "images", 40)
    )
    out, cache = str(listed_images.parent / "the answers"), str(listed_images.parent / "a cache")
    words = ["--recipe", "folder", "--batch-size", "8", "--epochs", "4", "--seed", "3"]
    words += ["--set", f"data.path={listed_images}", "--set", "train.distinct_epochs=2"]
    words += ["--set", "train.teacher=another", "--data-dir", cache]
    assert run_command(["teach", "someone", "--out", out, *words]) == 0
    told, following = capsys.readouterr().out.splitlines()
    assert "answers for 2 epochs" in told
    command = shlex.split(following.removeprefix("Next: "))
    assert command[:2] == ["mtf", "train"]
    assert run_command(command[1:]) == 0
    assert run_command(["train", *words, "--set", f"train.teacher={out}"]) == 0
    assert asked[0] == asked[1]
    assert asked[0][0].train.teacher == out


@pytest.mark.slow
def test_students_learn_from_what_was_stored(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers, out = tmp_path / "answers", tmp_path / "student"
    assert teach(finished_run, "--out", answers) == 0
    first = Answers(answers).batch(0)
    (answers / epoch_file(1)).unlink()  # killed after the first epoch
    note = json.loads((answers / ANSWERS_FILE).read_text())
    whole = note["epochs"]
    (answers / ANSWERS_FILE).write_text(json.dumps({**note, "epochs": whole[:1]}))
    assert teach(finished_run, "--out", answers) == 0
    assert list(Answers(answers).note.epochs) == whole
    assert first.shape == (64, 10)
    assert np.ptp(first) > 0
    assert train(out, answers) == 0
    said = capsys.readouterr()
    assert "teach, at temperature" in said.out + said.err
    result = json.loads((out / "train" / "result.json").read_text())
    assert result["inputs"]["teacher"]
    for changes, words in (
        (["--set", "augmentation.crop_padding_px=1"], "augmentation.crop_padding_px is 2"),
        (["--epochs", "3"], "epochs is 2, and this run has 3"),
        (["--set", "data.validation_count=32"], "data is"),
        (["--seed", "2"], "seed is 1, and this run has 2"),
    ):
        assert train(tmp_path / "other", answers, *changes) == 2
        assert words in capsys.readouterr().err


@pytest.mark.slow
def test_stored_answers_teach_as_their_network_does(finished_run: Path, tmp_path: Path) -> None:
    answers, losses = tmp_path / "answers", []
    assert teach(finished_run, "--out", answers) == 0
    for name, teacher in (("stored", answers), ("live", finished_run)):
        assert train(tmp_path / name, teacher, "--set", "train.learning_rate=0.01") == 0
        lines = (tmp_path / name / "train" / "history.csv").read_text().splitlines()
        losses.append(float(lines[1].split(",")[lines[0].split(",").index("loss")]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)  # float16


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody"], "nobody does not exist"),
        (["cifar10_v1_050_r32"], "give a teacher of the same classes"),
        ([], "TEACHER"),
        (["nobody", "--batch-size", "999"], "train.batch_size 999 is larger"),
        (["nobody", "--set", "augmentation.crop_padding_px=32"], "crop_padding_px 32"),
        (["nobody", "--epochs", "3", *ENDING], "augmentation.strong_share 0.5"),
    ],
)
def test_who_cannot_teach_is_refused(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert teach(*arguments, "--out", tmp_path / "answers") == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "answers").exists()
