"""The page of several runs: accuracy against what it costs, the frontier, a table to sort."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mobilenet_tf.report import figure as fig
from mobilenet_tf.report.comparison import ComparisonRow, comparison_table
from mobilenet_tf.report.figure import Plot, make_plot
from mobilenet_tf.report.plots import short_size
from mobilenet_tf.report.rivals import DATASET, RIVALS, SOURCES
from mobilenet_tf.report.tables import Column, Table, make_table
from mobilenet_tf.report.templates import POLICY, TEMPLATES, render
from mobilenet_tf.report.units import fixed
from mobilenet_tf.system.terminal import escape as escape_control

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PALE = 0.35  # the opacity of what something else beats
LABEL_GAP = 0.07  # of the plot's height, between two labels


@dataclass(frozen=True)
class Point:
    """A mark on a plot; `row` is that of the table it belongs to, None for others' networks."""

    name: str
    cost: float
    top1: float
    series: str
    row: int | None = None


@dataclass(frozen=True)
class Cost:
    """What accuracy is set against: how it is read from a row, and written on an axis."""

    title: str
    axis: str
    float_of: Callable[[ComparisonRow], float | None]
    int8_of: Callable[[ComparisonRow], float | None]
    rival_of: Callable[[Any], float | None]
    tick: Callable[[float], str]


def _none(_: Any) -> None:
    return None


def _minutes(row: ComparisonRow) -> float | None:
    return row.training_time_s and row.training_time_s / 60


COSTS = (
    Cost(
        "Size", "file size", lambda row: row.float_size_bytes, lambda row: row.int8_size_bytes,
        lambda rival: rival.size_bytes, short_size,
    ),
    Cost(
        "Multiply-accumulates", "million an image", lambda row: row.macs, lambda row: row.macs,
        lambda rival: rival.macs, lambda macs: f"{macs / 1e6:g}",
    ),
    Cost(
        "Latency", "ms an image", lambda row: row.float_latency_median_ms,
        lambda row: row.int8_latency_median_ms, _none, lambda ms: f"{ms:g}",
    ),
    Cost(
        "Training time", "minutes", _minutes, _minutes, _none, lambda minutes: f"{minutes:g}",
    ),
)  # fmt: skip
MARKS: dict[str, tuple[str, str]] = {  # series -> marker, colour
    "float": ("o", fig.FLOAT),
    "int8": ("D", fig.INT8),
    "published by others": ("x", fig.MUTED),
}


def render_pareto(title: str, rows: Sequence[ComparisonRow], page: Path) -> str:
    """Return the page of runs that will be the file `page`; its links are relative to there."""
    script = (TEMPLATES / "pareto.js").read_text("utf-8")
    digest = b64encode(sha256(script.encode()).digest()).decode("ascii")
    return render(
        "pareto.html.jinja",
        title=title,
        policy=f"{POLICY}; script-src 'sha256-{digest}'",
        script=script,
        plots=[plot for cost in COSTS if (plot := plot_cost(cost, rows))],
        table=comparison_table(rows),
        links=[_link(row, page) for row in rows],
        rivals=rivals_table() if _has_rivals(rows) else None,
    )


def plot_cost(cost: Cost, rows: Sequence[ComparisonRow]) -> Plot | None:
    """Return top-1 (%) against a cost (logarithmic); None where nothing has it."""
    points = list_points(cost, rows)
    frontiers = find_frontiers(points, rows)
    if not frontiers:
        return None
    best = [point for frontier in frontiers for point in frontier]

    def draw(axes: Axes) -> None:
        _set_axes(axes, cost, points)
        for frontier in frontiers:
            axes.plot(
                [point.cost for point in frontier], [100 * point.top1 for point in frontier],
                color=fig.MUTED, linewidth=1, drawstyle="steps-post", zorder=1,
            )  # fmt: skip
        for series, (marker, color) in MARKS.items():
            marks = [point for point in points if point.series == series]
            if marks:
                _draw_marks(axes, marks, best, marker, color)
        _label(axes, best)
        axes.figure.legend(loc="outside lower center", ncols=3, handletextpad=0.1)

    told = "; ".join(
        f"{p.name} {p.series} {100 * p.top1:.2f} % at {_figure(p, cost)}" for p in best
    )
    plot = make_plot(f"Accuracy against {cost.title.lower()}", draw, f"frontier: {told}")
    return Plot(plot.title, _name_points(plot.svg, points, cost), plot.caption)


def list_points(cost: Cost, rows: Sequence[ComparisonRow]) -> list[Point]:
    """Return what a plot shows: both networks of each run, and others' on the same data."""
    points = [
        Point(row.variant, of_row, top1, series, index)
        for index, row in enumerate(rows)
        for series, of_row, top1 in (
            ("float", cost.float_of(row), row.float_top1),
            ("int8", cost.int8_of(row), row.int8_top1),
        )
        if of_row and top1 is not None
    ]
    for rival in RIVALS if _has_rivals(rows) else ():
        if of_rival := cost.rival_of(rival):
            points.append(Point(rival.name, of_rival, rival.top1, "published by others"))
    return points


def find_frontiers(points: Sequence[Point], rows: Sequence[ComparisonRow]) -> list[list[Point]]:
    """Return the frontier of the runs on each dataset: other accuracies do not compare."""
    by_dataset: dict[str, list[Point]] = {}
    for point in points:
        if point.row is not None:
            by_dataset.setdefault(rows[point.row].dataset, []).append(point)
    return [find_frontier(each) for each in by_dataset.values()]


def find_frontier(points: Sequence[Point]) -> list[Point]:
    """Return the points that none beats in both cost and accuracy, the cheapest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -p.top1)):
        if not best or point.top1 > best[-1].top1:
            best.append(point)
    return best


def rivals_table() -> Table:
    """Return what others have published."""
    columns = (
        (Column("network", align="left"), [rival.name for rival in RIVALS]),
        (Column("top-1 %"), [fixed(rival.top1, 100, 2) for rival in RIVALS]),
        (Column("M parameters"), [fixed(rival.parameters, 1e-6, 2) for rival in RIVALS]),
        (Column("M MACs"), [fixed(rival.macs, 1e-6, 1) for rival in RIVALS]),
        (Column("KB"), [fixed(rival.size_bytes, 1e-3, 0) for rival in RIVALS]),
        (Column("source", align="left"), [rival.source for rival in RIVALS]),
    )
    sources = "; ".join(f"{name}: {text}" for name, text in SOURCES.items())
    note = f"Not measured here. Where no size is published, it is 4 bytes a parameter. {sources}."
    return make_table("Published by others on CIFAR-10", columns, note)


def _has_rivals(rows: Sequence[ComparisonRow]) -> bool:
    return {row.dataset for row in rows} == {DATASET}


def _set_axes(axes: Axes, cost: Cost, points: Sequence[Point]) -> None:
    fig.set_log_axis(axes, cost.axis, cost.tick)
    costs = [point.cost for point in points]
    axes.set_xlim(min(costs) / 2.5, max(costs) * 1.6)  # room for labels, left of the marks
    values = [100 * point.top1 for point in points]
    margin = max(max(values) - min(values), 1.0) * 0.12
    axes.set_ylim(min(values) - margin, max(values) + margin)


def _draw_marks(
    axes: Axes, marks: Sequence[Point], best: Sequence[Point], marker: str, color: str
) -> None:
    """Draw the marks of a series, each with an address that `_name_points` knows."""
    hollow: Any = {} if marker == "x" else {"facecolors": "none", "edgecolors": color}
    for point in marks:
        pale = point.row is not None and point not in best
        axes.scatter(
            [point.cost], [100 * point.top1], marker=marker, s=60, linewidths=1.75,
            c=color if marker == "x" else None, alpha=PALE if pale else 1.0, zorder=2,
            urls=[_address(point)], **hollow,
        )  # fmt: skip
    # the legend's mark, which no pale one stands for
    axes.scatter([], [], marker=marker, s=60, linewidths=1.75, label=marks[0].series,
                 c=color if marker == "x" else None, **hollow)  # fmt: skip


def _label(axes: Axes, best: Sequence[Point]) -> None:
    """Name points of a frontier above and left of them, where no other of it can be."""
    low, high = axes.get_ylim()
    taken: list[float] = []
    for point in best:
        height = 100 * point.top1
        if all(abs(height - other) >= LABEL_GAP * (high - low) for other in taken):
            taken.append(height)
            axes.annotate(
                escape_control(point.name), (point.cost, height), xytext=(-7, 3),
                textcoords="offset points", ha="right", fontsize=10, color=fig.INK,
            )  # fmt: skip


def _address(point: Point) -> str:
    return "#rivals" if point.row is None else f"#run-{point.row}"


def _name_points(svg: Any, points: Sequence[Point], cost: Cost) -> Any:
    """Return an SVG whose marks say what they are; a browser shows it under the pointer."""
    import markupsafe

    drawn = iter(sorted(points, key=lambda point: list(MARKS).index(point.series)))

    def name(match: re.Match[str]) -> str:
        point = next(drawn)
        told = f"{point.name}, {point.series}: {100 * point.top1:.2f} %, {_figure(point, cost)}"
        return f'<a xlink:href="{match[1]}"><title>{escape(escape_control(told))}</title>'

    named = re.sub(r'<a xlink:href="([^"]*)" target="_blank">', name, str(svg))
    return markupsafe.Markup(named)  # noqa: S704  # escaped above


def _figure(point: Point, cost: Cost) -> str:
    """Return a cost to three digits, with what it counts."""
    return f"{cost.tick(float(f'{point.cost:.3g}'))} {cost.axis}"


def _link(row: ComparisonRow, page: Path) -> str:
    """Return the address of a run's report as the page's reader finds it; "" without one."""
    if row.report is None:
        return ""
    path = Path(os.path.relpath(row.report, page.resolve().parent)).as_posix()
    return quote(os.fsencode(path))
