from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.recipe import Recipe, parse_recipe
from mobilenet_tf.runs.folder import CHECKPOINT_FILE, SETTINGS_FILE, RunFolder, StageSettings
from mobilenet_tf.runs.results import save_result

BEGUN = StageSettings(settings={"seed": 1}, inputs={})


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.claim(Recipe())
    return folder


@pytest.fixture
def finish(make_result: Any) -> Callable[..., None]:
    """Return a function that does what a stage does: begin, write, result, commit."""

    def do(run: RunFolder, name: str, content: bytes = b"weights") -> None:
        folder = run.begin(name, BEGUN)
        (folder / "a.bin").write_bytes(content)
        (folder / CHECKPOINT_FILE).write_bytes(b"x")
        save_result(make_result(name, folder), folder)
        run.commit(name)

    return do


def test_a_new_folder_becomes_a_run_and_gives_its_recipe_back(tmp_path: Path) -> None:
    recipe = parse_recipe({"seed": 5, "model": {"alpha": 0.25}}, "test")
    run = RunFolder(tmp_path / "deep" / "run")
    run.claim(recipe)
    assert run.name == "run"
    assert run.load_recipe() == recipe
    run.claim(recipe)


def test_a_run_of_other_data_model_or_seed_is_refused_and_stays(
    run: RunFolder, finish: Any
) -> None:
    finish(run, "train")
    before = (run.path / "recipe.json").read_bytes()
    for content in ({"seed": 2}, {"data": {"name": "digits"}}, {"model": {"alpha": 1.0}}):
        with pytest.raises(UsageError, match=r"holds another run \(.*there.*asked\).*--out"):
            run.claim(parse_recipe(content, "test"))
    assert (run.path / "recipe.json").read_bytes() == before


def test_a_run_that_holds_no_work_yet_can_become_another(run: RunFolder) -> None:
    run.begin("train", BEGUN)  # the first try failed before its first epoch
    run.claim(parse_recipe({"seed": 2}, "test"))
    assert run.load_recipe().seed == 2


@pytest.mark.parametrize("place", ["train.partial/" + CHECKPOINT_FILE, "previous/train-1/a"])
def test_unfinished_and_previous_work_count_as_work(place: str, run: RunFolder) -> None:
    (run.path / place).parent.mkdir(parents=True)
    (run.path / place).write_bytes(b"x")
    with pytest.raises(UsageError, match="holds another run"):
        run.claim(parse_recipe({"seed": 2}, "test"))


def test_a_folder_with_other_files_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match=r"is not empty and holds no run.*--out"):
        RunFolder(tmp_path).claim(Recipe())
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_hidden_files_do_not_make_a_folder_full(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_bytes(b"")
    RunFolder(tmp_path).claim(Recipe())
    assert RunFolder(tmp_path).has_recipe()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UsageError, match="is a file; give a folder"):
        RunFolder(tmp_path / "file").claim(Recipe())
    with pytest.raises(MtfError, match=r"cannot write .*recipe\.json"):
        RunFolder(tmp_path / "file" / "run").claim(Recipe())
    assert (tmp_path / "file").read_text() == "precious"


def test_a_folder_that_is_no_run_is_told_from_one_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        RunFolder(tmp_path / "missing").load_recipe()
    with pytest.raises(UsageError, match=r"is not the folder of a run: it has no recipe\.json"):
        RunFolder(tmp_path).load_recipe()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00", b'{"seed": 1'])
def test_a_damaged_recipe_is_named(content: bytes, run: RunFolder) -> None:
    (run.path / "recipe.json").write_bytes(content)
    with pytest.raises(MtfError, match=r"recipe\.json is damaged .*another folder") as caught:
        run.load_recipe()
    assert caught.value.exit_code == 1
    with pytest.raises(MtfError, match="is damaged"):
        run.claim(Recipe())


def test_a_recipe_of_another_version_is_a_failure(run: RunFolder) -> None:
    (run.path / "recipe.json").write_bytes(b'{"model": {"depth": 3}}')
    with pytest.raises(MtfError, match=r"'model\.depth'.*another version") as caught:
        run.load_recipe()
    assert caught.value.exit_code == 1


def test_a_second_process_is_kept_out(run: RunFolder) -> None:
    with (
        run.lock(Recipe()),
        pytest.raises(MtfError, match="another mtf is at work"),
        RunFolder(run.path).lock(Recipe()),
    ):
        raise AssertionError("two at once")
    with run.lock(Recipe()):
        pass


def test_a_process_that_is_kept_out_changes_nothing(run: RunFolder) -> None:
    other = parse_recipe({"model": {"alpha": 0.75}}, "the test")
    with run.lock(Recipe()), pytest.raises(MtfError, match="another mtf"), run.lock(other):
        raise AssertionError("two at once")
    assert run.load_recipe() == Recipe()


def test_the_lock_removes_what_killed_writes_left(run: RunFolder) -> None:
    left = run.begin("train", BEGUN) / ".checkpoint.safetensors.abc.mtf-tmp"
    left.write_bytes(b"half")
    with run.lock(Recipe()):
        assert not left.exists()


def test_a_committed_stage_is_whole_and_its_working_files_are_gone(
    run: RunFolder, finish: Any
) -> None:
    finish(run, "train")
    assert run.is_finished("train")
    assert not run.partial("train").exists()
    assert sorted(p.name for p in run.stage("train").iterdir()) == ["a.bin", "result.json"]
    assert run.load_stage("train").files.keys() == {"a.bin"}


def test_making_a_stage_again_keeps_the_old_one(run: RunFolder, finish: Any) -> None:
    for content in (b"one", b"two", b"three"):
        finish(run, "train", content)
    assert (run.stage("train") / "a.bin").read_bytes() == b"three"
    previous = sorted((run.path / "previous").iterdir())
    assert [(p / "a.bin").read_bytes() for p in previous] == [b"one", b"two"]
    assert run.set_aside(run.stage("qat")) is None


def test_a_failed_rename_is_a_sentence_and_the_work_stands(
    run: RunFolder, finish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(run, "train", b"one")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(MtfError, match="No space left"):
        run.set_aside(run.stage("train"))
    assert (run.stage("train") / "a.bin").read_bytes() == b"one"


@pytest.mark.parametrize("content", [b"", b"WEIGHTS", b"weights and more"])
def test_a_changed_file_of_a_stage_is_damage(content: bytes, run: RunFolder, finish: Any) -> None:
    finish(run, "train")
    (run.stage("train") / "a.bin").write_bytes(content)
    with pytest.raises(MtfError, match=r"a\.bin is damaged .*make that stage again"):
        run.load_stage("train")
    run.load_stage("train", verify=False)
    (run.stage("train") / "a.bin").unlink()
    with pytest.raises(MtfError, match="the file is missing"):
        run.load_stage("train")


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_damaged_settings_of_a_stage_at_work_are_named(content: bytes, run: RunFolder) -> None:
    assert run.partial_settings("train") is None
    folder = run.begin("train", BEGUN)
    assert run.partial_settings("train") == BEGUN
    (folder / SETTINGS_FILE).write_bytes(content)
    with pytest.raises(MtfError, match=r"settings\.json is damaged"):
        run.partial_settings("train")
    run.discard_partial("train")
    assert run.partial_settings("train") is None


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "deep" / "run")
    with pytest.raises(MtfError), run.lock(Recipe()):  # noqa: PT012  # the block must fail
        run.begin("train", BEGUN)
        raise MtfError("no network")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("before", ["nothing", "a run"])
def test_a_folder_with_work_or_from_before_stays(before: str, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    if before == "a run":
        run.claim(Recipe())
    with pytest.raises(MtfError), run.lock(Recipe()):  # noqa: PT012  # the block must fail
        if before == "nothing":
            (run.begin("train", BEGUN) / CHECKPOINT_FILE).write_bytes(b"epoch 1")
        raise MtfError("the disk is full")
    assert run.has_recipe()
