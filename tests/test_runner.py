"""The runner with the real stage table and stages that only write a file."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mobilenet_tf import results, runner, stages
from mobilenet_tf.artifacts import weights_name
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.recipe import Recipe, load_recipe
from mobilenet_tf.results import StageResult
from mobilenet_tf.run_folder import CHECKPOINT_FILE, SETTINGS_FILE, WORKING_FILES, RunFolder
from mobilenet_tf.runner import resume_command
from mobilenet_tf.stages import Outcome, Work


class Bench:
    """A run folder, the recipe to run in it, and what happened."""

    def __init__(self, path: Path) -> None:
        self.run = RunFolder(path)
        self.recipe = load_recipe("quickstart")
        self.ran: list[str] = []
        self.messages: list[str] = []
        self.failing: str | None = None
        self.count = 0
        self.run.claim(self.recipe)

    def work(self, stage: str) -> Callable[[Work], Outcome]:
        def do(work: Work) -> Outcome:
            self.ran.append(stage)
            checkpoint = work.folder / CHECKPOINT_FILE
            text = "continued" if checkpoint.exists() else "fresh"
            if stage in ("train", "qat"):
                checkpoint.write_text("epoch 1")
            if self.failing == stage:
                raise MtfError("the power went out")
            (work.folder / "file.txt").write_text(text)
            self.count += 1  # no two results are equal, as no two trainings take the same time
            return Outcome(
                {"inputs": sorted(work.inputs), "count": self.count}, {"train": "fingerprint"}
            )

        return do

    def set(self, *overrides: str) -> None:
        self.recipe = load_recipe("quickstart", overrides)

    def pipeline(
        self, *, overwrite: bool = False, allow_changes: bool = False
    ) -> dict[str, StageResult]:
        self.ran, self.messages = [], []
        return runner.run_pipeline(
            self.run,
            self.recipe,
            data_dir=None,
            overwrite=overwrite,
            allow_changes=allow_changes,
            echo=self.messages.append,
            progress=False,
        )

    def one(
        self,
        name: str,
        *,
        resume: bool = False,
        overwrite: bool = False,
        allow_changes: bool = False,
    ) -> StageResult:
        self.ran, self.messages = [], []
        return runner.run_one(
            name,
            self.run,
            self.recipe,
            data_dir=None,
            resume=resume,
            overwrite=overwrite,
            allow_changes=allow_changes,
            echo=self.messages.append,
            progress=False,
        )

    def content(self, stage: str) -> str:
        return (self.run.stage(stage) / "file.txt").read_text()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path / "run")
    table = tuple(replace(stage, run=bench.work(stage.name)) for stage in stages.STAGES)
    monkeypatch.setattr(stages, "STAGES", table)
    monkeypatch.setattr(runner, "STAGES", table)
    return bench


ALL = ["train", "qat", "export", "benchmark", "report"]


def test_everything_runs_once_and_the_second_time_says_what_it_skips(bench: Bench) -> None:
    done = bench.pipeline()
    assert bench.ran == ALL
    assert done["benchmark"].metrics["inputs"] == ["export", "qat", "train"]
    assert done["train"].data == {"train": "fingerprint"}
    assert done["train"].files.keys() == {"file.txt"}
    again = bench.pipeline()
    assert bench.ran == []
    assert bench.messages == [
        f"{n}: skipped (same settings, same inputs, files intact)" for n in ALL
    ]
    assert again == done


@pytest.mark.parametrize(
    ("override", "redone"),
    [
        ("train.epochs=13", ALL),
        ("augmentation.cutout_px=4", ALL),
        ("deterministic=true", ALL),
        ("qat.learning_rate=0.5", ALL[1:]),
        ("export.io_type=uint8", ALL[2:]),
        ("benchmark.threads=2", ALL[3:]),
    ],
)
def test_a_changed_setting_redoes_its_stage_and_what_follows(
    override: str, redone: list[str], bench: Bench
) -> None:
    bench.pipeline()
    before = {name: bench.run.digest(name) for name in ALL}
    bench.set(override)
    bench.pipeline()
    assert bench.ran == redone
    assert f"{redone[0]}: running (" in "\n".join(bench.messages)
    assert override.partition("=")[0] in "\n".join(bench.messages)
    for name in set(ALL) - set(redone):
        assert bench.run.digest(name) == before[name]
    kept = sorted(path.name.partition("-")[0] for path in (bench.run.path / "previous").iterdir())
    assert kept == sorted(redone)
    assert bench.run.load_recipe() == bench.recipe
    bench.pipeline()
    assert bench.ran == []


def test_overwrite_makes_all_again_and_keeps_the_old(bench: Bench) -> None:
    first = bench.pipeline()
    bench.pipeline(overwrite=True)
    assert bench.ran == ALL
    kept = {p.name.partition("-")[0]: p for p in (bench.run.path / "previous").iterdir()}
    assert kept.keys() == set(ALL)
    assert results.load_result(kept["train"]) == first["train"]


def test_leaving_qat_out_and_taking_it_in_again(bench: Bench) -> None:
    bench.pipeline()
    bench.set("qat.epochs=0")
    bench.pipeline()
    assert bench.ran == ["export", "benchmark", "report"]
    assert "qat: left out (qat.epochs is 0)" in bench.messages
    assert "export: running (qat is no longer part of the recipe)" in bench.messages
    bench.set()
    bench.pipeline()
    assert bench.ran == ["export", "benchmark", "report"]
    assert "export: running (qat is new)" in bench.messages


def test_a_failed_stage_is_continued_and_what_was_finished_stands(bench: Bench) -> None:
    bench.failing = "qat"
    with pytest.raises(MtfError, match="power"):
        bench.pipeline()
    assert bench.run.is_finished("train")
    assert not bench.run.is_finished("qat")
    bench.failing = None
    bench.pipeline()
    assert bench.ran == ALL[1:]
    assert "qat: running (unfinished)" in bench.messages
    assert bench.content("qat") == "continued"
    assert bench.content("train") == "fresh"


def test_a_stage_that_cannot_be_continued_starts_afresh(bench: Bench) -> None:
    bench.failing = "export"
    with pytest.raises(MtfError):
        bench.pipeline()
    (bench.run.partial("export") / "half.tflite").write_bytes(b"x")
    bench.failing = None
    bench.pipeline()
    assert [p.name for p in sorted(bench.run.stage("export").iterdir())] == [
        "file.txt",
        "result.json",
    ]


@pytest.mark.parametrize("moment", ["after the result", "before the result", "after the rename"])
def test_killed_while_it_is_put_in_place(
    moment: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    def rename_and_kill(path: Path, target: Path) -> None:
        rename(path, target)
        kill()

    with monkeypatch.context() as patch:
        if moment == "before the result":
            patch.setattr(results, "save_result", kill)
        elif moment == "after the result":
            patch.setattr(RunFolder, "commit", kill)
        else:
            patch.setattr(Path, "rename", rename_and_kill)
        with pytest.raises(KeyboardInterrupt):
            bench.one("train")
    bench.one("train", resume=True)
    assert bench.content("train") == ("fresh" if moment == "after the rename" else "continued")
    assert bench.run.load_stage("train").files.keys() == {"file.txt"}


def test_a_first_try_that_lost_nothing_is_not_in_the_way(bench: Bench) -> None:
    bench.run.begin("train", {"seed": "typo"})  # failed before its first epoch
    bench.one("train")
    assert bench.content("train") == "fresh"


def test_an_unfinished_stage_is_neither_lost_nor_continued_unasked(bench: Bench) -> None:
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
    bench.one("train", resume=True)
    assert bench.content("train") == "continued"


def test_changed_settings_are_continued_with_where_that_is_asked_for(bench: Bench) -> None:
    bench.failing = "train"
    with pytest.raises(MtfError):
        bench.pipeline()
    bench.set("train.epochs=99")
    with pytest.raises(UsageError, match=r"12 there, 99 asked.*--allow-changes.*--overwrite"):
        bench.pipeline()
    with pytest.raises(MtfError, match="power"):
        bench.pipeline(allow_changes=True)
    assert "train: going on with other settings (train.epochs: 12 there, 99 asked)" in (
        bench.messages
    )
    bench.set("train.epochs=99", "train.learning_rate=0.05")
    with pytest.raises(UsageError, match="--resume continues"):
        bench.one("train", allow_changes=True)
    bench.failing = None
    done = bench.one("train", resume=True, allow_changes=True)
    assert bench.content("train") == "continued"
    assert done.settings["train"]["epochs"] == 99
    assert done.metrics["changed_on_the_way"] == [
        "train.epochs: 12 there, 99 asked",
        "train.learning_rate: 0.1 there, 0.05 asked",
    ]
    bench.one("train", resume=True)
    assert bench.ran == []
    assert "changed_on_the_way" not in bench.one("train", overwrite=True).metrics


def make_teacher(path: Path, weights: bytes, *overrides: str) -> RunFolder:
    """Make the folder of a run whose float training has finished."""
    run, recipe = RunFolder(path), load_recipe("quickstart", overrides)
    run.claim(recipe)
    run.begin("train", {})
    (run.partial("train") / weights_name(recipe, "float32")).write_bytes(weights)
    result = StageResult(
        stage="train",
        settings={},
        inputs={},
        versions={},
        commit=None,
        machine={},
        command="mtf train",
        data={},
        metrics={},
        files=results.record_files(run.partial("train"), leave_out=WORKING_FILES),
        started_at="",
        wall_time_s=1.0,
    )
    results.save_result(result, run.partial("train"))
    run.commit("train")
    return run


def test_a_teacher_with_other_weights_makes_what_learned_from_it_out_of_date(bench: Bench) -> None:
    teacher = make_teacher(bench.run.path.parent / "teacher", b"one")
    bench.set(f"train.teacher={teacher.path}")
    inputs = bench.pipeline()["train"].inputs
    assert inputs == {"teacher": hashlib.sha256(b"one").hexdigest()}
    make_teacher(teacher.path, b"one")  # made again, to the same
    bench.pipeline()
    assert bench.ran == []
    make_teacher(teacher.path, b"two")
    with pytest.raises(UsageError, match=r"out of date .*teacher.* has other weights"):
        bench.one("qat", overwrite=True)
    bench.pipeline()
    assert bench.ran == ALL
    assert f"train: running (the teacher {teacher.path} has other weights)" in bench.messages
    shutil.rmtree(teacher.path)  # nothing that was learned is lost with it
    bench.pipeline()
    assert bench.ran == []
    with pytest.raises(UsageError, match=r"train\.teacher .* does not exist"):
        bench.pipeline(overwrite=True)
    bench.set()
    bench.pipeline()
    assert bench.ran == ALL


def test_a_training_begun_with_a_teacher_that_was_made_again_starts_over(bench: Bench) -> None:
    teacher = make_teacher(bench.run.path.parent / "teacher", b"one")
    bench.set(f"train.teacher={teacher.path}")
    bench.failing = "train"
    with pytest.raises(MtfError):
        bench.pipeline()
    bench.failing = None
    make_teacher(teacher.path, b"two")
    bench.pipeline()
    assert bench.content("train") == "fresh"
    assert any("begun from other weights" in message for message in bench.messages)


def test_another_teacher_is_a_changed_setting_of_an_unfinished_training(bench: Bench) -> None:
    bench.failing = "train"
    with pytest.raises(MtfError):
        bench.pipeline()
    bench.failing = None
    teacher = make_teacher(bench.run.path.parent / "teacher", b"one")
    bench.set(f"train.teacher={teacher.path}")
    with pytest.raises(UsageError, match=r"train\.teacher: '' there, .*--allow-changes"):
        bench.pipeline()
    bench.pipeline(allow_changes=True)
    assert bench.content("train") == "continued"


def test_a_run_does_not_teach_itself(bench: Bench) -> None:
    bench.set(f"train.teacher={bench.run.path}")
    with pytest.raises(UsageError, match="is the run itself"):
        bench.one("train")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("missing", "does not exist; give the folder of a finished run"),
        ("empty", "is not the folder of a run"),
        ("unfinished", r"has not finished its training; .*--resume"),
        ("data.name=synthetic", "knows the classes of synthetic, and this run is on digits"),
        ("model.resolution_px=40", "takes pictures of 40 px, .*resolution_px 32"),
    ],
)
def test_who_cannot_teach_is_refused_before_anything_is_begun(
    change: str, words: str, bench: Bench
) -> None:
    path = bench.run.path.parent / "teacher"
    if change == "empty":
        path.mkdir()
    elif change == "unfinished":
        RunFolder(path).claim(bench.recipe)
    elif change != "missing":
        make_teacher(path, b"one", change)
    bench.set(f"train.teacher={path}")
    with pytest.raises(UsageError, match=words):
        bench.one("train")
    assert bench.ran == []
    assert not bench.run.partial("train").exists()


def test_damaged_teachers_are_not_learned_from(bench: Bench) -> None:
    teacher = make_teacher(bench.run.path.parent / "teacher", b"one")
    next(teacher.stage("train").glob("*.safetensors")).write_bytes(b"two")
    bench.set(f"train.teacher={teacher.path}")
    with pytest.raises(MtfError, match="is damaged"):
        bench.one("train")


def test_overwrite_starts_an_unfinished_stage_over(bench: Bench) -> None:
    bench.failing = "train"
    with pytest.raises(MtfError):
        bench.one("train")
    (bench.run.partial("train") / SETTINGS_FILE).write_text("{")
    bench.failing = None
    with pytest.raises(MtfError, match=r"settings\.json is damaged"):
        bench.one("train", resume=True)
    bench.one("train", overwrite=True)
    assert bench.content("train") == "fresh"


def test_an_interrupted_overwrite_goes_on_without_it(bench: Bench) -> None:
    bench.pipeline()
    bench.failing = "train"
    with pytest.raises(MtfError):
        bench.pipeline(overwrite=True)
    bench.failing = None
    bench.pipeline()
    assert bench.ran == ALL
    assert "train: running (making it again is unfinished)" in bench.messages
    assert bench.content("train") == "continued"


def test_an_unfinished_qat_of_older_weights_goes_to_previous(bench: Bench) -> None:
    bench.failing = "qat"
    with pytest.raises(MtfError):
        bench.pipeline()
    bench.failing = None
    bench.one("train", overwrite=True)
    bench.pipeline()
    assert bench.content("qat") == "fresh"
    assert any("begun from other weights" in message for message in bench.messages)
    assert any(p.name.startswith("qat.partial-") for p in (bench.run.path / "previous").iterdir())


def test_a_single_stage_does_not_change_a_finished_one_unasked(bench: Bench) -> None:
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


def test_a_stage_without_what_it_needs_names_the_command(bench: Bench) -> None:
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


def test_a_missing_file_is_made_again_and_a_changed_one_is_not_trusted(bench: Bench) -> None:
    bench.pipeline()
    (bench.run.stage("export") / "file.txt").unlink()
    bench.pipeline()
    assert bench.ran == ["export", "benchmark", "report"]
    assert "export: running (file.txt is missing)" in bench.messages
    (bench.run.stage("train") / "file.txt").write_text("other weights")
    with pytest.raises(MtfError, match=r"train.file\.txt is damaged .*--overwrite"):
        bench.pipeline()
    with pytest.raises(MtfError, match=r"train.file\.txt is damaged"):
        bench.one("qat", overwrite=True)
    assert bench.ran == []
    bench.pipeline(overwrite=True)
    assert bench.ran == ALL


def test_a_stage_removed_by_hand_is_made_again_with_what_follows(bench: Bench) -> None:
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


def test_a_run_of_defaults_is_a_recipe(bench: Bench) -> None:
    assert isinstance(bench.run.load_recipe(), Recipe)
