"""Tables of the report: columns with units in their titles, as plain text and as Markdown."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mobilenet_tf.report.units import MISSING
from mobilenet_tf.system.terminal import escape

WIDTH = 100  # of a table in a pipe, and at most in a terminal


@dataclass(frozen=True)
class Column:
    """A column: its title with the unit, a short title for 80-character terminals, alignment.

    An optional one is left out of `make_table` where no row has a value.
    """

    title: str
    short_title: str = ""
    align: Literal["left", "right"] = "right"
    code: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Table:
    """A titled table of text cells; `emphasis` is the index of the row the report is about."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    emphasis: int | None = None


AUGMENTED = Column("top-1 % with test-time augmentation", "TTA %", optional=True)


def make_table(
    title: str,
    columns: Sequence[tuple[Column, Sequence[str]]],
    note: str = "",
    emphasis: int | None = None,
) -> Table:
    """Return the table of columns and their cells."""
    shown = [(c, cells) for c, cells in columns if not c.optional or set(cells) - {MISSING}]
    rows = zip(*(cells for _, cells in shown), strict=True)
    return Table(title, tuple(column for column, _ in shown), tuple(rows), note, emphasis)


def mistake_table(
    title: str, names: Sequence[str], confusion: Sequence[Sequence[int]], most: int
) -> Table:
    """Return the pairs of classes that are confused most often; `confusion[true][predicted]`."""
    mistakes = [
        (count, names[true], names[predicted], 100 * count / sum(line))
        for true, line in enumerate(confusion)
        for predicted, count in enumerate(line)
        if true != predicted and count
    ]
    columns = (Column("true class", align="left"), Column("predicted", align="left"))
    return Table(
        title,
        (*columns, Column("images"), Column("% of the class")),
        tuple(
            (true, other, f"{count:,}", f"{share:.1f}")
            for count, true, other, share in sorted(mistakes, key=lambda row: -row[0])[:most]
        ),
    )


def format_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    style: Literal["text", "markdown"] = "text",
) -> str:
    """Return an aligned table, for a terminal (short titles, ASCII rules) or as Markdown.

    Raises:
        ValueError: a row has another number of cells than there are columns.
    """
    return _markdown(columns, rows) if style == "markdown" else _text(columns, rows)


def format_noted(table: Table, style: Literal["text", "markdown"] = "text") -> str:
    """Return a table as `format_table`, and its note below."""
    note = escape_markdown(table.note) if style == "markdown" else escape(table.note)
    return f"{format_table(table.columns, table.rows, style)}\n\n{note}"


def text_table(columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> str:
    """Return an aligned table for a terminal.

    `columns` maps each title to the format of its values, such as ",.1f"; a column with one stands
    to the right, and None is a dash.
    """
    heads = [Column(title, align="right" if spec else "left") for title, spec in columns.items()]
    specs = tuple(columns.values())
    cells = [
        [MISSING if v is None else format(v, spec) for v, spec in zip(row, specs, strict=True)]
        for row in rows
    ]
    return format_table(heads, cells)


def _markdown(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    from rich.cells import cell_len

    lines = [[escape_markdown(column.title) for column in columns]]
    lines += [
        [
            code_span(cell, in_table=True) if column.code else escape_markdown(cell)
            for column, cell in zip(columns, row, strict=True)
        ]
        for row in rows
    ]
    padded = []
    for column, cells in zip(columns, zip(*lines, strict=True), strict=True):
        right, width = column.align == "right", max(3, *map(cell_len, cells))
        gaps = [" " * (width - cell_len(cell)) for cell in cells]
        filled = [gap + c if right else c + gap for c, gap in zip(cells, gaps, strict=True)]
        padded.append([filled[0], "-" * (width - 1) + (":" if right else "-"), *filled[1:]])
    return "\n".join(f"| {' | '.join(line)} |" for line in zip(*padded, strict=True))


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
        table.add_row(*(Text(escape(cell)) for _, cell in zip(columns, row, strict=True)))
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().rstrip().split("\n"))


def escape_markdown(text: str) -> str:
    """Return `text` so that Markdown shows it as it is, in a table cell too."""
    escaped = escape(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|~])|(?<!\w)(_)|(_)(?!\w)", r"\\\g<0>", escaped)


def code_span(text: str, *, in_table: bool = False) -> str:
    """Return `text` as Markdown code, fenced by more backticks than it holds."""
    shown = escape(text)
    if not shown.strip() or shown == MISSING:
        return shown.strip() or MISSING
    longest = longest_fence(shown)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{shown.replace('|', chr(92) + '|') if in_table else shown}{space}{fence}"


def longest_fence(text: str) -> int:
    """Return how many backticks stand together in `text` at most."""
    return max(map(len, re.findall("`+", text)), default=0)
