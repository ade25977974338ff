from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from mobilenet_tf.cli.doctor import list_datasets
from mobilenet_tf.cli.main import run_command
from mobilenet_tf.system import doctor, hardware
from mobilenet_tf.system.doctor import Check

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch

NAMES = ("TFDS_DATA_DIR", "TF_USE_LEGACY_KERAS", "TF_ENABLE_ONEDNN_OPTS")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: Patch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor, "DATA_SERVER", "http://127.0.0.1:9/")  # nobody listens: offline


@pytest.fixture
def _loading_interpreter(monkeypatch: Patch) -> None:
    """Skip the loading of LiteRT, which takes seconds."""
    monkeypatch.setattr(doctor, "python_command", lambda _: [sys.executable, "-c", "pass"])


def find(checks: Iterator[Check] | list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def pretend_versions(monkeypatch: Patch, **versions: str | None) -> None:
    """Let packages have other versions, or none; names as in Python."""
    real = metadata.version

    def version(name: str) -> str:
        if name.replace("-", "_") in versions:
            found = versions[name.replace("-", "_")]
            if found is None:
                raise metadata.PackageNotFoundError(name)
            return found
        return real(name)

    monkeypatch.setattr(metadata, "version", version)


@pytest.mark.slow
def test_this_machine_is_fit_to_run_the_tests() -> None:
    assert [check for check in doctor.examine() if check.level == "problem"] == []


@pytest.mark.usefixtures("_loading_interpreter")
def test_every_check_that_is_not_ok_has_a_fix(monkeypatch: Patch, tmp_path: Path) -> None:
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "no")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nowhere"))
    pretend_versions(monkeypatch, tensorflow="2.15.0", importlib_resources=None)
    checks = doctor.examine()
    bad = [check for check in checks if check.level != "ok"]
    assert len(bad) >= 5
    assert all(check.fix for check in bad)


@pytest.mark.parametrize("version", ["3.9.18", "3.14.0"])
def test_an_unsupported_python_is_a_problem(monkeypatch: Patch, version: str) -> None:
    monkeypatch.setattr(doctor.platform, "python_version", lambda: version)
    check = find(doctor.check_versions(), "python")
    assert check.level == "problem"
    assert ">=3.10" in check.detail
    assert "virtual environment" in check.fix


def test_a_tensorflow_out_of_range_is_a_problem_with_its_command(monkeypatch: Patch) -> None:
    pretend_versions(monkeypatch, tensorflow="2.15.0")
    check = find(doctor.check_versions(), "tensorflow")
    assert check.level == "problem"
    assert "2.15.0 is installed" in check.detail
    assert check.fix.startswith("pip install 'tensorflow")


def test_packages_that_conflict_are_a_problem(monkeypatch: Patch) -> None:
    requires = {doctor.PROJECT: ["a"], "a": ["b<2", "c; extra == 'x'"]}
    monkeypatch.setattr(metadata, "requires", requires.get)
    pretend_versions(monkeypatch, a="1.0", b="2.1")
    assert [check for check in doctor.check_versions() if check.level != "ok"] == [
        Check("b", "problem", "2.1 is installed; a 1.0 needs b<2", "pip install 'b<2'")
    ]


def test_an_interpreter_that_kills_its_process_is_a_problem(monkeypatch: Patch) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
    monkeypatch.setattr(doctor, "python_command", lambda _: [sys.executable, "-c", code])
    (check,) = doctor.check_interpreter()
    assert check.level == "problem"
    assert "SIGILL" in check.detail


def test_requirements_are_read_from_the_installed_package(monkeypatch: Patch) -> None:
    real = metadata.requires
    lines = ["tensorflow>=99", "nothing-of-ours; python_version < '3'", "pytest; extra == 'test'"]
    monkeypatch.setattr(
        metadata, "requires", lambda name: lines if name == doctor.PROJECT else real(name)
    )
    needed, origin = doctor.find_requirements()
    assert ([each.name for each in needed], origin) == (["python", "tensorflow"], "installed")
    assert find(doctor.check_versions(), "tensorflow").level == "problem"


@pytest.mark.parametrize(
    ("value", "level"),
    [(None, "ok"), ("1", "ok"), ("True", "ok"), ("0", "warning"), ("", "warning")],
)
def test_legacy_keras_variable(monkeypatch: Patch, value: str | None, level: str) -> None:
    if value is not None:
        monkeypatch.setenv("TF_USE_LEGACY_KERAS", value)
    assert find(doctor.check_variables(), "TF_USE_LEGACY_KERAS").level == level


def test_onednn_turned_off_is_a_warning(monkeypatch: Patch) -> None:
    assert [check.name for check in doctor.check_variables()] == ["TF_USE_LEGACY_KERAS"]
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert find(doctor.check_variables(), "TF_ENABLE_ONEDNN_OPTS").level == "warning"


@pytest.mark.parametrize(
    ("features", "level", "shown"),
    [
        (frozenset({"avx", "avx2", "avx512_vnni", "amx_tile"}), "ok", "AVX2, AVX-512 VNNI, AMX"),
        (frozenset({"avx"}), "warning", "without AVX2"),
        (frozenset({"sse2"}), "problem", "without AVX"),
        (None, "ok", "cannot be read"),
    ],
)
def test_x86_features(
    monkeypatch: Patch, features: frozenset[str] | None, level: str, shown: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(doctor, "read_cpu_features", lambda: features)
    check = find(doctor.check_cpu(), "cpu")
    assert check.level == level
    assert shown in check.detail


def test_arm_features(monkeypatch: Patch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert hardware.list_features(frozenset({"asimd", "asimddp", "i8mm", "avx2"})) == [
        "NEON",
        "dot product",
        "i8mm",
    ]


def test_containers_limit_cores_and_memory(monkeypatch: Patch, tmp_path: Path) -> None:
    free, total = hardware.memory_bytes()
    assert 0 < free <= total
    monkeypatch.setattr(hardware, "_CGROUP", tmp_path)
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    (tmp_path / "memory.max").write_text(f"{64 << 20}\n")
    (tmp_path / "memory.current").write_text(f"{60 << 20}\n")
    assert hardware.usable_cores() == 1
    assert hardware.memory_bytes() == (4 << 20, 64 << 20)
    assert find(doctor.check_room(tmp_path), "memory").level == "problem"
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert hardware.usable_cores() >= 1
    assert hardware.memory_bytes()[1] == total


@pytest.mark.parametrize(("free_gib", "level"), [(5, "ok"), (0.5, "warning"), (0.01, "problem")])
def test_room_on_the_disk(monkeypatch: Patch, tmp_path: Path, free_gib: float, level: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free_gib * 2**30))
    out = tmp_path / "not" / "yet" / "there"
    assert find(doctor.check_room(out), f"runs in {out}").level == level


def test_an_out_below_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check, *_ = doctor.check_room(tmp_path / "file" / "runs")
    assert check.level == "problem"
    assert str(tmp_path / "file") in check.detail


def test_tfds_data_dir(monkeypatch: Patch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for value, level in (
        (tmp_path, "ok"),
        (tmp_path / "nowhere", "warning"),
        (tmp_path / "file", "problem"),
        (" ", "warning"),
    ):
        monkeypatch.setenv("TFDS_DATA_DIR", str(value))
        assert find(doctor.check_variables(), "TFDS_DATA_DIR").level == level


def test_datasets_that_are_ready_downloadable_or_unreachable(tmp_path: Path) -> None:
    version = tmp_path / "cifar10" / "3.0.2"
    version.mkdir(parents=True)
    (version / "dataset_info.json").write_text("{}")
    datasets = list_datasets(tmp_path)
    online = list(doctor.check_datasets(datasets, tmp_path, lambda: True))
    assert str(version) in find(online, "cifar10").detail
    assert find(online, "cifar100").level == "ok"
    offline = list(doctor.check_datasets(datasets, tmp_path, lambda: False))
    assert find(offline, "cifar10").level == "ok"
    assert find(offline, "cifar100").level == "warning"
    assert "mtf datasets prepare cifar100" in find(offline, "cifar100").fix
    assert find(offline, "digits").level == "ok"


@pytest.mark.usefixtures("_loading_interpreter")
def test_a_missing_library_does_not_stop_the_examination(monkeypatch: Patch) -> None:
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    checks = doctor.examine()
    assert find(checks, "versions").level == "problem"
    assert find(checks, "memory")


@pytest.mark.usefixtures("_loading_interpreter")
def test_the_command_prints_and_fails_with_a_problem(
    monkeypatch: Patch, capsys: Capture, tmp_path: Path
) -> None:
    assert run_command(["doctor", "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "fine" in captured.out.splitlines()[-1]
    monkeypatch.setenv("TFDS_DATA_DIR", str(Path(__file__)))
    assert run_command(["doctor", "--out", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("problem  TFDS_DATA_DIR")
    assert "1 problem" in captured.err
    assert run_command(["doctor", "--out", str(tmp_path), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert {check["level"] for check in answer["checks"]} >= {"ok", "problem"}


@pytest.mark.slow
def test_it_does_not_load_tensorflow(tmp_path: Path) -> None:
    program = (
        "import sys; from mobilenet_tf.cli.main import run_command;"
        "code = run_command(sys.argv[1:]);"
        "heavy = {'tensorflow', 'tf_keras', 'tensorflow_datasets'} & set(sys.modules);"
        "sys.exit(code or ', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "doctor", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
