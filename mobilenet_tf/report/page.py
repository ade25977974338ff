"""The three files of a report: report.md, report.json and report.html."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from mobilenet_tf.files import write_text
from mobilenet_tf.report import plots, provenance, sections, tables, units, usage
from mobilenet_tf.report.summary import Summary, summarise
from mobilenet_tf.report.templates import render
from mobilenet_tf.runs.results import BenchmarkRow, RunRecord
from mobilenet_tf.system.terminal import escape

REPORT_FORMAT = 2
HTML_FILE = "report.html"
# the benchmark stage in the same file has the long lists
ROW_FIELDS = [
    name
    for name in BenchmarkRow.__struct_fields__
    if name not in ("per_class", "confusion", "paired")
]
PARTS: dict[str, Any] = {  # what the templates of reports and cards call, by its own name
    part.__name__: part
    for part in (
        sections.stage_table,
        sections.class_table,
        sections.confusion_pairs,
        sections.preparation_table,
        sections.trust_table,
        plots.plot_accuracy_size,
        plots.plot_accuracy_curves,
        plots.plot_loss_curves,
        plots.plot_confusion,
        usage.shown_file,
        usage.mapping_table,
        usage.runtimes_table,
        usage.python_example,
        usage.app_snippets,
        provenance.list_lacking,
        provenance.stages_table,
        provenance.selection_note,
        provenance.environment_table,
        provenance.format_toml,
        provenance.run_files_table,
        provenance.files_table,
        units.accuracy_interval,
    )
}


def write_report(folder: Path, record: RunRecord) -> tuple[Path, ...]:
    """Write report.md, report.json and report.html to `folder`; return their paths.

    The files are functions of the record alone, byte for byte.

    Raises:
        MtfError: a file cannot be written.
    """
    summary = summarise(record)
    contents = {
        "report.md": render("report.md.jinja", summary=summary, **PARTS),
        "report.json": render_json(summary),
        HTML_FILE: render("report.html.jinja", summary=summary, **PARTS),
    }
    for name, content in contents.items():
        write_text(folder / name, content)
    return tuple(folder / name for name in contents)


def format_stages(record: RunRecord) -> str:
    """Return the stage table for a terminal and the verdict."""
    summary = summarise(record)
    table = sections.stage_table(summary)
    text = f"{tables.format_table(table.columns, table.rows)}\n\n" if table.rows else ""
    return text + escape(summary.verdict.sentence)


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
        "classes": summary.classes,
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
