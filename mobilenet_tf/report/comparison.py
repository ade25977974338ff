"""Several runs side by side: what each model costs and what it is worth, from the runs on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.cost import count_variant_costs
from mobilenet_tf.pipeline.freshness import find_stale_input
from mobilenet_tf.pipeline.plan import make_plan
from mobilenet_tf.pipeline.stages import find_stage
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.report import Column, Table
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.names import recipe_variant
from mobilenet_tf.runs.results import StageResult
from mobilenet_tf.system.hardware import name_machines

INT8 = ("int8_qat", "int8_ptq")  # which file is shown is decided by its kind, not its accuracy
TRAINING = ("train", "qat")
MISSING = "-"


def compare_runs(runs: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """Return one row a run, as plain values, in the order given.

    Accuracies are shares of the test images, the float one of the Keras model; size and latency
    (one image, median) are those of the int8 file, QAT's where there is one. `training_time_s`
    is the wall time of float training and QAT, start and validation included.

    Raises:
        UsageError: a folder is no run, or a run has no benchmark yet.
        MtfError: a result is damaged, or of another version.
    """
    return [_describe(run) for run in runs]


def comparison_table(rows: Sequence[dict[str, Any]]) -> Table:
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
    augmented = any(row["int8_augmented_top1"] is not None for row in rows)
    if augmented:
        columns.insert(7, Column("int8 top-1 % over views", "TTA %"))
    cells = []
    for row in rows:
        line = [
            row["run"],
            row["model"],
            f"{row['alpha']:g}",
            f"{row['parameters']:,}",
            _fixed(row["macs"], 1e-6, 1),
            _fixed(row["float_top1"], 100, 2),
            _fixed(row["int8_top1"], 100, 2),
            _fixed(row["int8_size_bytes"], 1e-3, 1),
            _fixed(row["int8_latency_median_ms"], 1, 3),
            _fixed(row["training_time_s"], 1 / 60, 1),
        ]
        if augmented:
            line.insert(7, _fixed(row["int8_augmented_top1"], 100, 2))
        cells.append(tuple(line))
    title = f"{len(rows)} run{'s' if len(rows) != 1 else ''}, side by side"
    return Table(title, tuple(columns), tuple(cells), " ".join(_notes(rows)))


def _describe(run: RunFolder) -> dict[str, Any]:
    recipe = run.load_recipe()
    if not run.is_finished("benchmark"):
        raise UsageError(f"{run.path} has no benchmark yet; run mtf benchmark {run.path}")
    benchmark = run.load_stage("benchmark", verify=False)
    stale = find_stale_input(find_stage("benchmark"), make_plan(run, recipe), benchmark)
    if stale:
        raise UsageError(
            f"the benchmark of {run.path} is out of date ({stale}); run mtf benchmark {run.path}"
        )
    rows = msgspec.to_builtins(benchmark.metrics.rows)
    floating = _first(rows, format="keras", quantization="float32")
    files = (_first(rows, format="tflite", quantization=kind) for kind in INT8)
    integer = next((row for row in files if row), {})
    variant = recipe_variant(recipe)
    return {
        "run": run.name,
        "variant": variant.name,
        "model": variant.table.name,
        "alpha": variant.alpha,
        "resolution_px": recipe.model.resolution_px,
        "dataset": recipe.data.name,
        "seed": recipe.seed,
        "train_count": run.load_stage("train", verify=False).metrics.train_count,
        **_count(recipe),
        "float_top1": floating.get("top1"),
        "int8_top1": integer.get("top1"),
        "int8_augmented_top1": (integer.get("test_time_augmentation") or {}).get("top1"),
        "int8_quantization": integer.get("quantization"),
        "int8_size_bytes": integer.get("size_bytes"),
        "int8_latency_median_ms": integer.get("latency_median_ms"),
        "threads": benchmark.metrics.threads,
        "test_count": benchmark.metrics.test_count,
        "training_time_s": _sum_training(run, benchmark),
        "machine": msgspec.to_builtins(benchmark.machine),
    }


def _count(recipe: Recipe) -> dict[str, int]:
    cost = count_variant_costs(recipe_variant(recipe))
    return {"parameters": cost.parameters, "macs": cost.macs}


def _first(rows: Sequence[dict[str, Any]], **wanted: str) -> dict[str, Any]:
    found = (row for row in rows if all(row.get(key) == value for key, value in wanted.items()))
    return next(found, {})


def _sum_training(run: RunFolder, benchmark: StageResult) -> float | None:
    stages = [run.load_stage(name, verify=False) for name in TRAINING if name in benchmark.inputs]
    return round(sum(stage.wall_time_s for stage in stages), 1) if stages else None


def _notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    notes = []
    datasets = sorted({row["dataset"] for row in rows})
    counts = sorted({row["test_count"] for row in rows})
    if len(datasets) == 1 and len(counts) == 1:
        notes.append(f"{datasets[0]}, {counts[0]:,} test images.")
    else:
        named = {row["dataset"]: row["test_count"] for row in rows}
        listed = ", ".join(f"{name} ({count:,} test images)" for name, count in named.items())
        notes.append(f"Different data, so accuracies do not compare: {listed}.")
    if len({(row["dataset"], row["train_count"]) for row in rows}) > len(datasets):
        named_counts: dict[int, list[str]] = {}
        for row in rows:
            named_counts.setdefault(row["train_count"], []).append(row["run"])
        listed = "; ".join(
            f"{count:,}: {', '.join(names)}" for count, names in sorted(named_counts.items())
        )
        notes.append(f"Training images differ ({listed}).")
    seeds = sorted({row["seed"] for row in rows})
    if len(seeds) > 1:
        notes.append(f"Seeds {', '.join(map(str, seeds))}.")
    kinds = {row["int8_quantization"] for row in rows}
    if kinds == {"int8_qat"}:
        notes.append("int8 after QAT.")
    elif "int8_ptq" in kinds:
        listed = ", ".join(row["run"] for row in rows if row["int8_quantization"] == "int8_ptq")
        notes.append(f"int8 after QAT, without it (calibrated only): {listed}.")
    threads = sorted({row["threads"] for row in rows})
    plural = "s" if threads != [1] else ""
    notes.append(f"Latency of one image, {' or '.join(map(str, threads))} thread{plural}.")
    notes.append(f"Measured on {name_machines(row['machine'] for row in rows)}.")
    return notes


def _fixed(value: float | None, factor: float, decimals: int) -> str:
    return MISSING if value is None else f"{value * factor:,.{decimals}f}"
