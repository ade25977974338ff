"""The report as Markdown: the same tables, for a repository or a code review."""

from __future__ import annotations

from mobilenet_tf.report import provenance, usage
from mobilenet_tf.report.summary import Summary
from mobilenet_tf.report.tables import (
    Table,
    class_table,
    code_span,
    confusion_pairs,
    escape_markdown,
    format_table,
    stage_table,
)


def render_markdown(summary: Summary) -> str:
    """Return the report as GitHub-flavoured Markdown, without the plots."""
    verdict = summary.verdict
    parts = [
        f"# Report on {escape_markdown(summary.run)}",
        f"**{escape_markdown(verdict.sentence)}**",
        escape_markdown(verdict.basis),
    ]
    facts = provenance.facts(summary)
    if facts:
        parts.append(
            "\n".join(f"- {escape_markdown(name)}: {escape_markdown(text)}" for name, text in facts)
        )
    if summary.artifacts:
        parts += _section(stage_table(summary), level=2)
        parts.append("Plots and the confusion matrix are in `report.html`.")
    for table in (class_table(summary), confusion_pairs(summary)):
        parts += _section(table, level=2)
    parts += _usage(summary)
    parts += _run(summary)
    return "\n\n".join(filter(None, parts)) + "\n"


def _usage(summary: Summary) -> list[str]:
    table, row = usage.mapping_table(summary), usage.shown_file(summary)
    if table is None or row is None:
        return []
    code = usage.python_example(summary)
    return [
        f"## How to use {code_span(row.file or row.name)}",
        *_section(table, level=3),
        _fenced(code, "python") if code else "",
    ]


def _run(summary: Summary) -> list[str]:
    parts = []
    if summary.command:
        parts.append(_fenced(summary.command, "sh"))
    parts += _section(provenance.stages_table(summary), level=3)
    parts += _section(provenance.environment_table(summary), level=3)
    toml = provenance.settings_toml(summary)
    if toml:
        parts += ["### Settings", _fenced(toml, "toml")]
    parts += _section(provenance.files_table(summary), level=3)
    return ["## What was run, and where", *parts] if parts else []


def _section(table: Table | None, *, level: int) -> list[str]:
    if table is None:
        return []
    return [
        f"{'#' * level} {escape_markdown(table.title)}",
        format_table(table.columns, table.rows, "markdown"),
        escape_markdown(table.note),
    ]


def _fenced(code: str, language: str) -> str:
    fence = "```"
    while fence in code:
        fence += "`"
    return f"{fence}{language}\n{code}\n{fence}"
