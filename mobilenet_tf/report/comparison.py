"""Several runs side by side: the table of what each model costs and how accurate it is."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mobilenet_tf.recipe import Quantization
from mobilenet_tf.report.tables import Column, Table
from mobilenet_tf.report.units import fixed
from mobilenet_tf.runs.results import Machine, Record
from mobilenet_tf.system.hardware import name_machines


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
    """Return the rows of `compare_runs` as a table, with the sentences that say what it holds."""
    columns = [
        Column("run", align="left"),
        Column("model", align="left"),
        Column("alpha"),
        Column("parameters", "params"),
        Column("M MACs"),
        Column("float top-1 %", "float %"),
        Column("int8 top-1 %", "int8 %"),
        Column("int8 KB"),
        Column("int8 ms"),
        Column("training min", "train min"),
    ]
    augmented = any(row.int8_augmented_top1 is not None for row in rows)
    if augmented:
        columns.insert(7, Column("int8 top-1 % with test-time augmentation", "TTA %"))
    cells = []
    for row in rows:
        line = [
            row.run,
            row.model,
            f"{row.alpha:g}",
            f"{row.parameters:,}",
            fixed(row.macs, 1e-6, 1),
            fixed(row.float_top1, 100, 2),
            fixed(row.int8_top1, 100, 2),
            fixed(row.int8_size_bytes, 1e-3, 1),
            fixed(row.int8_latency_median_ms, 1, 3),
            fixed(row.training_time_s, 1 / 60, 1),
        ]
        if augmented:
            line.insert(7, fixed(row.int8_augmented_top1, 100, 2))
        cells.append(tuple(line))
    title = f"{len(rows)} run{'s' if len(rows) != 1 else ''}, side by side"
    return Table(title, tuple(columns), tuple(cells), " ".join(_notes(rows)))


def _notes(rows: Sequence[ComparisonRow]) -> list[str]:
    notes = []
    datasets = sorted({row.dataset for row in rows})
    counts = sorted({row.test_count for row in rows})
    if len(datasets) == 1 and len(counts) == 1:
        notes.append(f"{datasets[0]}, {counts[0]:,} test images.")
    else:
        named = {row.dataset: row.test_count for row in rows}
        listed = ", ".join(f"{name} ({count:,} test images)" for name, count in named.items())
        notes.append(f"Different data, so accuracies do not compare: {listed}.")
    if len({(row.dataset, row.train_count) for row in rows}) > len(datasets):
        named_counts: dict[int, list[str]] = {}
        for row in rows:
            named_counts.setdefault(row.train_count, []).append(row.run)
        listed = "; ".join(
            f"{count:,}: {', '.join(names)}" for count, names in sorted(named_counts.items())
        )
        notes.append(f"Training images differ ({listed}).")
    seeds = sorted({row.seed for row in rows})
    if len(seeds) > 1:
        notes.append(f"Seeds {', '.join(map(str, seeds))}.")
    kinds = {row.int8_quantization for row in rows}
    if kinds == {"int8_qat"}:
        notes.append("int8 after QAT.")
    elif "int8_ptq" in kinds:
        listed = ", ".join(row.run for row in rows if row.int8_quantization == "int8_ptq")
        notes.append(f"int8 after QAT, without it (calibrated only): {listed}.")
    threads = sorted({row.threads for row in rows})
    plural = "s" if threads != [1] else ""
    notes.append(f"Latency of one image, {' or '.join(map(str, threads))} thread{plural}.")
    notes.append(f"Measured on {name_machines(msgspec.to_builtins(row.machine) for row in rows)}.")
    return notes
