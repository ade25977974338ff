"""Trials in processes of this machine, each with cores and memory of its own."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import psutil

from mobilenet_tf.errors import MtfError
from mobilenet_tf.sweep.trial import BUSY_EXIT_CODE, Job
from mobilenet_tf.system import hardware
from mobilenet_tf.system.child import python_command
from mobilenet_tf.system.interrupt import raise_if_interrupted

log = logging.getLogger(__name__)
MEMORY_BYTES = 1_500_000_000  # what a worker should have at least
FREE_DISK_BYTES = 200_000_000  # without which no trial is begun
CLUSTER = ("TF_CONFIG", "SLURM_STEP_NUM_TASKS")  # what would make a trial part of a larger training
POLL_S, BUSY_S, END_S = 0.2, 5.0, 10.0
LOGS = "logs"
_CHILD = "from mobilenet_tf.sweep.trial import main; main()"


@dataclass(frozen=True)
class Outcome:
    """What became of a job; `reason` is empty where it is done."""

    job: Job
    reason: str = ""


class Workers(Protocol):
    """Where trials run."""

    count: int

    def run(self, jobs: Sequence[Job], until: float = float("inf")) -> Iterator[Outcome]:
        """Yield the outcome of each job as it ends, `until` a time of `time.monotonic`.

        Raises:
            MtfError: nothing more can be run here.
        """


@dataclass
class _Worker:
    """A process at work on a job."""

    job: Job
    slot: int
    process: subprocess.Popen[bytes]
    log: Path


class LocalWorkers:
    """Processes of this machine; a trial each."""

    def __init__(self, count: int | None, logs: Path) -> None:
        cores = hardware.usable_cores()
        free_bytes, total_bytes = hardware.memory_bytes()
        self.count = count or max(1, min(cores, free_bytes // MEMORY_BYTES))
        self.memory_bytes = total_bytes // self.count
        self.logs = logs
        ids = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        each = max(1, len(ids) // self.count)
        self.cores = [
            tuple(ids[i * each % len(ids) :][:each]) if ids else () for i in range(self.count)
        ]

    def run(self, jobs: Sequence[Job], until: float = float("inf")) -> Iterator[Outcome]:
        """Yield the outcome of each job as it ends; a killed one goes on once, from its checkpoint.

        Raises:
            MtfError: the disk is nearly full.
        """
        waiting = deque((job, 0.0) for job in jobs)  # and when it can be tried
        again: set[str] = set()
        free, at_work = list(range(self.count)), list[_Worker]()
        try:
            while waiting or at_work:
                raise_if_interrupted()
                for _ in range(min(len(free), len(waiting))):
                    job, not_before = waiting.popleft()
                    if not_before > time.monotonic():
                        waiting.append((job, not_before))
                    else:
                        at_work.append(self._start(job, free.pop(0), alone=len(jobs) == 1))
                time.sleep(POLL_S)
                if time.monotonic() > until:
                    yield from (Outcome(w.job, "out of time") for w in at_work)
                    yield from (Outcome(job, "out of time") for job, _ in waiting)
                    return
                for worker in [w for w in at_work if self._has_ended(w)]:
                    at_work.remove(worker)
                    free.append(worker.slot)
                    code, name = worker.process.returncode, worker.job.name
                    if code == BUSY_EXIT_CODE:
                        log.info("%s: another sweep is at work on it; waiting", name)
                        waiting.append((worker.job, time.monotonic() + BUSY_S))
                    elif code < 0 and name not in again:
                        log.warning("%s: killed by signal %d; going on with it", name, -code)
                        again.add(name)
                        waiting.appendleft((worker.job, 0.0))
                    else:
                        yield Outcome(worker.job, _explain(worker) if code else "")
        finally:
            _stop(at_work)

    def _start(self, job: Job, slot: int, *, alone: bool) -> _Worker:
        """Start a process; one that is alone has all cores."""
        self.logs.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self.logs).free < FREE_DISK_BYTES:
            raise MtfError(
                f"the disk of {self.logs.parent} is nearly full: less than"
                f" {FREE_DISK_BYTES / 1e6:.0f} MB are free; free some space and run the same"
                " command again"
            )
        cores = () if alone else self.cores[slot]
        environment = {name: value for name, value in os.environ.items() if name not in CLUSTER}
        if cores:
            environment["TF_NUM_INTRAOP_THREADS"] = str(len(cores))
        path = self.logs / f"{job.name}.log"
        with path.open("ab") as file:
            process = subprocess.Popen(  # noqa: S603  # our own code
                python_command(_CHILD),
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the sweep, which ends its workers
            )
        assert process.stdin is not None  # noqa: S101  # a pipe
        line = msgspec.json.encode(msgspec.structs.replace(job, cores=cores))
        try:
            process.stdin.write(line + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended already: its log says why
        log.info("%s: running", job.name)
        return _Worker(job, slot, process, path)

    def _has_ended(self, worker: _Worker) -> bool:
        """Tell whether a process has ended; one that takes more than its memory is killed."""
        if worker.process.poll() is not None:
            return True
        try:
            taken = psutil.Process(worker.process.pid).memory_info().rss
        except psutil.Error:
            return False
        if taken > self.memory_bytes:
            with worker.log.open("a") as file:
                file.write(
                    f"\nerror: it took {taken / 1e9:.1f} GB, and a worker has"
                    f" {self.memory_bytes / 1e9:.1f}; give fewer --workers or a smaller batch\n"
                )
            worker.process.kill()
            worker.process.wait()
            worker.process.returncode = 1
            return True
        return False


def _explain(worker: _Worker) -> str:
    """Return why a process failed: its last line, which is an error of ours or Python's."""
    lines = worker.log.read_text("utf-8", "replace").strip().splitlines()
    code = worker.process.returncode
    said = lines[-1].removeprefix("error: ") if lines else ""
    if code < 0:
        return f"killed by signal {-code}, twice"
    return said or f"exit code {code}; see {worker.log}"


def _stop(workers: Sequence[_Worker]) -> None:
    """End processes as kill -9 would; what they have finished is on disk."""
    for worker in workers:
        if worker.process.stdin is not None:
            worker.process.stdin.close()
    for worker in workers:
        try:
            worker.process.wait(END_S)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
