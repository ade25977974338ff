"""Validation images that an export keeps for looking at its file with `mtf try`."""

from __future__ import annotations

from pathlib import Path

from mobilenet_tf.files import read_json
from mobilenet_tf.runs.records import Record

EXAMPLES_FILE = "examples.json"


class Example(Record, frozen=True, kw_only=True):
    """An image as the file is given it, a PNG file, with its class and the file's answer."""

    image: bytes
    label: str
    predicted: str


def load_examples(folder: Path) -> tuple[Example, ...]:
    """Return the images that an export kept; none where it had no validation images.

    Raises:
        MtfError: the file is damaged.
    """
    path = folder / EXAMPLES_FILE
    fix = "make the files again with mtf export-tflite RUN --overwrite"
    return read_json(path, tuple[Example, ...], fix) if path.is_file() else ()
