from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mobilenet_tf import __version__
from mobilenet_tf.errors import MtfError
from mobilenet_tf.runs import provenance
from mobilenet_tf.runs.results import (
    StageResult,
    TrainMetrics,
    load_result,
    record_files,
    save_result,
)
from mobilenet_tf.system import hardware


@pytest.fixture
def result(make_result: Any, tmp_path: Path) -> StageResult[TrainMetrics]:
    """Return the result of a stage of one file, and save it in `tmp_path`."""
    (tmp_path / "a.bin").write_bytes(b"12")
    result: StageResult[TrainMetrics] = make_result("train", tmp_path)
    save_result(result, tmp_path)
    return result


def test_a_result_comes_back_as_it_was_written(result: StageResult, tmp_path: Path) -> None:
    assert load_result(tmp_path, "train") == result
    text = (tmp_path / "result.json").read_text("utf-8")
    assert text.endswith("}\n")
    assert json.loads(text)["metrics"]["validation_top1"] is None


@pytest.mark.usefixtures("result")
@pytest.mark.parametrize("keep", [0, 1, 100, -3])
def test_a_truncated_result_is_damaged(keep: int, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(MtfError, match=r"result\.json is damaged .*make that stage again"):
        load_result(tmp_path, "train")


@pytest.mark.parametrize(
    "content",
    ["[]", "3", "null", "{}", '{"versions": []}', '{"versions": {"mobilenet_tf": 3}}', "\x00\xff"],
)
def test_a_result_that_is_something_else_is_damaged(content: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(content, "latin-1")
    with pytest.raises(MtfError, match=r"result\.json is damaged .*make that stage again"):
        load_result(tmp_path, "train")


@pytest.mark.usefixtures("result")
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("wall_time_s", "long"),
        ("stage", "qat"),
        ("machine.cores", -1),
        ("files.a.bin.sha256", "00"),
        ("metrics.best_epoch", None),
        ("metrics.validation_top1", 1.5),
        ("metrics.selection", "luck"),
        ("metrics.fit_time_s", -1),
        ("metrics.parameters", 10**400),
    ],
)
def test_an_edited_field_is_refused_by_name(path: str, value: object, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    content = json.loads(file.read_text())
    section, keys = content, path.replace("a.bin", "a_bin").split(".")
    for key in keys[:-1]:
        section = section[key.replace("a_bin", "a.bin")]
    section[keys[-1]] = value
    file.write_text(json.dumps(content))
    with pytest.raises(MtfError, match=rf"result\.json is damaged .*{keys[-1]}"):
        load_result(tmp_path, "train")


def test_a_result_of_another_series_is_refused_by_its_version(
    result: StageResult, tmp_path: Path
) -> None:
    save_result(replace(result, versions={"mobilenet_tf": "0.0.7"}), tmp_path)
    with pytest.raises(MtfError) as caught:
        load_result(tmp_path, "train")
    message = str(caught.value)
    assert "mobilenet-tf 0.0.7" in message
    assert __version__ in message
    assert "--overwrite" in message
    assert "damaged" not in message


def test_a_result_of_another_patch_release_stays_readable(
    result: StageResult, tmp_path: Path
) -> None:
    patch = ".".join([*__version__.split(".")[:2], "99"])
    save_result(replace(result, versions={"mobilenet_tf": patch}), tmp_path)
    assert load_result(tmp_path, "train").versions["mobilenet_tf"] == patch


def test_files_are_recorded_by_content_and_working_files_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").mkdir()
    for name in ("result.json", "settings.json", "a.bin", "tensorboard/events"):
        (tmp_path / name).write_bytes(b"abc")
    found = record_files(tmp_path, leave_out=("settings.json",))
    assert found.keys() == {"a.bin", "tensorboard/events"}
    assert found["a.bin"].size_bytes == 3
    assert found["a.bin"].sha256.startswith("ba7816bf")


def test_what_decides_a_result_is_described() -> None:
    versions = provenance.describe_versions()
    assert versions["mobilenet_tf"] == __version__
    assert all(versions[name] for name in ("python", "tensorflow", "tf_keras", "numpy"))
    machine = hardware.describe_machine()
    assert machine["cores"] >= 1
    assert machine["memory_gib"] > 0


@pytest.mark.parametrize("program", ["/usr/bin/mtf", "/lib/mobilenet_tf/__main__.py"])
def test_the_command_can_be_typed_again(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["train", "--set", "train.progressive_px=[16, 24]", "--out", "my run"]
    monkeypatch.setattr(sys, "argv", [program, *words])
    assert shlex.split(provenance.describe_command()) == ["mtf", *words]


def test_the_commit_is_none_where_there_is_no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance.find_commit() is None
