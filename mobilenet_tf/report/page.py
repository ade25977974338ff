"""The three files of a report: report.md, report.json and report.html."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from mobilenet_tf.files import write_text
from mobilenet_tf.report import plots, provenance, tables, usage
from mobilenet_tf.report.summary import Summary, summarise
from mobilenet_tf.report.templates import render
from mobilenet_tf.report.units import accuracy_interval, format_ms, format_size, signed
from mobilenet_tf.runs.record import RunRecord

REPORT_FORMAT = 2


def write_report(folder: Path, record: RunRecord) -> tuple[Path, ...]:
    """Write report.md, report.json and report.html to `folder`; return their paths.

    The files are functions of the record alone, byte for byte.

    Raises:
        MtfError: a file cannot be written.
    """
    summary = summarise(record)
    values = _values(summary)
    contents = {
        "report.md": render("report.md.jinja", **values),
        "report.json": render_json(summary),
        "report.html": render("report.html.jinja", **values, **_illustrations(summary)),
    }
    paths = []
    for name, content in contents.items():
        path = folder / name
        write_text(path, content)
        paths.append(path)
    return tuple(paths)


def format_stages(record: RunRecord) -> str:
    """Return the stage table for a terminal and the verdict."""
    summary = summarise(record)
    rows = summary.artifacts
    parts = (
        [tables.format_table(tables.stage_columns(rows), tables.stage_rows(rows))] if rows else []
    )
    return "\n\n".join([*parts, summary.verdict.sentence])


def render_comparison(table: tables.Table) -> str:
    """Return a page of one table, in the look of a report."""
    return render("page.html.jinja", title=table.title, table=table)


def render_json(summary: Summary) -> str:
    """Return the report as JSON: the verdict, the compared rows and the whole record.

    Figures that are not finite become null, since JSON has no name for them.
    """
    record, benchmark = summary.record, summary.benchmark
    document = {
        "format": REPORT_FORMAT,
        "run": record.name,
        "command": record.command,
        "verdict": {
            **asdict(summary.verdict),
            "int8": summary.headline.label if summary.headline else None,
            "float": summary.reference.label if summary.reference else None,
        },
        "classes": tables.class_names(summary),
        "test_count": benchmark.test_count if benchmark else None,
        "rows": [
            {
                "label": artifact.label,
                "delta_points": artifact.delta_points,
                "size_share": artifact.size_share,
                # the benchmark stage in the same file has the long lists
                **{k: v for k, v in _plain(artifact.row).items() if k not in LONG},
            }
            for artifact in summary.artifacts
        ],
        "recipe": record.recipe,
        "stages": dict(record.stages.items()),
        "history": {"train": record.train_history, "qat": record.qat_history},
    }
    return _format_json(_plain(document)) + "\n"


LONG = ("per_class", "confusion", "paired")


def _plain(value: object) -> Any:
    """Return plain values, null for figures that are not finite."""
    value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _format_json(value: object, indent: str = "") -> str:
    """Return indented JSON with lists of plain values on one line: a matrix stays readable."""
    inner = indent + "  "
    if isinstance(value, dict) and value:
        lines = [
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {_format_json(item, inner)}"
            for key, item in value.items()
        ]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        lines = [f"{inner}{_format_json(item, inner)}" for item in value]
        return "[\n" + ",\n".join(lines) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _values(summary: Summary) -> dict[str, Any]:
    """Return what both pages show."""
    file, record = usage.shown_file(summary), summary.record
    return {
        "title": f"{record.name}: report",
        "run": record.name,
        "command": record.command,
        "verdict": summary.verdict,
        "facts": provenance.facts(summary),
        "lacking": _lacking(summary),
        "stage_table": tables.stage_table(summary),
        "class_table": tables.class_table(summary),
        "confusion_pairs": tables.confusion_pairs(summary),
        "file": (file.file or file.artifact) if file else None,
        "usage_table": usage.mapping_table(summary),
        "python_example": usage.python_example(summary),
        "stages_table": provenance.stages_table(summary),
        "environment_table": provenance.environment_table(summary),
        "settings": provenance.format_toml(record.recipe),
        "files_table": provenance.files_table(summary),
    }


def _lacking(summary: Summary) -> list[str]:
    """Return what a run has not got, and the command that makes it."""
    stages, qat = summary.record.stages, summary.record.recipe.qat.epochs
    wanted = {
        "float training (mtf train)": stages.train,
        "quantization-aware training (mtf qat)": stages.qat if qat else True,
        "the files (mtf export-tflite)": stages.export,
        "the benchmark (mtf benchmark)": stages.benchmark,
    }
    return [name for name, record in wanted.items() if record is None]


def _illustrations(summary: Summary) -> dict[str, Any]:
    """Return the tiles and the plots of the web page."""
    figures = [
        plots.plot_accuracy_size(summary),
        plots.plot_accuracy_curves(summary),
        plots.plot_loss_curves(summary),
        plots.plot_confusion(summary),
    ]
    return {"tiles": _tiles(summary), "figures": [figure for figure in figures if figure]}


def _tiles(summary: Summary) -> list[dict[str, Any]]:
    """Return the three figures that a reader wants first."""
    artifact, benchmark = summary.headline, summary.benchmark
    if artifact is None or benchmark is None:
        return []
    row, base = artifact.row, summary.float_file.row if summary.float_file else None
    accuracy, size, latency = [], [], []
    if summary.reference and artifact.delta_points is not None:
        top1 = 100 * summary.reference.row.top1
        accuracy.append(f"float {top1:.2f} %: {signed(artifact.delta_points)} points")
    if benchmark.test_count:
        low, high = accuracy_interval(row.top1, benchmark.test_count)
        accuracy.append(f"95 % interval {100 * low:.1f} to {100 * high:.1f} %")
    if base and artifact.size_share is not None:
        size.append(f"{100 * artifact.size_share:.1f} % of float32, {format_size(base.size_bytes)}")
    if base and row.latency_median_ms:
        ratio = base.latency_median_ms / row.latency_median_ms
        latency.append(
            f"float32 file {format_ms(base.latency_median_ms)} ms: {ratio:.1f} times as fast"
        )
    latency.append(f"median, {benchmark.threads} thread{'s' if benchmark.threads != 1 else ''}")
    figure, unit = format_size(row.size_bytes).split(" ")
    tiles = (
        ("int8 accuracy, top-1", f"{100 * row.top1:.2f}", "%", accuracy),
        ("int8 file", figure, unit, size),
        ("int8, one image", format_ms(row.latency_median_ms), "ms", latency),
    )
    return [dict(zip(("name", "figure", "unit", "notes"), tile, strict=True)) for tile in tiles]
