from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from mobilenet_tf.cli.main import run_command
from mobilenet_tf.runs.folder import CHECKPOINT_FILE, RunFolder

STAGES = ("train", "qat", "export", "benchmark", "report")
MTF = [sys.executable, "-c", "from mobilenet_tf.cli.main import main; main()"]
Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Return a function that runs a command line which must fail in a sentence."""

    def run(*arguments: object, code: int, words: tuple[str, ...]) -> str:
        assert run_command([str(argument) for argument in arguments]) == code
        said = capsys.readouterr()
        assert said.err.lower().lstrip().startswith(("error:", "usage:"))
        for word in words:
            assert word in said.err
        assert "Traceback" not in said.err
        return said.err

    return run


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("model.alpa=1", ("'model.alpa'", "'model.alpha'")),
        ("model.alpha=wide", ("model.alpha", "'wide'")),
        ("train.epochs=1000000000000", ("train.epochs",)),
        ("epochs=3", ("'train.epochs'",)),
        ("model.alpha=0", ("model.alpha is 0",)),
        ("model.alpha=-1", ("model.alpha is -1",)),
        ("model.alpha=nan", ("model.alpha is nan",)),
        ("model.resolution_px=0", ("model.resolution_px is 0",)),
        ("model.resolution_px=31.5", ("model.resolution_px is 31.5",)),
        ("data.name=digitz", ("'digitz'", "did you mean 'digits'")),
        ("model.name=mobilnet_v1", ("'mobilnet_v1'", "did you mean 'mobilenet_v1'")),
    ],
)
def test_a_wrong_setting_leaves_no_folder(
    setting: str, words: tuple[str, ...], refused: Refused, tmp_path: Path
) -> None:
    refused("run", "--set", setting, "--out", tmp_path / "run", code=2, words=words)
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_that_is_none(refused: Refused, tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(bytes(range(256)))
    out = ("--out", tmp_path / "run")
    refused("run", tmp_path, *out, code=2, words=("no folder of images",))
    refused("run", "folder", *out, code=2, words=("FOLDER does not exist",))
    refused("run", binary, *out, code=2, words=("binary.toml is not a recipe in TOML",))
    refused("run", "quikstart", *out, code=2, words=("'quikstart'", "did you mean 'quickstart'"))
    refused("run", "x" * 5000, *out, code=2, words=("neither a file nor a name",))
    assert not (tmp_path / "run").exists()


def test_an_out_that_cannot_be(refused: Refused, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused("run", "--out", "", code=2, words=("--out", "empty"))
    refused("run", "--out", "x" * 5000, code=2, words=("--out", "cannot be a folder"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "thesis.tex").write_text("precious")
    refused("run", "--out", tmp_path, code=2, words=("holds no run", "--out"))
    refused("run", "--out", tmp_path / "thesis.tex", code=2, words=("is a file",))
    under = tmp_path / "thesis.tex" / "run"
    refused("run", "--out", under, code=1, words=("cannot write", str(under)))
    if Path("/proc/self").is_dir():
        refused("run", "--out", "/proc/run", code=1, words=("cannot write /proc/run",))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.slow
def test_an_out_that_holds_another_run(refused: Refused, finished_run: Path, tiny_options) -> None:
    before = files_of(finished_run)
    words = ("holds another run", "seed: 1 there, 2 asked", "--out")
    refused("run", *tiny_options, "--set", "seed=2", "--out", finished_run, code=2, words=words)
    refused("run", "--out", finished_run, code=2, words=("'synthetic' there, 'digits' asked",))
    assert files_of(finished_run) == before


@pytest.mark.slow
def test_the_finished_run_has_everything_and_nothing_else(finished_run: Path) -> None:
    assert sorted(p.name for p in finished_run.iterdir() if not p.name.startswith(".")) == sorted(
        [*STAGES, "recipe.json"]
    )
    for stage in STAGES:
        result = json.loads((finished_run / stage / "result.json").read_text())
        assert result["stage"] == stage
        present = {
            p.relative_to(finished_run / stage).as_posix()
            for p in (finished_run / stage).rglob("*")
            if p.is_file()
        }
        assert present == {"result.json", *result["files"]}
    names = {p.name for p in (finished_run / "export").iterdir()}
    assert "v1_005_r32_b2_int8_qat.tflite" in names


@pytest.mark.slow
def test_again_skips_everything_and_says_so(
    finished_run: Path, tiny_options, capfd: pytest.CaptureFixture[str]
) -> None:
    before = files_of(finished_run)
    assert run_command(["run", *tiny_options, "--out", str(finished_run)]) == 0
    said = capfd.readouterr().out
    assert said.count("): skipped (same settings, same inputs, files intact)") == len(STAGES)
    best = RunFolder(finished_run).load_stage("export").metrics.best
    for file in (best, *best.twins):
        assert str(finished_run / "export" / file.file) in said
    assert str(finished_run / "report" / "report.html") in said
    assert f"mtf try {finished_run}" in said
    assert f"mtf app {finished_run} --for all" in said
    assert files_of(finished_run) == before


@pytest.mark.slow
def test_json_is_all_that_stands_on_standard_output(
    finished_run: Path, tiny_options, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["run", *tiny_options, "--out", str(finished_run), "--json"]) == 0
    said = capfd.readouterr()
    run = json.loads(said.out)
    assert run["stages"].keys() == set(STAGES) - {"report"}
    assert run["recipe"]["data"]["name"] == "synthetic"
    assert "train (1 of 5): skipped" in said.err


@pytest.mark.slow
@pytest.mark.parametrize(
    "file", ["train/result.json", "train/v1_005_r32_b2_float32.safetensors", "qat/result.json"]
)
def test_a_damaged_run_is_named_and_not_touched(
    file: str, refused: Refused, finished_run: Path, tiny_options
) -> None:
    path = finished_run / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    before = files_of(finished_run)
    words = (str(path), "is damaged", "make that stage again")
    refused("run", *tiny_options, "--out", finished_run, code=1, words=words)
    assert files_of(finished_run) == before


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_not_trained_over(
    refused: Refused, finished_run: Path, tiny_options
) -> None:
    settings = json.loads((finished_run / "train" / "result.json").read_text())
    partial = (finished_run / "train").rename(finished_run / "train.partial")
    (partial / "result.json").unlink()
    content = {"settings": settings["settings"], "inputs": settings["inputs"]}
    (partial / "settings.json").write_text(json.dumps(content))
    (partial / CHECKPOINT_FILE).write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{half")
    words = (str(partial / CHECKPOINT_FILE), "is damaged", "remove it")
    refused("run", *tiny_options, "--out", finished_run, code=1, words=words)
    assert (partial / CHECKPOINT_FILE).is_file()


def test_no_network_and_no_data(refused: Refused, tmp_path: Path, monkeypatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    words = ("cifar10 is not on this machine", "--data-dir", "mtf run quickstart")
    refused("run", "cifar10", "--out", tmp_path / "run", code=1, words=words)
    # the mistake is no hindrance: another dataset may use the folder
    refused(*("run", "cifar100", "--out", tmp_path / "run"), code=1, words=("cifar100 is not on",))


def test_a_data_dir_without_the_dataset(refused: Refused, tmp_path: Path) -> None:
    arguments = ("run", "cifar10", "--data-dir", tmp_path / "data", "--out", tmp_path / "run")
    words = (f"{tmp_path / 'data'} does not hold cifar10", "mtf datasets prepare cifar10")
    refused(*arguments, code=2, words=words)


class Story:
    """A deterministic training in a process of its own, read line by line."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*MTF, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def wait_for_epoch(self, epoch: int) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if re.match(rf"train +{epoch}/", line):
                return
        raise AssertionError(f"epoch {epoch} never came: {self.process.communicate()}")

    def interrupt(self) -> tuple[int, str, str]:
        """Press Ctrl-C, and again if it fell where Python drops exceptions (in a destructor)."""
        for _ in range(3):
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                out, err = self.process.communicate(timeout=3)
                return self.process.returncode, out, err
        return self.finish()

    def finish(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


@pytest.mark.slow
def test_interrupted_then_killed_then_resumed_ends_with_equal_bytes(tmp_path: Path) -> None:
    options = ["--deterministic", "--dataset", "synthetic", "--alpha", "0.05", "--epochs", "12"]
    options += ["--block-count", "1", "--validation", "64", "--batch-size", "64"]
    options += ["--seed", str(2**31 - 1), "--dropout", "0.2"]
    for setting in ("augmentation.mixup_alpha=0.2", "augmentation.cutout_px=8"):
        options += ["--set", setting]
    options += ["--set", "train.ema_decay=0.9"]
    weights = Path("train") / "v1_005_r32_b1_float32.safetensors"
    whole = Story("train", *options, "--out", str(tmp_path / "whole"))
    story = Story("train", *options, "--out", str(tmp_path / "broken"))
    story.wait_for_epoch(2)
    start = time.monotonic()
    code, _, said = story.interrupt()
    assert time.monotonic() - start < 10
    assert code == 130, said
    assert "Traceback" not in said
    resume = shlex.split(said.strip().rsplit("Go on with: ", 1)[1])
    assert resume == ["mtf", "train", "--out", str(tmp_path / "broken"), "--resume"]
    story = Story(*resume[1:])
    story.wait_for_epoch(4)
    story.process.kill()
    assert story.finish()[0] == -signal.SIGKILL
    assert not (tmp_path / "broken" / "train").exists()

    code, out, err = Story(*resume[1:]).finish()
    assert code == 0, err
    continued = re.search(r"continuing after epoch (\d+) of 12", out)
    assert continued is not None
    assert int(continued[1]) >= 4
    assert whole.finish()[0] == 0
    assert (tmp_path / "broken" / weights).read_bytes() == (
        tmp_path / "whole" / weights
    ).read_bytes()
    left = {p.name for p in (tmp_path / "broken" / "train").rglob("*") if p.is_file()}
    assert not [name for name in left if name.endswith(".mtf-tmp") or name in (CHECKPOINT_FILE,)]
