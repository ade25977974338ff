"""Tables of the report: columns with units in their titles, as plain text and as Markdown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mobilenet_tf.report.summary import Artifact, Summary, mapping, ms_decimals, number, sequence

MISSING = "-"
LONG_TABLE_CLASSES = 20
WORST_CLASSES = 10


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
    if style == "markdown":
        titles = [escape_markdown(column.title) for column in columns]
        cells = [
            [
                code_span(cell, in_table=True) if column.code else escape_markdown(cell)
                for column, cell in zip(columns, row, strict=True)
            ]
            for row in rows
        ]
    else:
        titles = [column.short_title or column.title for column in columns]
        cells = [[printable(cell) for cell in row] for row in rows]
    widths = [
        max(3, *(_width(line[index]) for line in [titles, *cells])) for index in range(len(columns))
    ]
    if style == "markdown":
        rule = [
            "-" * (width - 1) + (":" if column.align == "right" else "-")
            for column, width in zip(columns, widths, strict=True)
        ]
        edges = ("| ", " | ", " |")
    else:
        rule = ["-" * width for width in widths]
        edges = ("", "  ", "")
    lines = [titles, rule, *cells]
    return "\n".join(
        (
            edges[0]
            + edges[1].join(
                _pad(cell, width, column.align)
                for cell, width, column in zip(line, widths, columns, strict=True)
            )
            + edges[2]
        ).rstrip()
        for line in lines
    )


def stage_columns(artifacts: Sequence[Artifact]) -> tuple[Column, ...]:
    """Return the columns of `stage_rows`; top-5 and TTA are there when some artifact has them."""
    unit = _size_unit(artifacts)[0]
    top5 = (Column("top-5 %"),) if any(row.top5 is not None for row in artifacts) else ()
    augmented = any(row.augmented_top1 is not None for row in artifacts)
    views = (Column("top-1 % over views", "TTA %"),) if augmented else ()
    return (
        Column("step", align="left"),
        Column("top-1 %"),
        *top5,
        *views,
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
    with_top5 = any(row.top5 is not None for row in artifacts)
    augmented = any(row.augmented_top1 is not None for row in artifacts)
    median_decimals = _latency_decimals([row.latency_median_ms for row in artifacts])
    return [
        (
            row.label,
            _fixed(row.top1, 100, 2),
            *((_fixed(row.top5, 100, 2),) if with_top5 else ()),
            *((_fixed(row.augmented_top1, 100, 2),) if augmented else ()),
            MISSING if row.delta_points is None else signed(row.delta_points),
            _fixed(row.size_bytes, 1 / divisor, decimals),
            _fixed(row.size_share, 100, 1),
            _fixed(row.latency_median_ms, 1, median_decimals),
            _fixed(row.latency_p90_ms, 1, median_decimals),
            _fixed(row.peak_memory_bytes, 1e-6, 1),
        )
        for row in artifacts
    ]


def stage_table(summary: Summary) -> Table:
    """Return the table that compares every model and file of the run."""
    settings = mapping(summary.recipe.get("benchmark"))
    runs, warmup = number(settings.get("latency_runs")), number(settings.get("latency_warmup_runs"))
    notes = []
    if summary.test_count is not None:
        notes.append(f"Accuracy on {summary.test_count:,} test images.")
    latency = "Latency of one image"
    if summary.threads is not None:
        latency += f" on {summary.threads} thread{'s' if summary.threads != 1 else ''}"
    if runs is not None:
        latency += f", over {runs:,.0f} runs"
        latency += "" if warmup is None else f" after {warmup:,.0f} to warm up"
    if any(row.augmented_top1 is not None for row in summary.artifacts):
        views = " and ".join(map(str, sequence(settings.get("test_time_augmentation"))))
        notes.append(f"Over views ({views}): the mean of each image's probabilities.")
    notes += [f"{latency}.", "1 KB is 1,000 bytes."]
    artifacts = summary.artifacts
    emphasis = artifacts.index(summary.headline) if summary.headline else None
    return Table(
        "Every model and file, side by side",
        stage_columns(artifacts),
        tuple(stage_rows(artifacts)),
        " ".join(notes),
        emphasis,
    )


def class_table(summary: Summary) -> Table | None:
    """Return accuracy by class, float against int8; with many classes the largest losses first."""
    row, reference = summary.best_artifact, summary.reference
    if row is None or not any(value is not None for value in row.per_class):
        return None
    compared = reference is not None and reference is not row and bool(reference.per_class)
    names = class_names(summary)
    lines: list[tuple[float, tuple[str, ...]]] = []
    for index, accuracy in enumerate(row.per_class):
        before = reference.per_class[index : index + 1] if compared and reference else ()
        base = before[0] if before else None
        change = None if base is None or accuracy is None else 100 * (accuracy - base)
        count = sum(row.confusion[index]) if index < len(row.confusion) else None
        cells = [names[index], MISSING if count is None else f"{count:,.0f}"]
        cells += [_fixed(base, 100, 1)] if compared else []
        cells += [_fixed(accuracy, 100, 1)]
        cells += [MISSING if change is None else signed(change, 1)] if compared else []
        lines.append((change if change is not None else 100 * (accuracy or 0.0), tuple(cells)))
    note = ""
    changes = [(value, cells[0]) for value, cells in lines if cells[-1] != MISSING]
    if compared and changes:
        worst, name = min(changes, key=lambda change: change[0])
        note = f"Largest loss in a class: {name}, {signed(worst, 1)} points."
        if worst >= 0:
            note = "No class lost accuracy."
    if len(lines) > LONG_TABLE_CLASSES:
        lines = sorted(lines, key=lambda line: line[0])[:WORST_CLASSES]
        note += f" The {WORST_CLASSES} worst of {len(row.per_class)} classes; report.json has all."
    columns = [Column("class", align="left"), Column("images")]
    if compared and reference:
        columns += [Column(f"{reference.label} %"), Column(f"{row.label} %"), Column("points")]
    else:
        columns += [Column(f"{row.label} %")]
    return Table(
        "Accuracy by class", tuple(columns), tuple(cells for _, cells in lines), note.strip()
    )


def confusion_pairs(summary: Summary, limit: int = 5) -> Table | None:
    """Return the `limit` most frequent mistakes of the int8 file (else of the float model)."""
    row = summary.best_artifact
    if row is None or not row.confusion:
        return None
    names = class_names(summary)
    pairs = [
        (count, sum(line), names[true], names[taken])
        for true, line in enumerate(row.confusion)
        for taken, count in enumerate(line)
        if true != taken and count > 0 and max(true, taken) < len(names)
    ]
    if not pairs:
        return None
    pairs.sort(key=lambda pair: -pair[0])
    return Table(
        f"Most frequent mistakes of {row.label}",
        (
            Column("true class", align="left"),
            Column("predicted", align="left"),
            Column("images"),
            Column("% of the class"),
        ),
        tuple(
            (true, taken, f"{count:,.0f}", f"{100 * count / total:.1f}")
            for count, total, true, taken in pairs[:limit]
        ),
    )


def class_names(summary: Summary) -> tuple[str, ...]:
    """Return a name for every class, "class 7" where the results hold none."""
    row = summary.best_artifact
    count = max([len(summary.classes)] + ([len(row.per_class), len(row.confusion)] if row else []))
    known = summary.classes
    return tuple(known[i] if i < len(known) else f"class {i}" for i in range(count))


def signed(value: float, decimals: int = 2) -> str:
    """Return a difference with its sign; what rounds to zero has none."""
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text


def printable(text: str) -> str:
    """Return `text` on one line without control characters, which would steer a terminal."""
    return "".join(
        " " if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") else character
        for character in text
    )


def escape_markdown(text: str) -> str:
    """Return `text` so that Markdown shows it as it is, in a table cell too."""
    escaped = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|~])|(?<!\w)(_)|(_)(?!\w)", r"\\\g<0>", escaped)


def code_span(text: str, *, in_table: bool = False) -> str:
    """Return `text` as Markdown code, fenced by more backticks than it holds."""
    shown = printable(text)
    if not shown.strip() or shown == MISSING:
        return shown.strip() or MISSING
    longest = max((len(ticks) for ticks in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{fence}{space}{shown.replace('|', chr(92) + '|') if in_table else shown}{space}{fence}"


def _fixed(value: float | None, factor: float, decimals: int) -> str:
    return MISSING if value is None else f"{value * factor:,.{decimals}f}"


def _size_unit(artifacts: Sequence[Artifact]) -> tuple[str, float, int]:
    largest = max((row.size_bytes or 0 for row in artifacts), default=0)
    return ("MB", 1e6, 2) if largest >= 1e7 else ("KB", 1e3, 1)


def _latency_decimals(latencies_ms: Sequence[float | None]) -> int:
    return max((ms_decimals(value) for value in latencies_ms if value is not None), default=2)


def _width(text: str) -> int:
    """Return the terminal cells of a text: East Asian wide characters take two."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _pad(text: str, width: int, align: str) -> str:
    gap = " " * (width - _width(text))
    return gap + text if align == "right" else text + gap
