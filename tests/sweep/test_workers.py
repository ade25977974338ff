"""Workers, with a stand-in for the trial: what a process does is told by the name of its run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from mobilenet_tf.errors import MtfError
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.sweep import workers
from mobilenet_tf.sweep.trial import Job
from mobilenet_tf.sweep.workers import LocalWorkers

STAND_IN = """
import json, os, pathlib, signal, sys, time
job = json.loads(sys.stdin.readline())
folder = pathlib.Path(job["folder"])
folder.mkdir(parents=True, exist_ok=True)
times = len(list(folder.iterdir()))
(folder / str(times)).write_text(json.dumps(job["cores"]))
what = folder.name
if what == "fails": print("noise\\nerror: it is broken", file=sys.stderr); sys.exit(1)
if what == "busy" and not times: sys.exit(75)
if what == "killed" and not times or what == "doomed": os.kill(os.getpid(), signal.SIGKILL)
if what == "greedy": hog = bytearray(300_000_000); time.sleep(30)
if what.startswith("sleeps"): time.sleep(30)
time.sleep(0.3)
"""


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_CHILD", f"exec({STAND_IN!r})")
    monkeypatch.setattr(workers, "BUSY_S", 0.1)
    monkeypatch.setattr(workers, "END_S", 0.5)


def make_jobs(folder: Path, *names: str) -> list[Job]:
    return [Job(folder=str(folder / name), recipe=Recipe()) for name in names]


def test_a_failure_ends_no_other(tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, "fails", "a", "b", "busy", "killed", "doomed")
    done = {o.job.name: o.reason for o in LocalWorkers(2, tmp_path / "logs").run(jobs)}
    assert done == {
        "fails": "it is broken", "a": "", "b": "", "busy": "", "killed": "",
        "doomed": "killed by signal 9, twice",
    }  # fmt: skip
    assert {name: len(list((tmp_path / name).iterdir())) for name in done} == {
        "fails": 1, "a": 1, "b": 1, "busy": 2, "killed": 2, "doomed": 2,
    }  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
def test_workers_share_the_cores(tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("needs two cores")
    list(LocalWorkers(2, tmp_path / "logs").run(make_jobs(tmp_path, "a", "b")))
    used = [core for name in "ab" for core in json.loads((tmp_path / name / "0").read_text())]
    assert sorted(used) == cores[: len(cores) // 2 * 2]
    list(LocalWorkers(2, tmp_path / "logs").run(make_jobs(tmp_path, "c")))
    assert (tmp_path / "c" / "0").read_text() == "[]"  # alone, it has all


def test_a_trial_is_no_part_of_a_larger_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", "{}")
    monkeypatch.setattr(workers, "_CHILD", "import os, sys; sys.exit('TF_CONFIG' in os.environ)")
    (outcome,) = LocalWorkers(1, tmp_path / "logs").run(make_jobs(tmp_path, "a"))
    assert outcome.reason == ""


def test_one_that_takes_more_than_its_memory_is_ended(tmp_path: Path) -> None:
    few = LocalWorkers(1, tmp_path / "logs")
    few.memory_bytes = 100_000_000
    (outcome,) = few.run(make_jobs(tmp_path, "greedy"))
    assert "0.1" in outcome.reason
    assert "--workers" in outcome.reason


def test_a_full_disk_ends_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, 1))
    with pytest.raises(MtfError, match="nearly full"):
        list(LocalWorkers(1, tmp_path / "logs").run(make_jobs(tmp_path, "a")))
    assert not (tmp_path / "a").exists()


def test_time_that_is_up_ends_what_is_at_work(tmp_path: Path) -> None:
    jobs = make_jobs(tmp_path, "a", "sleeps", "sleeps_too")
    started = time.monotonic()
    done = list(LocalWorkers(2, tmp_path / "logs").run(jobs, until=started + 2))
    assert {o.job.name: o.reason for o in done} == {
        "a": "", "sleeps": "out of time", "sleeps_too": "out of time",
    }  # fmt: skip
    assert time.monotonic() - started < 8


@pytest.mark.slow
def test_workers_end_with_the_sweep(tmp_path: Path) -> None:
    """kill -9 of the parent: the real trial's watch, on a job that waits for its lock."""
    code = (
        "import time, pathlib; from mobilenet_tf.sweep import workers, trial;"
        "from mobilenet_tf.recipe import Recipe;"
        'workers._CHILD = "from mobilenet_tf.sweep import trial; import time;'
        ' trial.run_trial = lambda job: time.sleep(60); trial.main()";'
        f"list(workers.LocalWorkers(1, pathlib.Path({str(tmp_path)!r})).run("
        f"[trial.Job(folder={str(tmp_path / 'sleeps')!r}, recipe=Recipe())]))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])

    deadline = time.monotonic() + 60
    while not (found := psutil.Process(parent.pid).children()) and time.monotonic() < deadline:
        time.sleep(0.2)
    (child,) = found
    time.sleep(5)  # until it has read its job
    assert child.is_running()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    psutil.wait_procs([child], timeout=20)
    assert not child.is_running()
