"""The report as one HTML file: no request leaves it, plots and style are inside."""

from __future__ import annotations

import re
from html import escape
from importlib.resources import files

from mobilenet_tf.report import plots, provenance, usage
from mobilenet_tf.report.summary import Summary, accuracy_interval, format_ms, format_size
from mobilenet_tf.report.tables import (
    MISSING,
    Column,
    Table,
    class_table,
    confusion_pairs,
    signed,
    stage_table,
)

# The browser itself then refuses every request, whatever text the results hold.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render_html(summary: Summary) -> str:
    """Return the whole page as HTML; everything from the results is escaped."""
    body = "\n".join(
        filter(
            None,
            [
                _opening(summary),
                _stage_section(summary),
                _plot_section(summary),
                _class_section(summary),
                _usage_section(summary),
                _run_section(summary),
            ],
        )
    )
    return _page(f"{summary.run}: report", body)


def render_comparison(table: Table) -> str:
    """Return a page of one table, in the look of a report."""
    return _page(table.title, f"<section>\n{_table(table, 'wide', level=1)}\n</section>")


def _page(title: str, body: str) -> str:
    style = files("mobilenet_tf.report").joinpath("style.css").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _opening(summary: Summary) -> str:
    facts = "\n".join(
        f"<span>{escape(name)}: {escape(value)}</span>" for name, value in provenance.facts(summary)
    )
    meta = f'\n<p class="meta">{facts}</p>' if facts else ""
    verdict = summary.verdict
    return (
        f"<header>\n<h1>Report on {escape(summary.run)}</h1>{meta}\n"
        f'<div class="verdict {verdict.status}"><strong>{_signs(verdict.sentence)}</strong>\n'
        f'<p class="note">{_signs(verdict.basis)}</p></div>\n{_tiles(summary)}</header>'
    )


def _tiles(summary: Summary) -> str:
    row, reference = summary.headline, summary.reference
    if row is None:
        return ""
    tiles = []
    if row.top1 is not None:
        notes = []
        if reference and reference.top1 is not None and row.delta_points is not None:
            notes.append(f"float {100 * reference.top1:.2f} %: {signed(row.delta_points)} points")
        if summary.test_count:
            low, high = accuracy_interval(row.top1, summary.test_count)
            notes.append(f"95 % interval {100 * low:.1f} to {100 * high:.1f} %")
        tiles.append(("int8 accuracy, top-1", f"{100 * row.top1:.2f}", "%", notes))
    if row.size_bytes is not None:
        figure, unit = format_size(row.size_bytes).split(" ")
        notes = []
        if row.size_share is not None and summary.float_file and summary.float_file.size_bytes:
            whole = format_size(summary.float_file.size_bytes)
            notes.append(f"{100 * row.size_share:.1f} % of float32, {whole}")
        tiles.append(("int8 file", figure, unit, notes))
    if row.latency_median_ms is not None:
        notes = []
        base = summary.float_file.latency_median_ms if summary.float_file else None
        if base:
            ratio = base / row.latency_median_ms if row.latency_median_ms else 0.0
            notes.append(f"float32 file {format_ms(base)} ms: {ratio:.1f} times as fast")
        if summary.threads is not None:
            plural = "s" if summary.threads != 1 else ""
            notes.append(f"median, {summary.threads} thread{plural}")
        tiles.append(("int8, one image", format_ms(row.latency_median_ms), "ms", notes))
    cells = "\n".join(
        f'<div class="tile"><dt>{escape(name)}</dt>'
        f'<dd class="figure">{escape(figure)} <small>{unit}</small></dd>'
        + "".join(f'<dd class="note">{_signs(note)}</dd>' for note in notes)
        + "</div>"
        for name, figure, unit, notes in tiles
    )
    return f'<dl class="tiles">\n{cells}\n</dl>\n' if cells else ""


def _stage_section(summary: Summary) -> str:
    if not summary.artifacts:
        return ""
    return f"<section>\n{_table(stage_table(summary), 'wide', level=2)}\n</section>"


def _plot_section(summary: Summary) -> str:
    accuracy = plots.plot_accuracy_curves(summary)
    learned = "Accuracy while training"
    note = "Ring: the epoch that was kept." if "was kept" in accuracy else ""
    shown = [
        (
            "Accuracy against size",
            plots.plot_accuracy_size(summary),
            "Dashed: the least accuracy that counts as good.",
        ),
        (learned, accuracy, f"Training accuracy is measured on augmented images. {note}"),
        ("Loss while training", plots.plot_loss_curves(summary), ""),
        _confusion_figure(summary),
    ]
    figures = "\n".join(_figure(*parts) for parts in shown if parts[1])
    if not figures:
        return ""
    return f'<section>\n<h2>Plots</h2>\n<div class="plots">\n{figures}\n</div>\n</section>'


def _figure(title: str, svg: str, caption: str) -> str:
    below = f"<figcaption>{escape(caption.strip())}</figcaption>" if caption.strip() else ""
    return f"<figure><h3>{escape(title)}</h3>{svg}{below}</figure>"


def _confusion_figure(summary: Summary) -> tuple[str, str, str]:
    row = summary.best_artifact
    if row is None:
        return "", "", ""
    caption = (
        "Percent of each true class; under half a percent is blank."
        if len(row.confusion) <= plots.NUMBERED_CLASSES
        else ""
    )
    return (
        f"Confusion matrix of {row.label}",
        plots.plot_confusion(summary),
        f"{caption} Shades grow with the square root of the share.",
    )


def _class_section(summary: Summary) -> str:
    tables = [table for table in (class_table(summary), confusion_pairs(summary)) if table]
    if not tables:
        return ""
    blocks = "\n".join(f"<div>\n{_table(table)}\n</div>" for table in tables)
    return f'<section>\n<h2>Class by class</h2>\n<div class="plots">\n{blocks}\n</div>\n</section>'


def _usage_section(summary: Summary) -> str:
    table, row = usage.mapping_table(summary), usage.shown_file(summary)
    if table is None or row is None:
        return ""
    code = usage.python_example(summary)
    example = f"<h3>In Python</h3>\n<pre><code>{escape(code)}</code></pre>" if code else ""
    return (
        f"<section>\n<h2>How to use <code>{escape(row.file or row.name)}</code></h2>\n"
        f"{_table(table)}\n{example}\n</section>"
    )


def _run_section(summary: Summary) -> str:
    parts = []
    if summary.command:
        parts.append(f"<h3>Command</h3>\n<pre><code>{escape(summary.command)}</code></pre>")
    stages = provenance.stages_table(summary)
    parts += [_table(stages)] if stages else []
    environment = provenance.environment_table(summary)
    parts += [_table(environment, "pairs")] if environment else []
    toml = provenance.settings_toml(summary)
    if toml:
        hint = (
            "<p>Saved as a <code>.toml</code> file this is a recipe: <code>mtf run FILE</code>.</p>"
        )
        parts.append(
            f"<h3>Settings</h3>\n{hint if summary.recipe else ''}\n"
            f"<pre><code>{escape(toml)}</code></pre>"
        )
    inventory = provenance.files_table(summary)
    parts += [_table(inventory, "pairs")] if inventory else []
    if not parts:
        return ""
    body = "\n".join(parts)
    return f"<section>\n<h2>What was run, and where</h2>\n{body}\n</section>"


def _table(table: Table, name: str = "", *, level: int = 3) -> str:
    head = "".join(
        f'<th scope="col"{_numeric(column)}>{_signs(column.title)}</th>' for column in table.columns
    )
    body = "\n".join(
        f"<tr{' class=shown' if index == table.emphasis else ''}>"
        + "".join(
            _cell(cell, column, first=at == 0)
            for at, (cell, column) in enumerate(zip(row, table.columns, strict=True))
        )
        + "</tr>"
        for index, row in enumerate(table.rows)
    )
    title = escape(table.title)
    note = f'\n<p class="note">{_signs(table.note)}</p>' if table.note else ""
    classes = f' class="{name}"' if name else ""
    return (
        f"<h{level}>{title}</h{level}>\n"
        f'<div class="scroll" role="region" aria-label="{title}" tabindex="0">\n'
        f"<table{classes}><caption>{title}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table></div>{note}"
    )


def _cell(cell: str, column: Column, *, first: bool) -> str:
    if cell == MISSING:
        shown = "\u2013"
    elif column.code:
        shown = f"<code>{escape(cell)}</code>"
    else:
        shown = _signs(cell) if column.align == "right" else escape(cell)
    return f'<th scope="row">{shown}</th>' if first else f"<td{_numeric(column)}>{shown}</td>"


def _numeric(column: Column) -> str:
    return ' class="n"' if column.align == "right" else ""


def _signs(text: str) -> str:
    """Return escaped text with a real minus and with units that stay by their numbers."""
    words = re.sub(r"(?<=\d) (?=(%|KB|MB|ms|points?)\b|%)", "\u00a0", escape(text)).split(" ")
    return " ".join(
        f"\u2212{word[1:]}" if word[:1] == "-" and word[1:2].isdigit() else word for word in words
    )
