"""Models to choose from, for a terminal: recommended, by family, by variant, layer by layer."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from mobilenet_tf.models.overview import INT8_NOTES, LayerRow, VariantRow
from mobilenet_tf.report.tables import text_table
from mobilenet_tf.runs.results import BenchmarkRow

BALANCED_MACS_SHARE = 0.5  # of the most accurate model's: what a balanced one may cost
WIDTH = 80  # of the text, in characters
COSTS = {"parameters": ",", "M MACs": ",.2f"}


def format_recommended(measured: Mapping[str, BenchmarkRow]) -> str:
    """Return the recommended ones of models whose int8 files were measured, by name."""
    best = max(measured, key=lambda name: measured[name].top1)
    dear = BALANCED_MACS_SHARE * measured[best].macs
    affordable = [name for name, row in measured.items() if row.macs <= dear] or list(measured)
    chosen = {
        "smallest": min(measured, key=lambda name: measured[name].size_bytes),
        "balanced": max(affordable, key=lambda name: measured[name].top1),
        "most accurate": best,
    }
    titles = {"for you": "", "in mtf zoo": "", **COSTS, "int8 KB": ",.1f", "top-1 %": ".2f"}
    rows = [
        (title, name, row.parameters, row.macs / 1e6, row.size_bytes / 1e3, 100 * row.top1)
        for title, name in chosen.items()
        for row in (measured[name],)
    ]
    return text_table(titles, rows)


def format_families(rows: Sequence[VariantRow]) -> str:
    """Return a line a model: its published widths, and its sizes at the smallest input."""
    side_px = min(row.resolution_px for row in rows)
    spans = []
    for name in dict.fromkeys(row.model for row in rows):
        own = [row for row in rows if (row.model, row.resolution_px) == (name, side_px)]
        spans.append(
            (
                name,
                _span([row.alpha for row in own], "g"),
                _span([row.macs / 1e6 for row in own], ",.2f"),
                _span([row.int8_bytes / 1e3 for row in own], ",.1f"),
            )
        )
    head = f"Models, published widths at {side_px} pixels with {rows[0].classes} classes:"
    titles = {"model": "", "alpha": ">", "M MACs": ">", "int8 KB": ">"}
    return f"{head}\n\n{text_table(titles, spans)}"


def format_variants(rows: Sequence[VariantRow]) -> str:
    """Return a line a variant, and what its models do not take."""
    lines = []
    for row in {row.model: row for row in rows}.values():
        lines.append(f"{row.model} ({row.source})")
        if row.cannot:
            line = f"  does not take {', '.join(row.cannot)}"
            lines += textwrap.wrap(line, WIDTH, subsequent_indent="    ")
    titles = {"variant": "", "alpha": "g", "px": "d", "strides": "", **COSTS}
    titles |= {"float32 KB": ",.1f", "int8 KB": ",.1f"}
    cells = [
        (
            *(row.name, row.alpha, row.resolution_px, row.stride_plan, row.parameters),
            *(row.macs / 1e6, row.float32_bytes / 1e3, row.int8_bytes / 1e3),
        )
        for row in rows
    ]
    return "\n".join(
        [
            *lines,
            "",
            text_table(titles, cells),
            "",
            f"{rows[0].classes} classes; 1 KB is 1,000 bytes of weights.",
            "",
            "Options in the int8 file (measured in docs/notebook/models.md):",
            *(f"  {option}: {note}" for option, note in INT8_NOTES.items()),
        ]
    )


def format_layers(row: VariantRow) -> str:
    """Return a line a layer of one variant, and their sum."""
    cells = [
        (each.name, "x".join(map(str, each.output_shape)), *_costs(each))
        for each in row.layers or ()
    ]
    titles = {"layer": "", "output": ">", **COSTS, "int8 KB": ",.1f"}
    return (
        f"{row.name}: {row.model} ({row.source}), alpha {row.alpha:g}, {row.resolution_px} pixels,"
        f" {row.stride_plan} strides, {row.classes} classes\n\n"
        + text_table(titles, [*cells, ("total", "", *_costs(row))])
    )


def _costs(row: VariantRow | LayerRow) -> tuple[int, float, float]:
    return row.parameters, row.macs / 1e6, row.int8_bytes / 1e3


def _span(values: Sequence[float], spec: str) -> str:
    return " - ".join(dict.fromkeys(format(end, spec) for end in (min(values), max(values))))
