"""What several verbs are tried on: one model as a file of each kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ExportAll = Callable[[Any, Sequence[str], np.ndarray, Path], dict[str, Path]]


@pytest.fixture(scope="session")
def export_all() -> ExportAll:
    """Return a function that writes a model as float32, logits, int8 and uint8 files."""

    def export(
        model: Any, classes: Sequence[str], calibration: np.ndarray, folder: Path
    ) -> dict[str, Path]:
        from mobilenet_tf.tflite.convert import convert

        paths = {}
        for name, quantization, io_type, logits in (
            ("float32", "float32", "int8", False),
            ("logits", "float32", "int8", True),
            ("int8", "int8_ptq", "int8", False),
            ("uint8", "int8_ptq", "uint8", False),
        ):
            paths[name] = folder / f"{name}.tflite"
            paths[name].write_bytes(
                convert(
                    model,
                    quantization=quantization,
                    classes=classes,
                    description="a model for tests",
                    io_type=io_type,
                    logits=logits,
                    calibration_images=calibration,
                )
            )
        return paths

    return export
