"""One trial in a process of its own: the same function here and on a cluster.

The process reads its job from standard input, and ends when that is closed: whoever waits for it
may die at any moment, and leaves nobody behind.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import threading
from pathlib import Path

import msgspec

from mobilenet_tf.data.training import load_training_data
from mobilenet_tf.errors import BusyError, MtfError
from mobilenet_tf.pipeline.plan import Rerun, make_plan
from mobilenet_tf.pipeline.runner import run_one, run_pipeline
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.records import Record
from mobilenet_tf.system import terminal
from mobilenet_tf.system.interrupt import remember_interrupts

BUSY_EXIT_CODE = 75  # EX_TEMPFAIL: another process has the run


class Job(Record, frozen=True, kw_only=True):
    """A run to be brought up to date; float training alone, or all of it."""

    folder: str
    recipe: Recipe
    data_dir: str | None = None
    training_alone: bool = False
    cores: tuple[int, ...] = ()  # that its process may use; all for none
    images: str = ""  # the `digest_images` of whoever sent it; empty on the same machine

    @property
    def name(self) -> str:
        """The name of the run."""
        return Path(self.folder).name


def digest_images(job: Job) -> str:
    """Return a digest of the training and validation images that a job finds on this machine."""
    data = load_training_data(job.recipe, Path(job.data_dir) if job.data_dir else None)
    return hashlib.sha256(repr(sorted(data.fingerprints.items())).encode()).hexdigest()[:12]


def run_trial(job: Job) -> None:
    """Do what is missing or out of date of a run.

    Raises:
        BusyError: another process is at work in it.
        MtfError: a stage failed, or the images are other ones than the job's.
    """
    if job.images and (found := digest_images(job)) != job.images:
        raise MtfError(
            f"{socket.gethostname()} has other images of {job.recipe.data.name} ({found}) than the"
            f" sweep ({job.images}); give every node the same files"
        )
    run = RunFolder(Path(job.folder))
    plan = make_plan(run, job.recipe, data_dir=Path(job.data_dir) if job.data_dir else None)
    with run.lock(plan.recipe):
        if job.training_alone:
            run_one("train", plan, Rerun(resume=True))
        else:
            run_pipeline(plan)


def main() -> None:
    """Do the job on standard input; the last line on standard error says what went wrong."""
    remember_interrupts()
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if job.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job.cores)
    try:
        with terminal.set_up(quiet=True):
            run_trial(job)
    except BusyError:
        sys.exit(BUSY_EXIT_CODE)
    except MtfError as error:
        terminal.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


def _end_with_parent() -> None:
    """End this process, as kill -9 would, once the other end of standard input is gone."""
    while os.read(0, 1):  # not by sys.stdin, whose lock would be held when this process ends
        pass
    os._exit(1)
