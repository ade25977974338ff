"""The three files of a report: report.md, report.json and report.html."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from mobilenet_tf.files import write_text
from mobilenet_tf.report.markdown import render_markdown
from mobilenet_tf.report.summary import Artifact, Summary, summarise
from mobilenet_tf.report.tables import class_names, format_table, stage_columns, stage_rows
from mobilenet_tf.report.webpage import render_html
from mobilenet_tf.runs.record import RunRecord

REPORT_FORMAT = 1


def plain(record: RunRecord) -> dict[str, Any]:
    """Return a run as the plain values that the report takes."""
    return {
        "run": record.name,
        "command": record.command,
        "recipe": msgspec.to_builtins(record.recipe),
        "stages": {name: msgspec.to_builtins(stage) for name, stage in record.stages.items()},
        "history": {
            name: [
                {k: None if v is None else float(v) for k, v in msgspec.structs.asdict(e).items()}
                for e in epochs
            ]
            for name, epochs in (("train", record.train_history), ("qat", record.qat_history))
            if epochs
        },
    }


def write_report(folder: Path, run: RunRecord | Mapping[str, Any]) -> tuple[Path, ...]:
    """Write report.md, report.json and report.html to `folder`; return their paths.

    `run` is the dict that `summarise` takes; the files are functions of it alone, byte for byte.

    Raises:
        MtfError: a file cannot be written.
    """
    run = plain(run) if isinstance(run, RunRecord) else run
    summary = summarise(run)
    contents = {
        "report.md": render_markdown(summary),
        "report.json": render_json(summary, run),
        "report.html": render_html(summary),
    }
    paths = []
    for name, content in contents.items():
        path = folder / name
        write_text(path, content)
        paths.append(path)
    return tuple(paths)


def format_stages(run: RunRecord | Mapping[str, Any]) -> str:
    """Return the stage table for a terminal, under 80 characters wide, and the verdict."""
    run = plain(run) if isinstance(run, RunRecord) else run
    summary = summarise(run)
    rows = summary.artifacts
    table = [format_table(stage_columns(rows), stage_rows(rows)), ""] if rows else []
    return "\n".join([*table, summary.verdict.sentence])


def render_json(summary: Summary, run: Mapping[str, Any]) -> str:
    """Return the report as JSON: the verdict, the compared rows and everything given.

    Figures that are not finite become null, since JSON has no name for them.
    """
    document = {
        "format": REPORT_FORMAT,
        "run": summary.run,
        "command": summary.command,
        "verdict": {
            **asdict(summary.verdict),
            "int8": summary.headline.label if summary.headline else None,
            "float": summary.reference.label if summary.reference else None,
        },
        "classes": list(class_names(summary)),
        "test_count": summary.test_count,
        "rows": [_short_row(row) for row in summary.artifacts],
        "recipe": run.get("recipe"),
        "stages": run.get("stages"),
        "history": run.get("history"),
    }
    return _format_json(_plain(document)) + "\n"


def _short_row(row: Artifact) -> dict[str, Any]:
    """Return a row without its long lists, which the benchmark stage in the same file holds."""
    return {
        key: value for key, value in asdict(row).items() if key not in ("per_class", "confusion")
    }


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


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    return str(value)
