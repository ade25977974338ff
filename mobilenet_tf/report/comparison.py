"""Several runs side by side: the table of what each model costs and how accurate it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from mobilenet_tf.recipe import Quantization, changed_settings, format_value
from mobilenet_tf.report.tables import AUGMENTED, Column, Table, make_table
from mobilenet_tf.report.units import MISSING, fixed, plural
from mobilenet_tf.runs.names import recipe_variant
from mobilenet_tf.runs.records import Record
from mobilenet_tf.runs.results import Machine, RunRecord
from mobilenet_tf.system.hardware import name_machines

AUGMENTED_INT8 = replace(AUGMENTED, title=f"int8 {AUGMENTED.title}")

MOST_VARIED = 3  # settings that a column still can hold


class ComparisonRow(Record, frozen=True, kw_only=True):
    """One run of a comparison.

    Accuracies are shares of the test images, the float one of the Keras model; size and latency
    (one image, median) are those of the float32 file and of the int8 one, QAT's where there is
    one. `training_time_s` is the wall time of float training and QAT, start and validation
    included. `settings` are those that are not the default, as TOML; `report` is its page.
    """

    run: str
    variant: str
    model: str
    alpha: float
    resolution_px: int
    dataset: str
    seed: int
    train_count: int
    parameters: int
    macs: int
    float_top1: float | None
    int8_top1: float | None
    validation_top1: float | None
    int8_augmented_top1: float | None
    int8_quantization: Quantization | None
    float_size_bytes: int | None
    float_latency_median_ms: float | None
    int8_size_bytes: int | None
    int8_latency_median_ms: float | None
    threads: int
    test_count: int
    training_time_s: float | None
    machine: Machine
    settings: dict[str, str]
    report: str | None = None


def make_row(record: RunRecord, report: Path | None = None) -> ComparisonRow:
    """Return the row of a run or a card that has a benchmark."""
    recipe, stages = record.recipe, record.stages
    assert stages.benchmark is not None  # noqa: S101  # the caller's condition
    metrics = stages.benchmark.metrics
    network, keras = metrics.rows[0], metrics.find("keras", "float32")
    float_file = metrics.find("tflite", "float32")
    int8 = metrics.int8
    augmented = int8.test_time_augmentation if int8 else None
    fits = [stage for stage in (stages.train, stages.qat) if stage is not None]
    variant = recipe_variant(recipe)
    return ComparisonRow(
        run=record.name,
        variant=variant.name,
        model=variant.table.name,
        alpha=variant.alpha,
        resolution_px=recipe.model.resolution_px,
        dataset=recipe.data.name,
        seed=recipe.seed,
        train_count=fits[0].metrics.train_count if fits else 0,
        parameters=network.parameters,
        macs=network.macs,
        float_top1=keras.top1 if keras else None,
        int8_top1=int8.top1 if int8 else None,
        validation_top1=fits[-1].metrics.validation_top1 if fits else None,
        int8_augmented_top1=augmented.top1 if augmented else None,
        int8_quantization=int8.quantization if int8 else None,
        float_size_bytes=float_file.size_bytes if float_file else None,
        float_latency_median_ms=float_file.latency_median_ms if float_file else None,
        int8_size_bytes=int8.size_bytes if int8 else None,
        int8_latency_median_ms=int8.latency_median_ms if int8 else None,
        threads=metrics.threads,
        test_count=metrics.test_count,
        training_time_s=round(sum(stage.wall_time_s for stage in fits), 1),
        machine=stages.benchmark.machine,
        settings={key: format_value(value) for key, value in changed_settings(recipe).items()},
        report=str(report) if report else None,
    )


def varied_settings(rows: Sequence[ComparisonRow]) -> list[str]:
    """Return what tells each run from the others beside its network: `train.epochs=3`."""
    keys = dict.fromkeys(key for row in rows for key in row.settings)
    told = [
        key
        for key in keys
        if key.split(".")[0] not in ("data", "model", "seed")
        and len({row.settings.get(key) for row in rows}) > 1
    ]
    if len(told) > MOST_VARIED:  # recipes of their own, and no sweep of one
        told = []
    return [
        ", ".join(f"{key}={row.settings[key]}" for key in told if key in row.settings) or MISSING
        for row in rows
    ]


def comparison_table(rows: Sequence[ComparisonRow]) -> Table:
    """Return runs side by side as a table, with the sentences that say what it holds."""
    columns = (
        (Column("run", align="left"), [row.run for row in rows]),
        (Column("data", align="left", optional=True), _tell_datasets(rows)),
        (Column("model", align="left"), [row.model for row in rows]),
        (Column("alpha"), [f"{row.alpha:g}" for row in rows]),
        (Column("px"), [f"{row.resolution_px}" for row in rows]),
        (Column("other settings", align="left", optional=True), varied_settings(rows)),
        (Column("parameters", "params"), [f"{row.parameters:,}" for row in rows]),
        (Column("M MACs"), [fixed(row.macs, 1e-6, 1) for row in rows]),
        (Column("float top-1 %", "float %"), [fixed(row.float_top1, 100, 2) for row in rows]),
        (Column("int8 top-1 %", "int8 %"), [fixed(row.int8_top1, 100, 2) for row in rows]),
        (AUGMENTED_INT8, [fixed(row.int8_augmented_top1, 100, 2) for row in rows]),
        (Column("int8 KB"), [fixed(row.int8_size_bytes, 1e-3, 1) for row in rows]),
        (Column("int8 ms"), [fixed(row.int8_latency_median_ms, 1, 3) for row in rows]),
        (Column("training min", "train min"), [fixed(r.training_time_s, 1 / 60, 1) for r in rows]),
    )
    return make_table(f"{plural(len(rows), 'run')}, side by side", columns, " ".join(_notes(rows)))


def _tell_datasets(rows: Sequence[ComparisonRow]) -> list[str]:
    """Return what each run was trained on, where that is not the same for all."""
    several = len({row.dataset for row in rows}) > 1
    return [row.dataset if several else MISSING for row in rows]


def _notes(rows: Sequence[ComparisonRow]) -> list[str]:
    notes = []
    tests = dict.fromkeys((row.dataset, row.test_count) for row in rows)
    if len(tests) == 1:
        notes.append(f"{rows[0].dataset}, {rows[0].test_count:,} test images.")
    else:
        listed = ", ".join(f"{name} ({count:,} test images)" for name, count in tests)
        notes.append(f"Different data, so accuracies do not compare: {listed}.")
    runs_by_count: dict[int, list[str]] = {}
    for row in rows:
        runs_by_count.setdefault(row.train_count, []).append(row.run)
    if len({(row.dataset, row.train_count) for row in rows}) > len({row.dataset for row in rows}):
        listed = "; ".join(f"{n:,}: {', '.join(runs)}" for n, runs in sorted(runs_by_count.items()))
        notes.append(f"Training images differ ({listed}).")
    seeds = sorted({row.seed for row in rows})
    if len(seeds) > 1:
        notes.append(f"Seeds {', '.join(map(str, seeds))}.")
    calibrated = [row.run for row in rows if row.int8_quantization == "int8_ptq"]
    if calibrated:
        notes.append(f"int8 after QAT, without it (calibrated only): {', '.join(calibrated)}.")
    elif all(row.int8_quantization == "int8_qat" for row in rows):
        notes.append("int8 after QAT.")
    threads = sorted({row.threads for row in rows})
    noun = "thread" if threads == [1] else "threads"
    notes.append(f"Latency of one image, {' or '.join(map(str, threads))} {noun}.")
    notes.append(f"Measured on {name_machines(msgspec.to_builtins(row.machine) for row in rows)}.")
    return notes
