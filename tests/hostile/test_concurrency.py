"""One writer at a time, and whoever is killed leaves the old or the new, never half of either."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mobilenet_tf import files
from mobilenet_tf.errors import MtfError
from mobilenet_tf.runs.folder import RunFolder, StageSettings
from mobilenet_tf.system.child import python_command
from mobilenet_tf.zoo.folder import lock_zoo, replaced_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="forks"),
]
KILLED = 9


def kill_at(number: int, work: object) -> bool:
    """Do `work` in a copy of this process that dies before its rename `number`; say if it did."""
    child = os.fork()
    if child == 0:
        count = iter(range(1000))
        real = Path.replace

        def replace(path: Path, target: Path) -> Path:
            if next(count) == number:
                os._exit(KILLED)
            return real(path, target)

        Path.replace = replace  # type: ignore[method-assign,assignment]
        try:
            work()  # type: ignore[operator]
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


def test_a_model_of_the_zoo_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    zoo, number = tmp_path / "zoo", 0

    def add() -> None:
        with lock_zoo(zoo), replaced_folder(zoo / "model") as folder:
            files.write_text(folder / "card.json", "new")
            files.write_text(folder / "weights", "new")

    def begin_again() -> None:
        shutil.rmtree(zoo, ignore_errors=True)
        (zoo / "model").mkdir(parents=True)
        for name in ("card.json", "weights"):
            (zoo / "model" / name).write_text("old")

    begin_again()
    while kill_at(number, add):
        with lock_zoo(zoo, timeout_s=0):  # freed by the kernel; the next writer repairs
            pass
        left = {path.name: path.read_text() for path in (zoo / "model").iterdir()}
        assert set(left.values()) in ({"old"}, {"new"}), number
        assert left.keys() == {"card.json", "weights"}
        assert [path.name for path in zoo.iterdir()] == ["model"]
        begin_again()
        number += 1
    assert number == 4  # two files, and two folders


def test_a_stage_is_the_old_or_the_new_one(finished_run: Path, tmp_path: Path) -> None:
    run, number = RunFolder(finished_run), 0
    recipe, kept = run.load_recipe(), tmp_path / "kept"
    shutil.copytree(finished_run, kept)

    def make_again() -> None:
        with run.lock(recipe):
            folder = run.begin("report", StageSettings(settings={}, inputs={}))
            for name in ("result.json", "report.html", "report.md", "report.json"):
                shutil.copy(run.stage("report") / name, folder / name)
            run.commit("report")

    while kill_at(number, make_again):
        with run.lock(recipe):
            pass
        homes = [run.stage("report"), *run.path.glob("previous/report-*")]
        whole = [home for home in homes if (home / "result.json").is_file()]
        assert whole, number
        if run.is_finished("report"):
            run.load_stage("report")
        shutil.rmtree(finished_run)
        shutil.copytree(kept, finished_run)
        number += 1
    assert number == 3  # the settings, previous/, and the stage


def test_two_at_once_add_one(finished_run: Path, tmp_path: Path) -> None:
    code = "from mobilenet_tf.cli.main import main; main()"
    line = ["zoo", "add", str(finished_run), "--out", str(tmp_path / "zoo"), "--name", "mine"]
    started = [
        subprocess.Popen(python_command(code, *line), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=600)[1] for process in started]
    assert sorted(process.returncode for process in started) == [0, 2], told
    assert [path.name for path in (tmp_path / "zoo").iterdir()] == ["mine"]


def test_two_cannot_work_on_one_run(finished_run: Path) -> None:
    run = RunFolder(finished_run)
    recipe = run.load_recipe()
    with (
        run.lock(recipe),
        pytest.raises(MtfError, match="another mtf"),
        RunFolder(finished_run).lock(recipe),
    ):
        pass
