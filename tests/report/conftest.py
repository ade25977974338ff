"""A made-up run: figures from formulas, hashes of one repeated digit; nothing was measured."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mobilenet_tf.recipe import parse_recipe
from mobilenet_tf.runs.records import Paired
from mobilenet_tf.runs.results import (
    METRICS,
    Accepted,
    BenchmarkRow,
    Epoch,
    Mistake,
    RunRecord,
    StageResult,
    Stages,
)

CLASSES = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FIGURES = [  # stage, format, quantization, bytes, mistakes a thousand, median ms, peak MB
    ("train", "keras", "float32", 3_361_272, 107, 11.82, None),
    ("qat", "keras", "int8_qat", 3_361_272, 108, 14.21, None),
    ("export", "tflite", "float32", 3_339_840, 107, 0.731, 6.1),
    ("export", "tflite", "float16", 1_679_216, 107, 0.742, 7.9),
    ("export", "tflite", "dynamic_range", 912_344, 107, 0.611, 5.2),
    ("export", "tflite", "int8_ptq", 918_120, 113, 0.402, 3.4),
    ("export", "tflite", "int8_qat", 917_960, 108, 0.399, 3.4),
]


def make_row(figures: tuple[Any, ...], classes: int) -> BenchmarkRow:
    stage, form, quantization, size_bytes, mistakes, median_ms, peak_mb = figures
    count = 10_000 // classes
    wrong = round(count * mistakes / 1000)
    confusion = []
    for true in range(classes):
        line = [0] * classes
        line[true], line[(true + 1) % classes] = count - wrong, wrong
        confusion.append(tuple(line))
    name = f"v1_050_r32_{quantization}"
    extra = round(count * (mistakes - 107) / 1000)
    is_reference = (stage, form) == ("train", "keras")
    return BenchmarkRow(
        artifact=name,
        stage=stage,
        format=form,
        quantization=quantization,
        io_type="int8" if form == "tflite" and quantization.startswith("int8") else "float32",
        file=f"{stage}/{name}",
        size_bytes=size_bytes,
        parameters=834_666,
        macs=12_250_000,
        channels=5_482,
        threads=1,
        top1=1 - wrong / count,
        top5=0.98 if classes > 10 else None,
        loss=0.4,
        per_class=tuple(line[i] / count for i, line in enumerate(confusion)),
        confusion=tuple(confusion),
        latency_median_ms=median_ms,
        latency_p90_ms=median_ms * 1.1,
        peak_memory_bytes=None if peak_mb is None else round(peak_mb * 1e6),
        calibration_error=0.02,
        accepted=Accepted(threshold=0.7, coverage=0.9, accuracy=0.96) if peak_mb else None,
        paired=None if is_reference else Paired(lost=(2 + extra,) * classes, gained=(2,) * classes),
    )


def make_stage(stage: str, metrics: dict[str, Any], **values: Any) -> StageResult:
    return msgspec.convert(
        {
            "stage": stage,
            "settings": {},
            "command": f"mtf {stage}",
            "commit": "0123abc",
            "machine": {"processor": "Example CPU", "cores": 2},
            "versions": {"python": "3.12.0", "tensorflow": "2.21.0"},
            "data": {},
            "inputs": {},
            "started_at": "2030-01-01T01:00:00Z",
            "wall_time_s": 60.0,
            "files": {},
            "metrics": metrics,
        }
        | values,
        StageResult[METRICS[stage]],
    )


def make_record(classes: int = 10) -> RunRecord:
    names = CLASSES if classes == 10 else tuple(f"kind {i}" for i in range(classes))
    fit = {
        "parameters": 834_666,
        "train_count": 45_000,
        "validation_count": 5_000,
        "best_epoch": 29,
        "epochs_done": 30,
        "selection": "validation",
        "validation_top1": 0.8968,
        "stopped_early": False,
        "steps_per_epoch": 100,
        "images_per_s": 1000.0,
        "fit_time_s": 50.0,
    }
    rows = [make_row(figures, classes) for figures in FIGURES]
    benchmark = {"rows": rows, "classes": names, "test_count": 10_000, "threads": 1}
    files = {"v1_050_r32_int8_qat.tflite": {"sha256": "6" * 64, "size_bytes": 917_960}}
    export = {"files": [], "calibration_count": 512, "calibration": "train"}
    recipe = parse_recipe({"model": {"alpha": 0.5}}, "test")
    return RunRecord(
        name="sample",
        recipe=recipe,
        command="mtf run cifar10 --out artifacts/sample",
        stages=Stages(
            train=make_stage("train", fit, data={"train": "a" * 64}),
            qat=make_stage("qat", fit | {"best_epoch": 3, "epochs_done": 3}),
            export=make_stage("export", export, files=files),
            benchmark=make_stage(
                "benchmark", msgspec.to_builtins(benchmark), data={"test": "d" * 64}
            ),
        ),
        train_history=make_history(30),
        qat_history=make_history(3),
        mistakes=(
            Mistake(
                image="cat/<b>1.jpg",
                label=names[0],
                predicted=names[1],
                confidence=0.97,
                float_predicted=names[0],
                float_confidence=0.6,
                thumbnail=b"a JPEG",
                looked_at=b"another",
            ),
        ),
    )


def make_history(epochs: int) -> tuple[Epoch, ...]:
    return tuple(
        Epoch(
            epoch=epoch,
            loss=2 / epoch,
            accuracy=1 - 0.7 / epoch,
            validation_loss=2.1 / epoch,
            validation_accuracy=1 - 0.75 / epoch,
            learning_rate=0.1,
            images_per_s=1000.0,
            epoch_s=3.0,
        )
        for epoch in range(1, epochs + 1)
    )


def with_rows(record: RunRecord, rows: list[BenchmarkRow]) -> RunRecord:
    benchmark = record.stages.benchmark
    assert benchmark
    metrics = msgspec.structs.replace(benchmark.metrics, rows=tuple(rows))
    stage = msgspec.structs.replace(benchmark, metrics=metrics)
    return msgspec.structs.replace(
        record, stages=msgspec.structs.replace(record.stages, benchmark=stage)
    )


def with_int8(record: RunRecord, **changes: Any) -> RunRecord:
    """Return the record with another int8 QAT file."""
    rows = list(record.stages.benchmark.metrics.rows)  # type: ignore[union-attr]
    rows[-1] = msgspec.structs.replace(rows[-1], **changes)
    return with_rows(record, rows)


@pytest.fixture
def record() -> RunRecord:
    return make_record()


@pytest.fixture(name="make_record")
def _make_record() -> Any:
    return make_record


@pytest.fixture(name="with_int8")
def _with_int8() -> Any:
    return with_int8


@pytest.fixture(name="with_rows")
def _with_rows() -> Any:
    return with_rows
