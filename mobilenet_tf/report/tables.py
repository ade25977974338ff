"""Tables of the report: columns with units in their titles, as plain text and as Markdown."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mobilenet_tf.report.summary import Artifact, Summary
from mobilenet_tf.report.units import MISSING, fixed, ms_decimals, signed
from mobilenet_tf.system.terminal import escape

LONG_TABLE_CLASSES = 20
WORST_CLASSES = 10
WIDTH = 100  # of a table in a pipe, and at most in a terminal


@dataclass(frozen=True)
class Column:
    """A column: its title with the unit, a short title for 80-character terminals, alignment."""

    title: str
    short_title: str = ""
    align: Literal["left", "right"] = "right"
    code: bool = False


@dataclass(frozen=True)
class Table:
    """A titled table of text cells; `emphasis` is the index of the row the report is about."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    emphasis: int | None = None


def format_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    style: Literal["text", "markdown"] = "text",
) -> str:
    """Return an aligned table, for a terminal (short titles, ASCII rules) or as Markdown.

    Raises:
        ValueError: a row has another number of cells than there are columns.
    """
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"a row of {len(row)} cells in a table of {len(columns)}: {row!r}")
    return _markdown(columns, rows) if style == "markdown" else _text(columns, rows)


def _markdown(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    lines = [[escape_markdown(column.title) for column in columns]]
    lines.append(["--:" if column.align == "right" else "---" for column in columns])
    lines += [
        [
            code_span(cell, in_table=True) if column.code else escape_markdown(cell)
            for column, cell in zip(columns, row, strict=True)
        ]
        for row in rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    from rich.box import Box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    width = min(WIDTH, os.get_terminal_size().columns) if sys.stdout.isatty() else WIDTH
    table = RichTable(box=Box("    \n    \n -  \n" + "    \n" * 5, ascii=True), show_edge=False)
    table.padding, table.pad_edge = (0, 1, 0, 0), False
    for column in columns:
        table.add_column(
            Text(escape(column.short_title or column.title)),
            justify=column.align,
            overflow="fold",
            no_wrap=column.align == "right",
        )
    for row in rows:
        table.add_row(*(Text(escape(cell)) for cell in row))
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().rstrip().split("\n"))


def stage_columns(artifacts: Sequence[Artifact]) -> tuple[Column, ...]:
    """Return the columns of `stage_rows`; top-5 and TTA are there when some artifact has them."""
    unit = _size_unit(artifacts)[0]
    top5 = (Column("top-5 %"),) if any(a.row.top5 is not None for a in artifacts) else ()
    augmented = any(a.row.test_time_augmentation for a in artifacts)
    tta = (Column("top-1 % with test-time augmentation", "TTA %"),) if augmented else ()
    return (
        Column("step", align="left"),
        Column("top-1 %"),
        *top5,
        *tta,
        Column("points to float", "vs float"),
        Column(f"size {unit}"),
        Column("% of float32", "size %"),
        Column("median ms"),
        Column("p90 ms"),
        Column("peak memory MB", "peak MB"),
    )


def stage_rows(artifacts: Sequence[Artifact]) -> list[tuple[str, ...]]:
    """Return one row of rounded ASCII cells an artifact, in the order of `stage_columns`.

    Sizes are in decimal units (1 KB = 1,000 bytes), differences to the float model in points.
    """
    _, divisor, decimals = _size_unit(artifacts)
    with_top5 = any(a.row.top5 is not None for a in artifacts)
    augmented = any(a.row.test_time_augmentation for a in artifacts)
    places = max((ms_decimals(a.row.latency_median_ms) for a in artifacts), default=2)
    rows = []
    for artifact in artifacts:
        row, tta = artifact.row, artifact.row.test_time_augmentation
        delta = artifact.delta_points
        rows.append(
            (
                artifact.label,
                fixed(row.top1, 100, 2),
                *((fixed(row.top5, 100, 2),) if with_top5 else ()),
                *((fixed(tta.top1 if tta else None, 100, 2),) if augmented else ()),
                MISSING if delta is None else signed(delta),
                fixed(row.size_bytes, 1 / divisor, decimals),
                fixed(artifact.size_share, 100, 1),
                fixed(row.latency_median_ms, 1, places),
                fixed(row.latency_p90_ms, 1, places),
                fixed(row.peak_memory_bytes, 1e-6, 1),
            )
        )
    return rows


def stage_table(summary: Summary) -> Table:
    """Return the table that compares every model and file of the run."""
    settings, benchmark = summary.record.recipe.benchmark, summary.benchmark
    artifacts, notes = summary.artifacts, []
    if benchmark:
        plural = "s" if benchmark.threads != 1 else ""
        runs = benchmark.latency_runs or settings.latency_runs
        notes = [
            f"Accuracy on {benchmark.test_count:,} test images. Latency of one image on"
            f" {benchmark.threads} thread{plural}, over {runs:,} runs after"
            f" {settings.latency_warmup_runs:,} to warm up."
        ]
    views = next((a.row.test_time_augmentation for a in artifacts), None)
    if views:
        notes.append(
            f"Test-time augmentation: the mean over {views.view_count} versions of each image"
            f" ({', '.join(views.views)})."
        )
    return Table(
        "Every model and file, side by side",
        stage_columns(artifacts),
        tuple(stage_rows(artifacts)),
        " ".join([*notes, "1 KB is 1,000 bytes."]),
        artifacts.index(summary.headline) if summary.headline else None,
    )


def class_table(summary: Summary) -> Table | None:
    """Return accuracy by class, float against int8; with many classes the largest losses first."""
    artifact, reference = summary.best_artifact, summary.reference
    if artifact is None:
        return None
    compared = reference is not None and reference is not artifact
    shares = artifact.row.per_class
    base = reference.row.per_class if reference and compared else (None,) * len(shares)
    lines: list[tuple[float, tuple[str, ...]]] = []
    for name, count, before, share in zip(
        class_names(summary), map(sum, artifact.row.confusion), base, shares, strict=True
    ):
        change = None if before is None or share is None else 100 * (share - before)
        cells = [name, f"{count:,}"]
        cells += [fixed(before, 100, 1)] if compared else []
        cells += [fixed(share, 100, 1)]
        cells += [MISSING if change is None else signed(change, 1)] if compared else []
        lines.append((change if change is not None else 100 * (share or 0.0), tuple(cells)))
    note = ""
    if compared:
        worst, cells_of_worst = min(lines, key=lambda line: line[0])
        note = f"Largest loss in a class: {cells_of_worst[0]}, {signed(worst, 1)} points."
        if worst >= 0:
            note = "No class lost accuracy."
    if len(lines) > LONG_TABLE_CLASSES:
        lines = sorted(lines, key=lambda line: line[0])[:WORST_CLASSES]
        note += f" The {WORST_CLASSES} worst of {len(shares)} classes; report.json has all."
    columns = [Column("class", align="left"), Column("images")]
    columns += [Column(f"{reference.label} %")] if reference and compared else []
    columns += [Column(f"{artifact.label} %")]
    columns += [Column("points")] if compared else []
    return Table(
        "Accuracy by class", tuple(columns), tuple(cells for _, cells in lines), note.strip()
    )


def confusion_pairs(summary: Summary, limit: int = 5) -> Table | None:
    """Return the `limit` most frequent mistakes of the int8 file (else of the float model)."""
    artifact = summary.best_artifact
    if artifact is None:
        return None
    names = class_names(summary)
    pairs = [
        (count, sum(line), names[true], names[predicted])
        for true, line in enumerate(artifact.row.confusion)
        for predicted, count in enumerate(line)
        if true != predicted and count
    ]
    if not pairs:
        return None
    pairs.sort(key=lambda pair: -pair[0])
    return Table(
        f"Most frequent mistakes of {artifact.label}",
        (
            Column("true class", align="left"),
            Column("predicted", align="left"),
            Column("images"),
            Column("% of the class"),
        ),
        tuple(
            (true, predicted, f"{count:,}", f"{100 * count / total:.1f}")
            for count, total, true, predicted in pairs[:limit]
        ),
    )


def class_names(summary: Summary) -> tuple[str, ...]:
    """Return a name for every class, "class 7" where the results hold none."""
    artifact, known = summary.best_artifact, summary.classes
    count = len(artifact.row.confusion) if artifact else len(known)
    return tuple(known[i] if i < len(known) else f"class {i}" for i in range(count))


def escape_markdown(text: str) -> str:
    """Return `text` so that Markdown shows it as it is, in a table cell too."""
    escaped = escape(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|~])|(?<!\w)(_)|(_)(?!\w)", r"\\\g<0>", escaped)


def code_span(text: str, *, in_table: bool = False) -> str:
    """Return `text` as Markdown code, fenced by more backticks than it holds."""
    shown = escape(text)
    if not shown.strip() or shown == MISSING:
        return shown.strip() or MISSING
    longest = max((len(ticks) for ticks in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{fence}{space}{shown.replace('|', chr(92) + '|') if in_table else shown}{space}{fence}"


def _size_unit(artifacts: Sequence[Artifact]) -> tuple[str, float, int]:
    largest = max((a.row.size_bytes for a in artifacts), default=0)
    return ("MB", 1e6, 2) if largest >= 1e7 else ("KB", 1e3, 1)
