from __future__ import annotations

import json
from pathlib import Path

import pytest

from mobilenet_tf.cli import options
from mobilenet_tf.cli.main import run_command
from mobilenet_tf.files import hash_file
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.folder import PRECISION_FILE, RunFolder

TINY = ["--dataset", "synthetic", "--alpha", "0.05", "--validation", "64", "--epochs", "1"]
TINY += ["--batch-size", "64", "--block-count", "2"]


def train(*arguments: object) -> int:
    return run_command(["train", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--alpha", "nan"], "model.alpha"),
        (["--alpha", "half"], "--alpha"),
        (["--resolution", "31.5"], "--resolution"),
        (["--resolution", "2000"], "model.resolution_px"),
        (["--dataset", "cifar"], "'cifar10'"),
        (["--model", "mobilenet"], "'mobilenet_v1'"),
        (["--optimizer", "adam"], "'adamw'"),
        (["--validation", "50000"], "data.validation_count"),
        (["--set", "train.progressive_px=[20]"], "train.progressive_px"),
        (["--set", "augmentation.flip=none"], "augmentation.flip"),
        (["--teacher", "nowhere"], "train.teacher"),
        (["--precision", "bf16"], "train.precision"),
        (["--epochs", "0"], "train.epochs"),
        (["--epochs", "1000000000000"], "train.epochs"),
        (["--seed", "9" * 5000], "seed"),
        (["--set", "seed=" + "[" * 10_000], "seed"),
        (["--recipe", "nothing"], "'nothing'"),
        (["--resume"], "no run at"),
        (["--set", "qat.epoch=1"], "'qat.epochs'"),
    ],
)
def test_a_wrong_option_is_named_and_leaves_nothing(
    arguments: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(*arguments, "--out", tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert named in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_set_wins_over_an_option_wherever_it_stands(tmp_path: Path, monkeypatch) -> None:
    seen: list[Recipe] = []
    monkeypatch.setattr(
        options, "run_stage", lambda stage, run, recipe, *_, **__: seen.append(recipe)
    )
    assert train("--set", "train.epochs=3", "--epochs", "4", "--seed", "2") == 0
    assert train("--epochs", "4", "--set", "train.epochs=3", "--no-deterministic") == 0
    assert [recipe.train.epochs for recipe in seen] == [3, 3]
    assert [recipe.seed for recipe in seen] == [2, 1]


@pytest.mark.slow
def test_a_full_disk_ends_in_a_sentence_and_the_next_try_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resource = pytest.importorskip("resource", reason="needs POSIX resource limits")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, hard))
    try:
        code = train(*TINY, "--out", tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capsys.readouterr().err
    assert code == 1, said
    assert "error: cannot write" in said
    assert "checkpoint.safetensors" in said
    assert "free some space" in said
    run = RunFolder(tmp_path / "run")
    assert not run.is_finished("train")
    assert not list(run.path.rglob(".*.mtf-tmp"))

    assert train(*TINY, "--out", run.path, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["stage"] == "train"
    assert result["metrics"]["selection"] == "validation"
    assert run.load_stage("train").files.keys() >= {
        "history.csv",
        "v1_005_r32_b2_float32.safetensors",
    }


@pytest.mark.slow
def test_a_finished_training_is_not_done_again_nor_overwritten_unasked(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = RunFolder(finished_run).digest("train")
    assert train("--out", finished_run, "--resume") == 0
    assert "train: up to date" in capsys.readouterr().out
    assert train("--out", finished_run, "--resume", "--epochs", 3) == 2
    said = capsys.readouterr().err
    assert "train.epochs: 2 there, 3 asked" in said
    assert "--overwrite" in said
    assert train("--out", finished_run, "--resume", "--dataset", "digits") == 2
    assert "holds another run" in capsys.readouterr().err
    assert RunFolder(finished_run).digest("train") == digest


@pytest.mark.slow
def test_overwrite_keeps_the_old_training_and_validation_0_says_what_was_kept(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(finished_run)
    old = run.digest("train")
    options = ["--set", "train.learning_rate=0.1", "--epochs", "1"]
    assert train("--out", finished_run, "--resume", *options, "--overwrite") == 0
    kept = list((finished_run / "previous").glob("train-*"))
    assert len(kept) == 1
    assert RunFolder(finished_run / "previous").digest(kept[0].name) == old
    assert run.load_stage("train").metrics.epochs_done == 1
    assert f"Next: mtf qat {finished_run}" in capsys.readouterr().out
    assert run_command(["benchmark", str(finished_run)]) == 2
    assert "out of date" in capsys.readouterr().err


@pytest.mark.slow
def test_all_images_may_be_trained_on_and_the_result_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*TINY, "--validation", "0", "--resolution", "16", "--out", tmp_path / "run"]
    assert train(*arguments, "--precision", "auto", "--json") == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert (metrics["selection"], metrics["best_epoch"]) == ("last epoch", 1)
    assert (metrics["validation_count"], metrics["validation_top1"]) == (0, None)
    assert metrics["precision"]["asked"] == "auto"
    assert not (tmp_path / "run" / "train" / PRECISION_FILE).exists()


def test_a_recipe_brings_its_dataset_and_an_option_wins(tmp_path: Path, capsys) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text('[data]\nname = "cifar100"\n')
    nowhere = ["--data-dir", tmp_path / "data", "--out", tmp_path / "run"]
    assert train("--recipe", recipe, *nowhere) == 2
    assert "does not hold cifar100" in capsys.readouterr().err
    assert train("--recipe", recipe, "--dataset", "cifar10", *nowhere) == 2
    assert "does not hold cifar10;" in capsys.readouterr().err
    assert train(*nowhere) == 2
    assert "does not hold cifar10;" in capsys.readouterr().err


@pytest.mark.slow
def test_a_finished_run_teaches_another_and_the_result_names_its_weights(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*TINY, "--epochs", "3", "--set", "augmentation.crop_padding_px=2"]
    parts = ["train.progressive_px=[16]", "train.progressive_share=0.4"]
    parts += ["train.recalibrate_batch_norm_count=64", "augmentation.cutmix_alpha=1"]
    parts += ["augmentation.flip=alternating", "augmentation.strong_share=0.5"]
    options += [word for part in parts for word in ("--set", part)]
    student = tmp_path / "student"
    assert train(*options, "--teacher", finished_run, "--out", student, "--json") == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert f"v1_005_r32_b2 of {finished_run} teaches, at temperature 2" in said.err
    assert "held out" not in said.err  # the same split
    assert " 16 px " in said.err
    weights = finished_run / "train" / "v1_005_r32_b2_float32.safetensors"
    assert result["inputs"] == {"teacher": hash_file(weights)}
    metrics = result["metrics"]
    assert metrics["recalibration_count"] == 64
    assert metrics.keys() >= {"validation_top1", "validation_top1_before_recalibration"}
    assert train("--out", student, "--resume") == 0
    assert "train: up to date" in capsys.readouterr().out


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_in_a_sentence_and_the_way_on_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [
        *TINY,
        "--epochs",
        "3",
        "--set",
        "train.progressive_px=[]",
        "--out",
        tmp_path / "run",
    ]
    wild = [
        "--learning-rate",
        "100",
        "--set",
        "train.warmup_share=0",
        "--set",
        "train.weight_decay=10",
    ]
    assert train(*options, *wild) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "a lower train.learning_rate" in said
    assert train(*options, "--learning-rate", "0.01") == 0
