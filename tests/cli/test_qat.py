from __future__ import annotations

import json
from pathlib import Path

import pytest

from mobilenet_tf.cli import options
from mobilenet_tf.cli.main import run_command
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.runs.folder import CHECKPOINT_FILE, RunFolder


def qat(*arguments: object) -> int:
    return run_command(["qat", *map(str, arguments)])


@pytest.mark.slow
def test_a_run_that_never_finished_training(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (finished_run / "qat").rename(finished_run / "old")
    (finished_run / "train").rename(finished_run / "train.partial")
    assert qat(finished_run) == 2
    said = capsys.readouterr().err
    assert "qat needs train, which has not finished" in said
    assert f"mtf train --out {finished_run} --resume" in said
    assert not (finished_run / "qat.partial").exists()


def test_no_run_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert qat(tmp_path / "missing") == 2
    assert "the folder does not exist" in capsys.readouterr().err
    assert qat(tmp_path) == 2
    assert "is not the folder of a run" in capsys.readouterr().err
    assert qat("") == 2
    assert "empty" in capsys.readouterr().err
    (tmp_path / "file").write_bytes(b"x")
    assert qat(tmp_path / "file") == 2
    assert "is not the folder of a run" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "0"], "--epochs"),
        (["--optimizer", "adam"], "did you mean 'adamw'"),
        (["--learning-rate", "nan"], "qat.learning_rate is nan"),
        (["--learning-rate", "0"], "qat.learning_rate is 0"),
        (["--no-distill", "--temperature", "4"], "give --distill too"),
        (["--distill", "--temperature", "0"], "qat.distill_temperature"),
        (["--batch-size", "500"], "qat.batch_size 500 is larger than the 448 training images"),
    ],
)
def test_a_wrong_option_is_named_and_changes_nothing(
    arguments: list[str], words: str, finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = (finished_run / "recipe.json").read_bytes()
    assert qat(finished_run, *arguments) == 2
    assert words in capsys.readouterr().err
    assert (finished_run / "recipe.json").read_bytes() == recipe


@pytest.mark.slow
def test_damaged_float_weights_are_not_built_on(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = finished_run / "train" / "v1_005_r32_b2_float32.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert qat(finished_run, "--overwrite") == 1
    said = capsys.readouterr().err
    assert str(weights) in said
    assert "is damaged" in said
    assert RunFolder(finished_run).is_finished("qat")


@pytest.mark.slow
def test_a_damaged_recipe_is_named(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (finished_run / "recipe.json").write_bytes(b'{"seed": 1')
    assert qat(finished_run) == 1
    assert "recipe.json is damaged" in capsys.readouterr().err


@pytest.mark.slow
def test_done_again_with_other_settings_only_when_asked(
    finished_run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(finished_run)
    train = run.digest("train")
    assert qat(finished_run) == 0
    assert "qat: up to date" in capfd.readouterr().out
    other = ("--learning-rate", "0.02", "--distill", "--temperature", "4")
    assert qat(finished_run, *other) == 2
    assert "qat.learning_rate: 0.002 there, 0.02 asked" in capfd.readouterr().err
    assert qat(finished_run, *other, "--overwrite", "--json") == 0
    said = capfd.readouterr()
    assert "the float network teaches, at temperature 4" in said.err
    result = json.loads(said.out)
    settings = result["settings"]["qat"]
    assert settings["learning_rate"] == 0.02
    assert (settings["distill_share"], settings["distill_temperature"]) == (1.0, 4.0)
    assert result["inputs"] == {"train": train}
    assert len(list((finished_run / "previous").glob("qat-*"))) == 1
    assert not (run.stage("qat") / CHECKPOINT_FILE).exists()
    assert run.load_recipe().qat.learning_rate == 0.02


@pytest.mark.parametrize(
    ("held", "arguments", "given"),
    [
        (0.0, [], {}),
        (0.0, ["--distill"], {"qat.distill_share": 1.0}),
        (0.3, ["--distill"], {"qat.distill_share": 0.3}),
        (0.3, ["--temperature", "2"], {"qat.distill_temperature": 2.0}),
        (0.3, ["--no-distill"], {"qat.distill_share": 0.0}),
    ],
)
def test_distillation_is_an_option(
    held: float, arguments: list[str], given: dict[str, float], tmp_path: Path, monkeypatch
) -> None:
    RunFolder(tmp_path / "run").claim(load_recipe("quickstart", (f"qat.distill_share={held}",)))
    seen: list[dict[str, float]] = []
    monkeypatch.setattr(options, "run_verb", lambda *call, **_: seen.append(call[2]))
    assert qat(tmp_path / "run", *arguments) == 0
    assert seen == [given]
