"""The log of a training: a line and a row of TensorBoard scalars for every epoch."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mobilenet_tf.errors import MtfError
from mobilenet_tf.keras import tf
from mobilenet_tf.runs.results import Epoch
from mobilenet_tf.system.duration import format_duration

NOTED_STEPS = 10  # steps between two notes behind the bar


@contextlib.contextmanager
def scalar_log(folder: Path) -> Iterator[Callable[[Epoch], None]]:
    """Yield what appends an epoch to the TensorBoard log of a stage, in its tensorboard/ folder.

    The file is made with the first epoch. MtfError where it cannot be written.
    """
    path = folder / "tensorboard"
    writers: list[Any] = []

    def write(epoch: Epoch) -> None:
        try:
            if not writers:
                writers.append(tf.summary.create_file_writer(str(path)))
            with writers[0].as_default(step=epoch.epoch):
                for name, value in msgspec.structs.asdict(epoch).items():
                    if name != "epoch" and value is not None:
                        tf.summary.scalar(name, value)
            writers[0].flush()
        except tf.errors.OpError as error:  # what TensorFlow's files raise in place of OSError
            raise MtfError(
                f"cannot write {path}: {error.message.splitlines()[0]}; make room there, then"
                " continue with --resume"
            ) from error

    try:
        yield write
    finally:
        for writer in writers:
            writer.close()


class Meter:
    """The figures of an epoch at work, over its steps so far."""

    def __init__(self, steps: int, estimate_left_s: Callable[[float], float]) -> None:
        self.steps = steps
        self.estimate_left_s = estimate_left_s  # seconds of an epoch -> seconds left after it
        self.losses: list[float] = []
        self.accuracies: list[float] = []
        self.image_count = 0
        self.note = ""  # behind the bar
        self.clock = self.traced = time.monotonic()

    @property
    def images_per_s(self) -> float:
        """Images a second, tracing included."""
        return self.image_count / (time.monotonic() - self.clock)

    def add(self, loss: float, accuracy: float, image_count: int) -> None:
        """Count a step; every `NOTED_STEPS` of them, write the note anew."""
        self.losses.append(loss)
        self.accuracies.append(accuracy)
        self.image_count += image_count
        done = len(self.losses) - 1  # without the traced one
        if not done:
            self.traced = time.monotonic()
        if done % NOTED_STEPS and done + 1 < self.steps:
            return
        self.note = (
            f"loss {np.mean(self.losses):.3f}, accuracy {np.mean(self.accuracies):.1%},"
            f" {self.images_per_s:,.0f} images/s"
        )
        if done:
            step_s = (time.monotonic() - self.traced) / done
            left_s = self.estimate_left_s(step_s * self.steps) + step_s * (self.steps - done - 1)
            self.note += f", about {format_duration(left_s)} left"


def format_epoch(
    label: str, epoch: Epoch, epochs: int, left_s: tuple[float, float] = (0.0, 0.0)
) -> str:
    """Return the line that stays on the terminal after an epoch."""
    line = (
        f"{label} {epoch.epoch:>{len(str(epochs))}}/{epochs}  loss {epoch.loss:.4f}"
        f"  accuracy {epoch.accuracy:.2%}"
    )
    if epoch.validation_accuracy is not None:
        line += f"  validation {epoch.validation_accuracy:.2%}"
    if epoch.resolution_px:
        line += f"  {epoch.resolution_px} px"
    line += f"  {epoch.images_per_s:,.0f} images/s  {epoch.epoch_s:.0f} s"
    training_s, command_s = left_s
    if command_s > training_s:
        return f"{line}  about {format_duration(command_s)} left for the whole run"
    return f"{line}  about {format_duration(training_s)} left" if training_s >= 1 else line
