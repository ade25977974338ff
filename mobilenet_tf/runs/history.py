"""The history of a training: one row an epoch, in history.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import msgspec

from mobilenet_tf.files import write_text
from mobilenet_tf.runs.results import Epoch, damaged

HISTORY_FILE = "history.csv"


def save_history(folder: Path, epochs: Sequence[Epoch]) -> None:
    """Write history.csv, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Epoch.__struct_fields__)
    writer.writerows(msgspec.structs.astuple(epoch) for epoch in epochs)  # None is empty
    write_text(folder / HISTORY_FILE, text.getvalue())


def load_history(folder: Path) -> tuple[Epoch, ...]:
    """Return the epochs of history.csv.

    Raises:
        MtfError: it is missing, or a row is damaged.
    """
    path = folder / HISTORY_FILE
    if not path.is_file():
        raise damaged(path, "the file is missing")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{k: v or None for k, v in row.items()} for row in csv.DictReader(file)]
        return msgspec.convert(rows, tuple[Epoch, ...], strict=False)
    except (OSError, UnicodeDecodeError, csv.Error, AttributeError, msgspec.MsgspecError) as error:
        raise damaged(path, str(error)) from error
