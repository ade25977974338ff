"""The log of a training run: one row an epoch, to history.csv, TensorBoard and the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mobilenet_tf.errors import MtfError
from mobilenet_tf.files import write_text
from mobilenet_tf.system.duration import format_duration

HISTORY_FILE = "history.csv"
COLUMNS = (
    "epoch",
    "loss",
    "accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
    "resolution_px",
    "images_per_s",
    "epoch_s",
)


def save_history(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write history.csv, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / HISTORY_FILE, text.getvalue())


def load_history(folder: Path) -> list[dict[str, float | None]]:
    """Return the rows of history.csv; a validation column is None where there was none."""
    with (folder / HISTORY_FILE).open(newline="", encoding="utf-8") as file:
        return [
            {name: float(text) if text else None for name, text in row.items()}
            for row in csv.DictReader(file)
        ]


def log_scalars(folder: Path, row: dict[str, Any]) -> None:
    """Append one epoch to the TensorBoard log below `folder`.

    Raises:
        MtfError: it cannot be written.
    """
    from mobilenet_tf.keras import tf  # here, since the report reads histories without TensorFlow

    log = folder / "tensorboard"
    try:
        writer = tf.summary.create_file_writer(str(log))
        with writer.as_default(step=int(row["epoch"])):
            for name, value in row.items():
                if name != "epoch" and value is not None:
                    tf.summary.scalar(name, value)
        writer.close()
    except tf.errors.OpError as error:  # what TensorFlow's files raise in place of OSError
        raise MtfError(
            f"cannot write {log}: {error.message.splitlines()[0]}; make room there, then go on with"
            " --resume"
        ) from error


def epochs_left(epoch: int, epochs: int, sides: Callable[[float], int] | None) -> float:
    """Return how many times as long as `epoch`, counted from 0, the epochs after it will take."""

    def pixels(of_epoch: int) -> int:
        return sides(of_epoch / epochs) ** 2 if sides else 1

    return sum(map(pixels, range(epoch + 1, epochs))) / pixels(epoch)


def format_epoch(label: str, row: dict[str, Any], epochs: int, left_s: float = 0.0) -> str:
    """Return the line that stays on the terminal after an epoch; `left_s` is for those to come."""
    line = (
        f"{label} {row['epoch']:>{len(str(epochs))}}/{epochs}  loss {row['loss']:.4f}"
        f"  accuracy {row['accuracy']:.2%}"
    )
    if row.get("validation_accuracy") is not None:
        line += f"  validation {row['validation_accuracy']:.2%}"
    if row.get("resolution_px"):
        line += f"  {row['resolution_px']} px"
    line += f"  {row['images_per_s']:,.0f} images/s  {row['epoch_s']:.0f} s"
    return f"{line}  about {format_duration(left_s)} to go" if left_s >= 1 else line
