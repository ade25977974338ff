"""The runner with the real stage table and stages that only write a file."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.pipeline.plan import make_plan
from mobilenet_tf.pipeline.runner import go_on_command, resume_command
from mobilenet_tf.runs import folder, results
from mobilenet_tf.runs.folder import (
    CHECKPOINT_FILE,
    PRECISION_FILE,
    SETTINGS_FILE,
    RunFolder,
    StageSettings,
)

ALL = ["train", "qat", "export", "benchmark", "report"]


def test_everything_runs_once_and_the_second_time_says_what_it_skips(bench: Any) -> None:
    done = bench.pipeline()
    assert bench.ran == ALL
    assert bench.inputs["benchmark"] == ["export", "qat", "train"]
    assert done["train"].data == {"train": "fingerprint"}
    assert done["train"].files.keys() == {"file.txt"}
    again = bench.pipeline()
    assert bench.ran == []
    assert [message.partition(":")[0] for message in bench.messages] == [
        f"{name} ({i + 1} of 5)" for i, name in enumerate(ALL)
    ]
    assert again == done


@pytest.mark.parametrize(
    ("override", "redone"),
    [
        ("train.epochs=13", ALL),
        ("augmentation.cutout_px=4", ALL),
        ("qat.learning_rate=0.5", ALL[1:]),
        ("export.license=CC0-1.0", ALL[2:]),
        ("benchmark.threads=2", ALL[3:]),
    ],
)
def test_a_changed_setting_redoes_its_stage_and_what_follows(
    override: str, redone: list[str], bench: Any
) -> None:
    bench.pipeline()
    before = {name: bench.run.digest(name) for name in ALL}
    bench.set(override)
    bench.pipeline()
    assert bench.ran == redone
    assert override.partition("=")[0] in "\n".join(bench.messages)
    for name in set(ALL) - set(redone):
        assert bench.run.digest(name) == before[name]
    kept = sorted(path.name.partition("-")[0] for path in (bench.run.path / "previous").iterdir())
    assert kept == sorted(redone)
    assert bench.run.load_recipe() == bench.recipe
    bench.pipeline()
    assert bench.ran == []


def test_overwrite_makes_all_again_and_keeps_the_old(bench: Any) -> None:
    first = bench.pipeline()
    bench.pipeline(overwrite=True)
    assert bench.ran == ALL
    kept = {p.name.partition("-")[0]: p for p in (bench.run.path / "previous").iterdir()}
    assert kept.keys() == set(ALL)
    assert results.load_result(kept["train"], "train") == first["train"]


def test_leaving_qat_out_and_taking_it_in_again(bench: Any) -> None:
    bench.pipeline()
    bench.set("qat.epochs=0")
    bench.pipeline()
    assert bench.ran == ["export", "benchmark", "report"]
    assert "export (2 of 4): running (qat is no longer part of the recipe)" in bench.messages
    bench.set()
    bench.pipeline()
    assert bench.ran == ["export", "benchmark", "report"]
    assert "export (3 of 5): running (qat is new)" in bench.messages


def test_a_failed_stage_is_continued_and_what_was_finished_stands(bench: Any) -> None:
    bench.failing = "qat"
    with pytest.raises(MtfError, match="power"):
        bench.pipeline()
    assert bench.run.is_finished("train")
    assert not bench.run.is_finished("qat")
    bench.failing = None
    bench.pipeline()
    assert bench.ran == ALL[1:]
    assert "qat (2 of 5): running (unfinished)" in bench.messages
    assert bench.content("qat") == "continued"
    assert bench.content("train") == "fresh"


def test_a_stage_that_cannot_be_continued_starts_afresh(bench: Any) -> None:
    bench.failing = "export"
    with pytest.raises(MtfError):
        bench.pipeline()
    left = bench.run.begin("export", StageSettings(settings={}, inputs={}))
    (left / "half.tflite").write_bytes(b"x")  # killed
    bench.failing = None
    bench.pipeline()
    assert [p.name for p in sorted(bench.run.stage("export").iterdir())] == [
        "file.txt",
        "result.json",
    ]


@pytest.mark.parametrize("moment", ["after the result", "before the result", "after the rename"])
def test_killed_while_it_is_put_in_place(
    moment: str, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    def rename_and_kill(path: Path, target: Path) -> None:
        path.rename(target)
        kill()

    with monkeypatch.context() as patch:
        if moment == "before the result":
            patch.setattr(results, "save_result", kill)
        elif moment == "after the result":
            patch.setattr(RunFolder, "commit", kill)
        else:
            patch.setattr(folder, "rename", rename_and_kill)
        with pytest.raises(KeyboardInterrupt):
            bench.one("train")
    bench.one("train", resume=True)
    assert bench.content("train") == ("fresh" if moment == "after the rename" else "continued")
    assert bench.run.load_stage("train").files.keys() == {"file.txt"}


def test_a_first_try_that_lost_nothing_is_not_in_the_way(bench: Any) -> None:
    bench.run.begin("train", StageSettings(settings={"seed": 0}, inputs={}))  # without an epoch
    bench.one("train")
    assert bench.content("train") == "fresh"


def test_an_unfinished_stage_is_neither_lost_nor_continued_unasked(bench: Any) -> None:
    bench.failing = "train"
    with pytest.raises(MtfError):
        bench.one("train")
    bench.failing = None
    with pytest.raises(UsageError, match="unfinished train; --resume continues it"):
        bench.one("train")
    bench.set("train.epochs=99")
    saved = bench.run.load_recipe()
    with pytest.raises(UsageError, match=r"train\.epochs: 12 there, 99 asked"):
        bench.one("train", resume=True)
    with pytest.raises(UsageError, match="was begun with other settings"):
        bench.pipeline()
    assert bench.run.load_recipe() == saved
    assert bench.run.has_checkpoint("train")
    bench.set()
    done = bench.one("train", resume=True)
    assert bench.content("train") == "continued"
    assert done.wall_time_s == 600  # of all epochs, although this process took no time


def test_changed_settings_are_continued_with_where_that_is_asked_for(bench: Any) -> None:
    bench.failing = "train"
    with pytest.raises(MtfError):
        bench.pipeline()
    bench.set("train.epochs=99")
    with pytest.raises(UsageError, match=r"12 there, 99 asked.*--allow-changes.*remove that"):
        bench.pipeline()
    with pytest.raises(MtfError, match="power"):
        bench.pipeline(allow_changes=True)
    bench.set("train.epochs=99", "train.learning_rate=0.05")
    with pytest.raises(UsageError, match="--resume continues"):
        bench.one("train", allow_changes=True)
    bench.failing = None
    done = bench.one("train", resume=True, allow_changes=True)
    assert bench.content("train") == "continued"
    assert done.settings["train"]["epochs"] == 99
    assert done.metrics.changed_on_the_way == (
        "train.epochs: 12 there, 99 asked",
        "train.learning_rate: 0.1 there, 0.05 asked",
    )
    bench.one("train", resume=True)
    assert bench.ran == []
    assert bench.one("train", overwrite=True).metrics.changed_on_the_way == ()


@pytest.mark.parametrize(
    ("stage", "change"),
    [
        ("train", "train.optimizer=adamw"),
        ("train", "train.ema_decay=0.9"),
        ("qat", "qat.optimizer=adamw"),
    ],
)
def test_what_the_checkpoint_depends_on_does_not_change_on_the_way(
    stage: str, change: str, bench: Any
) -> None:
    bench.failing = stage
    with pytest.raises(MtfError):
        bench.pipeline()
    bench.set(change)
    with pytest.raises(UsageError) as caught:
        bench.pipeline(allow_changes=True)
    assert f"({change.partition('=')[0]} cannot change on the way)" in str(caught.value)
    assert "--allow-changes" not in str(caught.value)
    bench.set()
    bench.failing = None
    bench.pipeline()
    assert bench.content(stage) == "continued"


def test_another_average_is_a_change_to_go_on_with(bench: Any) -> None:
    bench.set("train.ema_decay=0.9")
    bench.failing = "train"
    with pytest.raises(MtfError):
        bench.pipeline()
    bench.set("train.ema_decay=0.99")
    bench.failing = None
    bench.pipeline(allow_changes=True)
    assert bench.content("train") == "continued"


def test_overwrite_starts_an_unfinished_stage_over(bench: Any) -> None:
    bench.failing = "train"
    with pytest.raises(MtfError):
        bench.one("train")
    (bench.run.partial("train") / SETTINGS_FILE).write_text("{")
    bench.failing = None
    with pytest.raises(MtfError, match=r"settings\.json is damaged"):
        bench.one("train", resume=True)
    bench.one("train", overwrite=True)
    assert bench.content("train") == "fresh"
    (kept,) = (bench.run.path / "previous").iterdir()
    assert (kept / CHECKPOINT_FILE).read_text() == "epoch 1"


def test_a_continuation_that_fails_at_once_leaves_what_it_found(bench: Any) -> None:
    bench.failing = "train"
    with pytest.raises(MtfError):
        bench.one("train")
    recipe = bench.run.load_recipe()
    settings = bench.run.partial_settings("train")
    precision = bench.run.partial("train") / PRECISION_FILE
    precision.write_text("as it was")
    bench.set("train.learning_rate=0.05")
    bench.failing = "at once"
    with pytest.raises(MtfError):
        bench.one("train", resume=True, allow_changes=True)
    assert bench.run.load_recipe() == recipe
    assert bench.run.partial_settings("train") == settings
    assert precision.read_text() == "as it was"
    bench.set()
    bench.failing = None
    assert bench.one("train", resume=True).metrics.changed_on_the_way == ()


@pytest.mark.parametrize("stage", ["qat", "export"])
def test_the_recipe_on_disk_is_that_of_what_is_there(stage: str, bench: Any) -> None:
    bench.pipeline()
    recipe = bench.run.load_recipe()
    bench.set("qat.learning_rate=0.5", "export.logits=true")
    bench.failing = "at once"
    with pytest.raises(MtfError):
        bench.one(stage, overwrite=True)
    assert bench.run.load_recipe() == recipe


def test_an_interrupted_overwrite_goes_on_without_it(bench: Any) -> None:
    bench.pipeline()
    bench.failing = "train"
    with pytest.raises(MtfError):
        bench.pipeline(overwrite=True)
    bench.failing = None
    bench.pipeline()
    assert bench.ran == ALL
    assert "train (1 of 5): running (making it again is unfinished)" in bench.messages
    assert bench.content("train") == "continued"


def test_an_interrupted_overwrite_with_other_settings_goes_on(bench: Any) -> None:
    bench.one("train")
    bench.set("train.epochs=60")
    bench.failing = "train"
    with pytest.raises(MtfError):
        bench.one("train", overwrite=True)
    bench.failing = None
    with pytest.raises(UsageError, match="unfinished train; --resume continues it"):
        bench.one("train")
    bench.recipe = bench.run.load_recipe()  # as mtf train --out RUN --resume takes it
    done = bench.one("train", resume=True)
    assert bench.content("train") == "continued"
    assert done.settings["train"]["epochs"] == 60


def test_the_way_on_has_the_settings_that_were_asked_for(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = ["mtf", "qat", "my run", "--epochs", "10"]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/mtf", *typed[1:]])
    bench.one("train")
    bench.set("qat.epochs=10")
    bench.failing = "at once"  # before an epoch, and recipe.json is as it was
    with pytest.raises(MtfError):
        bench.one("qat")
    assert go_on_command("qat", make_plan(bench.run, bench.recipe)) == shlex.join(typed)
    bench.failing = "qat"
    with pytest.raises(MtfError):
        bench.one("qat")
    going_on = resume_command("qat", bench.run)
    assert go_on_command("qat", make_plan(bench.run, bench.recipe)) == going_on
    bench.set("qat.epochs=11")  # refused, or not yet begun
    assert go_on_command("qat", make_plan(bench.run, bench.recipe)) == shlex.join(typed)


def test_an_unfinished_qat_of_older_weights_goes_to_previous(bench: Any) -> None:
    bench.failing = "qat"
    with pytest.raises(MtfError):
        bench.pipeline()
    bench.failing = None
    bench.one("train", overwrite=True)
    bench.pipeline()
    assert bench.content("qat") == "fresh"
    assert any("begun from other weights" in message for message in bench.messages)
    assert any(p.name.startswith("qat.partial-") for p in (bench.run.path / "previous").iterdir())


def test_a_single_stage_does_not_change_a_finished_one_unasked(bench: Any) -> None:
    bench.pipeline()
    bench.one("qat")
    assert bench.ran == []
    assert "nothing to do" in bench.messages[0]
    bench.set("qat.epochs=9")
    with pytest.raises(UsageError, match=r"finished qat with other settings \(qat\.epochs: 2"):
        bench.one("qat")
    assert bench.ran == []
    bench.one("qat", overwrite=True)
    assert bench.ran == ["qat"]
    with pytest.raises(UsageError, match=r"needs export, which is out of date .*export-tflite"):
        bench.one("benchmark")
    bench.one("export")
    bench.one("benchmark")


def test_a_stage_without_what_it_needs_names_the_command(bench: Any) -> None:
    with pytest.raises(UsageError, match=r"qat needs train, which has not been run.*mtf train"):
        bench.one("qat")
    bench.failing = "train"
    with pytest.raises(MtfError):
        bench.one("train")
    with pytest.raises(UsageError, match=r"needs train, which has not finished .*--resume"):
        bench.one("export")
    assert bench.ran == []
    bench.set("qat.epochs=0")
    with pytest.raises(UsageError, match=r"qat\.epochs is 0.*--epochs"):
        bench.one("qat")


def test_a_missing_file_is_made_again_and_a_changed_one_is_not_trusted(bench: Any) -> None:
    bench.pipeline()
    (bench.run.stage("export") / "file.txt").unlink()
    bench.pipeline()
    assert bench.ran == ["export", "benchmark", "report"]
    assert "export (3 of 5): running (file.txt is missing)" in bench.messages
    (bench.run.stage("train") / "file.txt").write_text("other weights")
    with pytest.raises(MtfError, match=r"train.file\.txt is damaged .*make that stage again"):
        bench.pipeline()
    with pytest.raises(MtfError, match=r"train.file\.txt is damaged"):
        bench.one("qat", overwrite=True)
    assert bench.ran == []
    bench.pipeline(overwrite=True)
    assert bench.ran == ALL


def test_a_stage_removed_by_hand_is_made_again_with_what_follows(bench: Any) -> None:
    bench.pipeline()
    shutil.rmtree(bench.run.stage("qat"))
    bench.pipeline()
    assert bench.ran == ALL[1:]


@pytest.mark.parametrize(
    ("stage", "command"),
    [
        ("train", "mtf train --out 'my run' --resume"),
        ("qat", "mtf qat 'my run' --resume"),
        ("export", "mtf export-tflite 'my run'"),
        ("report", "mtf report 'my run'"),
    ],
)
def test_the_way_on_can_be_typed_as_it_stands(stage: str, command: str) -> None:
    assert resume_command(stage, RunFolder(Path("my run"))) == command
    with_data = resume_command(stage, RunFolder(Path("my run")), Path("d"))
    assert with_data == f"{command} --data-dir d"
