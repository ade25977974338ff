from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mobilenet_tf.cli.main import run_command
from mobilenet_tf.data.catalog import DATASETS

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A folder that holds something called cifar10, prepared."""
    version = tmp_path / "cifar10" / "3.0.2"
    version.mkdir(parents=True)
    (version / "dataset_info.json").write_text("{}")
    return tmp_path


def test_the_list_says_what_there_is_and_where(capsys: Capture, prepared: Path) -> None:
    assert run_command(["datasets", "--json", "--data-dir", str(prepared)]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(DATASETS)
    assert rows["cifar10"]["path"] == str(prepared / "cifar10" / "3.0.2")
    assert [name for name, row in rows.items() if not row["ready"]] == ["cifar100"]
    assert rows["cifar10"]["classes"][3] == "cat"
    assert run_command(["datasets", "--data-dir", str(prepared)]) == 0
    text = capsys.readouterr().out
    assert f"mtf datasets prepare cifar100 --data-dir {prepared}" in text
    assert "50,000" in text


@pytest.mark.parametrize("before", [True, False])
def test_preparing_what_is_there_does_nothing(
    capsys: Capture, prepared: Path, before: bool
) -> None:
    place = ["--data-dir", str(prepared)]
    words = [*place, "prepare", "cifar10"] if before else ["prepare", "cifar10", *place]
    assert run_command(["datasets", *words]) == 0
    assert f"cifar10 is ready: prepared in {prepared}" in capsys.readouterr().out


def test_prepare_prints_json_alone(capsys: Capture) -> None:
    assert run_command(["datasets", "prepare", "digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ready"] is True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prepare", "cifar11"], "did you mean 'cifar10'"),
        (["prepare"], "NAME"),
        (["cifar10"], "mtf datasets prepare cifar10"),
        (["list"], "known: prepare"),
    ],
)
def test_wrong_turns_say_what_to_type(capsys: Capture, words: list[str], message: str) -> None:
    assert run_command(["datasets", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_file_is_no_place_for_datasets(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.touch()
    assert run_command(["datasets", "prepare", "cifar10", "--data-dir", str(file)]) == 2
    assert f"{file} is a file" in capsys.readouterr().err


def test_the_list_does_not_load_tensorflow() -> None:
    program = (
        "import sys; from mobilenet_tf.cli.main import run_command;"
        "code = run_command(['datasets']);"
        "heavy = {'tensorflow', 'tensorflow_datasets', 'sklearn'} & set(sys.modules);"
        "sys.exit(code or ', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
