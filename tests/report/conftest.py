"""A made-up run: figures from formulas, hashes of one repeated digit; nothing was measured."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

CLASSES = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FIGURES = [
    # stage, format, quantization, bytes, top-1, median ms, p90 ms, peak MB
    ("train", "keras", "float32", 3_361_272, 0.8931, 11.82, 12.94, 212.4),
    ("qat", "keras", "int8_qat", 3_361_272, 0.8924, 14.21, 15.03, 216.0),
    ("export", "tflite", "float32", 3_339_840, 0.8931, 0.731, 0.764, 6.1),
    ("export", "tflite", "float16", 1_679_216, 0.8931, 0.742, 0.781, 7.9),
    ("export", "tflite", "dynamic_range", 912_344, 0.8926, 0.611, 0.655, 5.2),
    ("export", "tflite", "int8_ptq", 918_120, 0.8873, 0.402, 0.421, 3.4),
    ("export", "tflite", "int8_qat", 917_960, 0.8919, 0.399, 0.418, 3.4),
]


@pytest.fixture(name="make_run")
def _make_run() -> Callable[..., dict[str, Any]]:
    return make_run


@pytest.fixture
def run() -> dict[str, Any]:
    return make_run()


@pytest.fixture
def rows(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The benchmark rows of `run`, to be changed in place."""
    return run["stages"]["benchmark"]["metrics"]["rows"]


def make_run(class_count: int = 10) -> dict[str, Any]:
    """Return a complete synthetic run with `class_count` classes."""
    classes = CLASSES if class_count == 10 else [f"kind {i}" for i in range(class_count)]
    rows = [make_row(index, figures, class_count) for index, figures in enumerate(FIGURES)]
    machine = {"cpu": "Example CPU @ 2.0 GHz", "cores": 2, "memory_gib": 8, "system": "Linux"}
    common = {
        "run": "sample",
        "seed": 1,
        "commit": "0123abc",
        "machine": machine,
        "versions": {"python": "3.12.0", "tensorflow": "2.21.0", "mobilenet-tf": "0.1.0"},
        "settings": {},
        "inputs": {},
    }
    wall_times_s = {"train": 2412.0, "qat": 604.2, "export": 48.0, "benchmark": 61.7}
    stages = {
        stage: {
            **copy.deepcopy(common),
            "stage": stage,
            "started_at": f"2030-01-01T0{index}:00:00Z",
            "wall_time_s": seconds,
            "metrics": {},
            "data": {},
            "files": {},
        }
        for index, (stage, seconds) in enumerate(wall_times_s.items())
    }
    stages["train"]["data"] = {"train": "a" * 64, "validation": "b" * 64}
    stages["train"]["files"] = {"model.safetensors": {"sha256": "c" * 64, "size_bytes": 3_361_272}}
    stages["train"]["metrics"] = {
        "best_epoch": 29,
        "epochs_done": 30,
        "selection": "validation",
        "validation_top1": 0.8968,
    }
    stages["qat"]["metrics"] = {"best_epoch": 3, "epochs_done": 3, "selection": "validation"}
    stages["export"]["files"] = {
        row["file"]: {"sha256": str(index) * 64, "size_bytes": row["size_bytes"]}
        for index, row in enumerate(rows)
        if row["file"]
    }
    stages["benchmark"]["data"] = {"test": "d" * 64}
    stages["benchmark"]["metrics"] = {
        "rows": rows,
        "classes": classes,
        "test_count": 10_000,
        "threads": 1,
        "machine": machine,
    }
    return {
        "run": "sample",
        "command": "mtf run cifar10 --out artifacts/sample",
        "recipe": {
            "seed": 1,
            "deterministic": False,
            "data": {"name": "cifar10", "validation_count": 5000},
            "model": {"name": "mobilenet_v1", "alpha": 0.5, "resolution_px": 32},
            "train": {"epochs": 30, "learning_rate": 0.2, "optimizer": "sgd"},
            "qat": {"epochs": 3, "learning_rate": 0.01},
            "export": {"quantizations": ["float32", "int8_qat"], "io_type": "int8"},
            "benchmark": {"threads": 1, "latency_warmup_runs": 10, "latency_runs": 100},
        },
        "stages": stages,
        "history": {"train": make_history(30, 0.35, 0.9), "qat": make_history(3, 0.88, 0.897)},
    }


def make_row(index: int, figures: tuple[Any, ...], class_count: int) -> dict[str, Any]:
    """Return one benchmark row; its confusion matrix has two thirds of the mistakes next door."""
    stage, kind, quantization, size_bytes, top1, median_ms, p90_ms, peak_mb = figures
    count = 10_000 // class_count
    confusion = []
    for true in range(class_count):
        line = [0] * class_count
        wrong = round(count * (1 - top1) * (0.4 + 1.2 * ((true * 7) % 10) / 9) + (true + index) % 3)
        near, far = (true + 1) % class_count, (true * 3 + 5) % class_count
        line[near] += wrong * 2 // 3
        line[far] += wrong - wrong * 2 // 3
        line[true] += count - wrong
        confusion.append(line)
    name = f"v1_050_r32_{quantization}"
    return {
        "artifact": name,
        "stage": stage,
        "format": kind,
        "quantization": quantization,
        "io_type": "int8" if quantization.startswith("int8") and kind == "tflite" else "float32",
        "file": f"{name}.tflite" if kind == "tflite" else None,
        "size_bytes": size_bytes,
        "parameters": 834_666,
        "macs": 12_250_000,
        "channels": 5_482,
        "top1": top1,
        "top5": min(1.0, top1 + 0.09) if class_count > 10 else None,
        "per_class": [line[i] / count for i, line in enumerate(confusion)],
        "confusion": confusion,
        "latency_median_ms": median_ms,
        "latency_p90_ms": p90_ms,
        "threads": 1,
        "peak_memory_bytes": peak_mb * 1e6,
        "loss": 0.4,
    }


def make_history(epochs: int, start: float, end: float) -> list[dict[str, str]]:
    """Return history rows as text, the way a CSV reader gives them."""
    rows = []
    for epoch in range(1, epochs + 1):
        rise = 1 - (1 - epoch / epochs) ** 2
        accuracy = start + (end - start) * rise
        wobble = 0.03 * ((epoch * 37) % 11 / 10 - 0.5) * (1 - rise)
        rows.append(
            {
                "epoch": str(epoch),
                "loss": f"{1.9 - 1.35 * accuracy:.4f}",
                "accuracy": f"{accuracy - 0.02:.4f}",
                "validation_loss": f"{1.7 - 1.25 * (accuracy + wobble):.4f}",
                "validation_accuracy": f"{accuracy + wobble:.4f}",
            }
        )
    return rows
