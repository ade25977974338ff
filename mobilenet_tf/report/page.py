"""The three files of a report: report.md, report.json and report.html."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from mobilenet_tf.files import write_text
from mobilenet_tf.report import plots, provenance, sections, tables, usage
from mobilenet_tf.report.summary import Summary, summarise
from mobilenet_tf.report.templates import render
from mobilenet_tf.report.units import accuracy_interval
from mobilenet_tf.runs.record import RunRecord
from mobilenet_tf.runs.results import BenchmarkRow

REPORT_FORMAT = 2
# the benchmark stage in the same file has the long lists
ROW_FIELDS = [
    name
    for name in BenchmarkRow.__struct_fields__
    if name not in ("per_class", "confusion", "paired")
]


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
    for name, content in contents.items():
        write_text(folder / name, content)
    return tuple(folder / name for name in contents)


def format_stages(record: RunRecord) -> str:
    """Return the stage table for a terminal and the verdict."""
    summary = summarise(record)
    table = sections.stage_table(summary)
    text = f"{tables.format_table(table.columns, table.rows)}\n\n" if table.rows else ""
    return text + summary.verdict.sentence


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
        "classes": sections.class_names(summary),
        "test_count": benchmark.test_count if benchmark else None,
        "rows": [
            {
                "label": artifact.label,
                "delta_points": artifact.delta_points,
                "size_share": artifact.size_share,
                **{name: getattr(artifact.row, name) for name in ROW_FIELDS},
            }
            for artifact in summary.artifacts
        ],
        "recipe": record.recipe,
        "stages": dict(record.stages.items()),
        "history": {"train": record.train_history, "qat": record.qat_history},
    }
    text = msgspec.json.format(msgspec.json.encode(document)).decode()
    # a list of figures on one line: a matrix stays readable
    return re.sub(r'\[\n([^\[\]{}"]*)\]', lambda m: f"[{' '.join(m[1].split())}]", text) + "\n"


def _values(summary: Summary) -> dict[str, Any]:
    """Return what both pages show."""
    file, record = usage.shown_file(summary), summary.record
    return {
        "title": f"{record.name}: report",
        "run": record.name,
        "command": record.command,
        "verdict": summary.verdict,
        "recipe": record.recipe,
        "class_count": len(summary.classes),
        "reference": summary.reference,
        "lacking": _lacking(summary),
        "stage_table": sections.stage_table(summary),
        "class_table": sections.class_table(summary),
        "confusion_pairs": sections.confusion_pairs(summary),
        "file": (file.file or file.artifact) if file else None,
        "usage_table": usage.mapping_table(summary),
        "python_example": usage.python_example(summary),
        "stages_table": provenance.stages_table(summary),
        "selection": provenance.selection_note(summary),
        "environment_table": provenance.environment_table(summary),
        "settings": provenance.format_toml(record.recipe),
        "files_table": provenance.run_files_table(summary),
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
    """Return what the web page alone shows: the float file beside the int8 one, and the plots."""
    figures = [
        plots.plot_accuracy_size(summary),
        plots.plot_accuracy_curves(summary),
        plots.plot_loss_curves(summary),
        plots.plot_confusion(summary),
    ]
    int8, benchmark = summary.headline, summary.benchmark
    count = benchmark.test_count if benchmark else 0
    return {
        "int8": int8,
        "float_row": summary.float_file.row if summary.float_file else None,
        "interval": accuracy_interval(int8.row.top1, count) if int8 and count else None,
        "figures": [figure for figure in figures if figure],
    }
