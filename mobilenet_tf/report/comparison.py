"""Several runs side by side: the table of what each model costs and how accurate it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from mobilenet_tf.recipe import Quantization
from mobilenet_tf.report.tables import AUGMENTED, Column, Table, make_table
from mobilenet_tf.report.units import fixed, plural
from mobilenet_tf.runs.results import Machine, Record
from mobilenet_tf.system.hardware import name_machines

AUGMENTED_INT8 = replace(AUGMENTED, title=f"int8 {AUGMENTED.title}")


class ComparisonRow(Record, frozen=True, kw_only=True):
    """One run of a comparison.

    Accuracies are shares of the test images, the float one of the Keras model; size and latency
    (one image, median) are those of the int8 file, QAT's where there is one. `training_time_s` is
    the wall time of float training and QAT, start and validation included.
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
    int8_augmented_top1: float | None
    int8_quantization: Quantization | None
    int8_size_bytes: int | None
    int8_latency_median_ms: float | None
    threads: int
    test_count: int
    training_time_s: float | None
    machine: Machine


def comparison_table(rows: Sequence[ComparisonRow]) -> Table:
    """Return runs side by side as a table, with the sentences that say what it holds."""
    columns = (
        (Column("run", align="left"), [row.run for row in rows]),
        (Column("model", align="left"), [row.model for row in rows]),
        (Column("alpha"), [f"{row.alpha:g}" for row in rows]),
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


def _notes(rows: Sequence[ComparisonRow]) -> list[str]:
    notes = []
    datasets = {row.dataset: row.test_count for row in rows}
    if len({(row.dataset, row.test_count) for row in rows}) == 1:
        notes.append(f"{rows[0].dataset}, {rows[0].test_count:,} test images.")
    else:
        listed = ", ".join(f"{name} ({count:,} test images)" for name, count in datasets.items())
        notes.append(f"Different data, so accuracies do not compare: {listed}.")
    runs_by_count: dict[int, list[str]] = {}
    for row in rows:
        runs_by_count.setdefault(row.train_count, []).append(row.run)
    if len({(row.dataset, row.train_count) for row in rows}) > len(datasets):
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
