"""The plots of the report as SVG text, drawn by matplotlib in colours that follow the page.

matplotlib is given a stand-in for each colour; the SVG then names the page's CSS variable, so one
plot suits light and dark. Text stays text, and series differ in shape or dash as well as in colour.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from mobilenet_tf.report.summary import Artifact, Summary
from mobilenet_tf.report.tables import class_names
from mobilenet_tf.report.templates import STYLE
from mobilenet_tf.report.units import format_size
from mobilenet_tf.report.verdict import ACCURACY_LIMIT_POINTS
from mobilenet_tf.runs.history import Epoch
from mobilenet_tf.system.terminal import escape as escape_control

if TYPE_CHECKING:
    import markupsafe
    from matplotlib.figure import Figure

WIDTH_PX, HEIGHT_PX = 420.0, 300.0
LEAST_SPAN_POINTS = 1.0  # a tenth of a point must not look like a cliff
NUMBERED_CLASSES = 20
SHADES = 12
MARKERS = {"dynamic_range": "^", "int8_ptq": "s", "int8_qat": "D"}
# name of a CSS variable -> the colour that stands in for it while matplotlib draws
INK, MUTED, LINE, PANEL = "#010101", "#020202", "#030303", "#040404"
FLOAT, INT8, SHADE, ON_SHADE, PAGE = "#050505", "#060606", "#070707", "#080808", "#090909"
VARIABLES = {
    INK: "ink", MUTED: "muted", LINE: "line", PANEL: "panel", FLOAT: "float", INT8: "int8",
    SHADE: "shade", ON_SHADE: "on-shade", PAGE: "page",
}  # fmt: skip
RC = {
    "svg.fonttype": "none", "svg.hashsalt": "mobilenet-tf", "path.simplify": False,
    "font.size": 12, "font.family": "DejaVu Sans", "text.color": INK, "text.parse_math": False,
    "axes.edgecolor": MUTED, "axes.labelcolor": MUTED, "axes.titlecolor": MUTED,
    "axes.titlesize": 12, "axes.titlelocation": "left", "axes.titleweight": "normal",
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
    "axes.grid": True, "axes.axisbelow": True, "axes.facecolor": "none", "axes.unicode_minus": True,
    "figure.facecolor": "none", "grid.color": LINE, "grid.linewidth": 1, "lines.linewidth": 2,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED, "ytick.major.size": 0, "xtick.minor.size": 0,
    "legend.frameon": False, "legend.labelcolor": MUTED,
}  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """A plot: its heading, its SVG and the caption below."""

    title: str
    svg: markupsafe.Markup
    caption: str = ""


def plot_accuracy_size(summary: Summary) -> Plot | None:
    """Return top-1 (%) against size (logarithmic) of every file; None with nothing to show.

    The solid line is the float model's accuracy, the dashed one that accuracy less the points
    that int8 may cost. Keras models are points only where there is no file yet.
    """
    rows = [a for a in summary.artifacts if a.row.size_bytes]
    shown = [a for a in rows if a.row.format == "tflite"] or rows
    if not shown:
        return None

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        axes = figure.subplots()
        axes.set(title="top-1 accuracy on test images, %", xlabel="file size, logarithmic")
        axes.grid(visible=False, axis="x")
        sizes = [a.row.size_bytes for a in shown]
        axes.set_xscale("log")
        axes.set_xlim(min(sizes) / 2, max(sizes) * 1.8)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: _short_size(size)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        values = [100 * a.row.top1 for a in shown]
        if summary.reference:
            top = 100 * summary.reference.row.top1
            values += [top, top - ACCURACY_LIMIT_POINTS]
            axes.axhline(top, color=FLOAT, linewidth=1)
            axes.axhline(top - ACCURACY_LIMIT_POINTS, color=MUTED, linewidth=1, dashes=(5, 4))
        middle, span = (min(values) + max(values)) / 2, max(values) - min(values)
        half = max(span, LEAST_SPAN_POINTS) * 0.62
        axes.set_ylim(middle - half, middle + half)
        axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= 100])
        axes.set_ylim(middle - half, middle + half)
        for artifact in shown:
            row, is_int8 = artifact.row, artifact.row.quantization.startswith("int8")
            keras = row.format == "keras"
            axes.plot(
                row.size_bytes,
                100 * row.top1,
                marker="o" if keras else MARKERS.get(row.quantization, "o"),
                color=INT8 if is_int8 else FLOAT,
                fillstyle="none" if keras else "full",
                markersize=8,
                linestyle="none",
            )
        _label_points(figure, axes, shown, summary.headline)

    told = "; ".join(
        f"{a.label} {100 * a.row.top1:.2f} % at {format_size(a.row.size_bytes)}" for a in shown
    )
    caption = (
        f"Line: the float model. Dashed: {ACCURACY_LIMIT_POINTS} points below it, the limit."
        if summary.reference
        else ""
    )
    title = "Accuracy against size"
    return Plot(title, _render(draw, f"{title}: {told}"), caption)


def _label_points(
    figure: Figure, axes: Any, shown: Sequence[Artifact], headline: Artifact | None
) -> None:
    """Write each label at the first place, nearest first, that touches nothing drawn before."""
    from matplotlib.transforms import Bbox

    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    places = [axes.transData.transform((a.row.size_bytes, 100 * a.row.top1)) for a in shown]
    taken = [Bbox.from_extents(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    frame = axes.get_window_extent(renderer)
    for line in axes.get_lines():
        if len(line.get_xdata()) > 1:  # a level, not a point
            y = axes.transData.transform((1, line.get_ydata()[0]))[1]
            taken.append(Bbox.from_extents(frame.x0, y - 1, frame.x1, y + 1))
    steps = [(0, s) for s in (10, -10, 26, -26, 42, -42, 58, -58, 74, -74)]
    steps = [(10, 0), (-10, 0), *((x, y) for _, y in steps for x in (0, 10, -10))]
    for artifact in shown:
        note = axes.annotate(
            artifact.label,
            (artifact.row.size_bytes, 100 * artifact.row.top1),
            xytext=(0, 10),
            textcoords="offset points",
            weight="bold" if artifact is headline else "normal",
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.75, "shrinkB": 5},
        )
        best = (float("inf"), 0, 0)
        for order, (x, y) in enumerate(steps):
            _place(note, x, y)
            box = note.get_window_extent(renderer).padded(1)
            outside = not (frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0)
            outside = outside or box.y1 > frame.y1
            cost = 1000 * outside + sum(box.overlaps(other) for other in taken)
            best = min(best, (cost, order, 0))
            if cost == 0:
                break
        x, y = steps[best[1]]
        _place(note, x, y)
        taken.append(note.get_window_extent(renderer).padded(1))
        note.arrow_patch.set_visible(abs(y) > 20)


def _place(note: Any, x: int, y: int) -> None:
    note.set_position((x, y))
    note.set_ha("left" if x > 0 else "right" if x < 0 else "center")
    note.set_va("center" if y == 0 else "bottom" if y > 0 else "top")


Reader = Callable[[Epoch], "float | None"]


def plot_accuracy_curves(summary: Summary) -> Plot | None:
    """Return accuracy (%) by epoch, float training then QAT; None without a history."""
    return _plot_curves(
        summary,
        "Accuracy while training",
        "accuracy, %",
        (lambda e: 100 * e.accuracy, lambda e: _percent(e.validation_accuracy)),
        "Training accuracy is measured on augmented images.",
    )


def plot_loss_curves(summary: Summary) -> Plot | None:
    """Return loss by epoch, float training then QAT; None without a history."""
    readers: tuple[Reader, Reader] = (lambda e: e.loss, lambda e: e.validation_loss)
    return _plot_curves(summary, "Loss while training", "loss", readers, "")


def _plot_curves(
    summary: Summary, title: str, unit: str, readers: tuple[Reader, Reader], caption: str
) -> Plot | None:
    record = summary.record
    parts = [
        (name, stage, history, start)
        for name, stage, history, start in (
            ("float training", record.stages.train, record.train_history, 0),
            ("QAT", record.stages.qat, record.qat_history, len(record.train_history)),
        )
        if history
    ]
    if not parts:
        return None
    told: list[str] = []
    kept = False
    for name, stage, history, _ in parts:
        for series, read in zip(("training", "validation"), readers, strict=True):
            value = read(history[-1])
            told += [] if value is None else [f"{series} ends {name} at {value:.2f}"]
        kept = kept or (stage is not None and stage.metrics.selection == "validation")

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.subplots()
        axes.set(title=unit, xlabel="epoch")
        axes.grid(visible=False, axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        for name, stage, history, start in parts:
            epochs = [start + index + 1 for index in range(len(history))]
            styles = (("training", INT8, (0, (2.5, 1.5))), ("validation", FLOAT, "solid"))
            for (series, color, dashes), read in zip(styles, readers, strict=True):
                values = [read(epoch) for epoch in history]
                points = [float("nan") if value is None else value for value in values]
                if all(value is None for value in values):
                    continue
                label = series if name == parts[0][0] else None
                mark = "o" if len(points) == 1 else None
                axes.plot(
                    epochs, points, color=color, linestyle=dashes, label=label, marker=mark,
                    markersize=4,
                )  # fmt: skip
                if stage and series == "validation" and stage.metrics.selection == "validation":
                    best = [e.epoch for e in history].index(stage.metrics.best_epoch)
                    axes.plot(
                        epochs[best], points[best], marker="o", markersize=9, color=color,
                        fillstyle="none", markeredgewidth=1.75, linestyle="none",
                    )  # fmt: skip
            if name == "QAT":
                axes.axvspan(start + 0.5, epochs[-1] + 0.5, color=PANEL, linewidth=0, zorder=0)
                axes.text(
                    epochs[-1] + 0.4, 0.99, "QAT", ha="right", va="top", weight="bold",
                    transform=axes.get_xaxis_transform(),
                )  # fmt: skip
        axes.set_xlim(0.5, parts[-1][3] + len(parts[-1][2]) + 0.5)
        axes.margins(y=0.12)
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.02, 0.98), ncols=2, borderpad=0, fontsize=12,
            handlelength=2,
        )  # fmt: skip

    if kept:
        caption = f"{caption} Ring: the epoch that was kept.".strip()
    return Plot(title, _render(draw, f"{title}: {', '.join(told)}"), caption)


def plot_confusion(summary: Summary) -> Plot | None:
    """Return the confusion matrix, each row normalised to its class; None without one.

    Up to 20 classes carry names and whole percents; shades grow with the square root of the
    share, so that a mistake of one percent can be seen.
    """
    artifact = summary.best_artifact
    if artifact is None or not artifact.row.confusion:
        return None
    shares = [[n / (sum(line) or 1) for n in line] for line in artifact.row.confusion]
    names, count = class_names(summary), len(shares)
    numbered = count <= NUMBERED_CLASSES

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set(xlabel="predicted class", ylabel="true class", aspect="equal")
        axes.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5))
        axes.grid(visible=False)
        axes.spines[:].set(visible=True, color=LINE)
        if numbered:
            short = [_shorten(name) for name in names]
            axes.set_xticks(range(count), short, rotation=48, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(count), short)
        else:
            step = 10 if count <= 120 else 100
            axes.set(xticks=range(0, count, step), yticks=range(0, count, step))
            axes.set(xlabel="predicted class, number", ylabel="true class, number")
        axes.tick_params(length=0)
        figure.draw_without_rendering()
        side = axes.get_window_extent().height / count * 72 / figure.dpi
        gap = 1.0 if numbered else 0.0
        for shade in range(1, SHADES + 1):  # one line a shade: 100 classes stay under 100 KB
            xs: list[float] = []
            ys: list[float] = []
            for true, line in enumerate(shares):
                for predicted, share in enumerate(line):
                    if round(SHADES * share**0.5) == shade:
                        half = 0.5 - gap / side / 2
                        xs += [predicted - half, predicted + half, float("nan")]
                        ys += [true, true, float("nan")]
            if xs:
                axes.plot(
                    xs, ys, color=SHADE, alpha=shade / SHADES, linewidth=side - gap,
                    solid_capstyle="butt",
                )  # fmt: skip
        for true, line in enumerate(shares if numbered else []):
            for predicted, share in enumerate(line):
                if share >= 0.005:
                    color = ON_SHADE if share**0.5 > 0.62 else INK
                    axes.text(
                        predicted, true, f"{100 * share:.0f}", color=color, ha="center",
                        va="center_baseline", fontsize=min(12, 0.5 * side),
                    )  # fmt: skip

    recalled = [line[i] for i, line in enumerate(shares)]
    told = f"{count} classes, {100 * sum(recalled) / count:.1f} % correct on average"
    if numbered:
        told = "; ".join(
            f"{name} {100 * r:.0f} % correct" for name, r in zip(names, recalled, strict=True)
        )
    title = f"Confusion matrix of {artifact.label}"
    caption = "Percent of each true class; below half a percent is blank. " if numbered else ""
    caption += "Shades grow with the square root of the share."
    return Plot(title, _render(draw, f"{title}: {told}", height_px=WIDTH_PX), caption)


LAYER_SERIES = (
    ("effect on the logits", "D", INT8, "full"),
    ("own", "o", FLOAT, "full"),
    ("piled up", "o", FLOAT, "none"),
)
LayerRow = tuple[str, tuple["float | None", "float | None", "float | None"]]


def plot_layers(title: str, rows: Sequence[LayerRow], worst: str = "") -> str:
    """Return a standalone SVG file: a line a layer, in the order given, ratios in dB.

    A row is (layer, (effect on the logits, own ratio, piled-up ratio)); `worst` names the layer
    that is written in bold.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set(title=f"{title}: signal to noise, dB; further left is worse")
        axes.grid(visible=True)
        axes.set_yticks(range(len(rows)), [escape_control(name) for name, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        for label, (name, _) in zip(axes.get_yticklabels(), rows, strict=True):
            if name == worst:
                label.set(weight="bold", color=INK)
        for index, (label_text, marker, color, fill) in enumerate(LAYER_SERIES):
            found = [(values[index], at) for at, (_, values) in enumerate(rows)]
            seen = [(value, at) for value, at in found if value is not None]
            axes.plot(
                [value for value, _ in seen], [at for _, at in seen], marker=marker, color=color,
                fillstyle=fill, linestyle="none", markersize=7, label=label_text,
            )  # fmt: skip
        axes.legend(loc="upper left", bbox_to_anchor=(0, -30 / (20 * len(rows) + 1)), ncols=3)

    told = f"Layers of {title}: worst {worst}" if worst else f"Layers of {title}"
    figure = str(_render(draw, told, width_px=640.0, height_px=110.0 + 20 * len(rows), page=True))
    style = STYLE.read_text("utf-8").replace("&", "&amp;").replace("<", "&lt;")
    opening, rest = figure.split(">", 1)
    return f"{opening}><style>{style}</style>{rest}\n"


def _render(
    draw: Callable[[Figure], None],
    told: str,
    *,
    width_px: float = WIDTH_PX,
    height_px: float = HEIGHT_PX,
    page: bool = False,
) -> markupsafe.Markup:
    """Return what `draw` puts on a figure as SVG; `told` says it in words."""
    import markupsafe
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(RC):  # type: ignore[arg-type]
        figure = Figure(figsize=(width_px / 72, height_px / 72), dpi=72, layout="constrained")
        FigureCanvasAgg(figure)  # measures text
        if page:
            figure.set_facecolor(PAGE)
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return markupsafe.Markup(_clean(file.getvalue(), told))  # noqa: S704  # matplotlib escapes


def _clean(svg: str, told: str) -> str:
    """Return matplotlib's SVG for a page: its colours and font, short, with a text alternative."""
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<style type="text/css">.*?</style>', "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    for stand_in, name in VARIABLES.items():
        svg = svg.replace(stand_in, f"var(--{name})")
    svg = re.sub(r"font: (bold )?([\d.]+px) [^;\"]*", _font, svg)
    svg = re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", svg)
    # a level piece of a line, as the cells of a matrix are: M x y L x2 y
    svg = re.sub(r"M ([\d.]+) ([\d.]+) \nL ([\d.]+) \2 ?\n", _level, svg)
    box = re.search(r'viewBox="[^"]*"', svg)
    opening = (
        f'<svg class="plot" role="img" aria-label="{escape(escape_control(told))}"'
        f' {box[0] if box else ""} xmlns="http://www.w3.org/2000/svg"'
        ' xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return opening + svg[svg.index(">") + 1 :].rstrip()


def _font(match: re.Match[str]) -> str:
    return f"font-size: {match[2]}" + ("; font-weight: 650" if match[1] else "")


def _level(match: re.Match[str]) -> str:
    return f"M{match[1]} {match[2]}h{float(match[3]) - float(match[1]):.2f}"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _shorten(text: str, length: int = 12) -> str:
    shown = escape_control(text)
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"


def _short_size(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:g} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:g} KB"
