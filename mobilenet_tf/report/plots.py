"""The plots of the report, by matplotlib; series differ in shape or dash as well as in colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import TYPE_CHECKING, Any

from mobilenet_tf.recipe import Quantization
from mobilenet_tf.report import figure as fig
from mobilenet_tf.report.figure import Plot, make_plot
from mobilenet_tf.report.summary import Summary
from mobilenet_tf.report.templates import STYLE
from mobilenet_tf.report.units import format_size
from mobilenet_tf.report.verdict import ACCURACY_LIMIT_POINTS
from mobilenet_tf.system.terminal import escape as escape_control

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST_SPAN_POINTS = 1.0  # a tenth of a point must not look like a cliff
CURVES = (  # name, prefix of an epoch's field, colour, dashes
    ("training", "", fig.INT8, (0, (2.5, 1.5))),
    ("validation", "validation_", fig.FLOAT, "solid"),
)
NUMBERED_CLASSES = 20
SHADES = 12
MARKERS: dict[Quantization, str] = {
    "float32": "o", "float16": "v", "dynamic_range": "^", "int8_ptq": "s", "int8_qat": "D",
}  # fmt: skip


def plot_accuracy_size(summary: Summary) -> Plot | None:
    """Return top-1 (%) against size (logarithmic) of every file; None with nothing to show.

    The solid line is the float model's accuracy, the dashed one that accuracy less the points
    that int8 may cost. Keras models are points only where there is no file yet.
    """
    rows = [a for a in summary.artifacts if a.row.size_bytes]
    shown = [a for a in rows if a.row.format == "tflite"] or rows
    if not shown:
        return None

    def draw(axes: Axes) -> None:
        fig.set_log_axis(axes, "file size", short_size)
        sizes = [a.row.size_bytes for a in shown]
        axes.set_xlim(min(sizes) / 2, max(sizes) * 1.8)
        values = [100 * a.row.top1 for a in shown]
        if summary.reference:
            top = 100 * summary.reference.row.top1
            values += [top, top - ACCURACY_LIMIT_POINTS]
            axes.axhline(top, color=fig.FLOAT, linewidth=1)
            axes.axhline(top - ACCURACY_LIMIT_POINTS, color=fig.MUTED, linewidth=1, dashes=(5, 4))
        middle, span = (min(values) + max(values)) / 2, max(values) - min(values)
        half = max(span, LEAST_SPAN_POINTS) * 0.62
        axes.set_ylim(middle - half, middle + half)
        axes.set_yticks([tick for tick in axes.get_yticks() if -1e-6 <= tick <= 100 + 1e-6])
        axes.set_ylim(middle - half, middle + half)
        for artifact in shown:
            is_int8 = artifact.row.quantization.startswith("int8")
            axes.plot(
                artifact.row.size_bytes, 100 * artifact.row.top1, label=artifact.label,
                marker=MARKERS[artifact.row.quantization], color=fig.INT8 if is_int8 else fig.FLOAT,
                **fig.HOLLOW,
            )  # fmt: skip
        legend = axes.figure.legend(
            loc="outside lower center", ncols=3, handletextpad=0.1, columnspacing=1
        )
        for text, artifact in zip(legend.get_texts(), shown, strict=True):
            text.set_fontweight("bold" if artifact is summary.headline else "normal")

    told = "; ".join(
        f"{a.label} {100 * a.row.top1:.2f} % at {format_size(a.row.size_bytes)}" for a in shown
    )
    limit = f"Line: the float model. Dashed: {ACCURACY_LIMIT_POINTS} points below it, the limit."
    return make_plot("Accuracy against size", draw, told, limit if summary.reference else "")


def plot_accuracy_curves(summary: Summary) -> Plot | None:
    """Return accuracy (%) by epoch, float training then QAT; None without a history."""
    caption = "Training accuracy is measured on augmented images."
    return _plot_curves(summary, "accuracy", "accuracy, %", 100, caption)


def plot_loss_curves(summary: Summary) -> Plot | None:
    """Return loss by epoch, float training then QAT; None without a history."""
    return _plot_curves(summary, "loss", "loss", 1, "")


def _plot_curves(
    summary: Summary, field: str, unit: str, factor: float, caption: str
) -> Plot | None:
    record = summary.record
    history = (*record.train_history, *record.qat_history)
    if not history:
        return None
    qat_start, end = len(record.train_history), len(history)
    parts = (
        ("float training", record.stages.train, range(qat_start)),
        ("QAT", record.stages.qat, range(qat_start, end)),
    )
    kept = [  # the epochs that validation chose
        index
        for _, stage, part in parts
        for index in part
        if stage and stage.metrics.selection == "validation"
        if history[index].epoch == stage.metrics.best_epoch
    ]
    curves, told = [], []
    for series, prefix, color, dashes in CURVES:
        values = [getattr(epoch, prefix + field) for epoch in history]
        points: list[Any] = [None if value is None else factor * value for value in values]
        if any(value is not None for value in values):
            curves.append((series, points, color, dashes))
        told += [
            f"{series} ends {name} at {points[part[-1]]:.2f}"
            for name, _, part in parts
            if part and points[part[-1]] is not None
        ]

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        axes.set(title=unit, xlabel="epoch", xlim=(0.5, end + 0.5))
        axes.grid(visible=False, axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        for series, points, color, dashes in curves:
            for _, _, part in parts:
                axes.plot(
                    [index + 1 for index in part], [points[index] for index in part], color=color,
                    linestyle=dashes, label=None if part.start else series,
                    marker="o" if len(part) == 1 else None, markersize=4,
                )  # fmt: skip
            if series == "validation":
                chosen = [points[index] for index in kept]
                axes.plot([i + 1 for i in kept], chosen, marker="o", color=color, **fig.HOLLOW)
        if record.qat_history:
            axes.axvspan(qat_start + 0.5, end + 0.5, color=fig.PANEL, linewidth=0, zorder=0)
            axes.text(
                end + 0.4, 0.99, "QAT", ha="right", va="top", weight="bold",
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip
        axes.margins(y=0.12)
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.02, 0.98), ncols=2, borderpad=0, fontsize=12,
            handlelength=2,
        )  # fmt: skip

    if kept:
        caption = f"{caption} Ring: the epoch that was kept.".strip()
    return make_plot(f"{field.capitalize()} while training", draw, ", ".join(told), caption)


def plot_confusion(summary: Summary) -> Plot | None:
    """Return the confusion matrix of the best artifact; None without one."""
    artifact = summary.best_artifact
    if artifact is None or not artifact.row.confusion:
        return None
    title = f"Confusion matrix of {artifact.label}"
    return plot_matrix(title, summary.classes, artifact.row.confusion)


def plot_matrix(title: str, names: Sequence[str], confusion: Sequence[Sequence[int]]) -> Plot:
    """Return a confusion matrix, each row normalised to its class.

    Up to 20 classes carry names and whole percents; shades grow with the square root of the
    share, so that a mistake of one percent can be seen.
    """
    shares = [[n / (sum(line) or 1) for n in line] for line in confusion]
    count = len(shares)
    numbered = count <= NUMBERED_CLASSES
    cells = [(x, y, share) for y, line in enumerate(shares) for x, share in enumerate(line)]

    def draw(axes: Axes) -> None:
        axes.set(xlabel="predicted class", ylabel="true class", aspect="equal")
        axes.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5))
        axes.grid(visible=False)
        axes.spines[:].set(visible=True, color=fig.LINE)
        if numbered:
            short = [_shorten(name) for name in names]
            axes.set_xticks(range(count), short, rotation=48, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(count), short)
        else:
            step = 10 if count <= 120 else 100
            axes.set(xticks=range(0, count, step), yticks=range(0, count, step))
            axes.set(xlabel="predicted class, number", ylabel="true class, number")
        axes.tick_params(length=0)
        whole: Any = axes.figure
        whole.draw_without_rendering()
        side = axes.get_window_extent().height / count * 72 / whole.dpi
        gap = 1.0 if numbered else 0.0
        half = 0.5 - gap / side / 2
        for shade in range(1, SHADES + 1):  # one line a shade: 100 classes stay under 100 KB
            found = [(x, y) for x, y, share in cells if round(SHADES * share**0.5) == shade]
            if found:
                xs = [end for x, _ in found for end in (x - half, x + half, nan)]
                ys = [end for _, y in found for end in (y, y, nan)]
                axes.plot(
                    xs, ys, color=fig.SHADE, alpha=shade / SHADES, linewidth=side - gap,
                    solid_capstyle="butt",
                )  # fmt: skip
        for x, y, share in cells if numbered else ():
            if share >= 0.005:
                color = fig.ON_SHADE if share**0.5 > 0.62 else fig.INK
                axes.text(
                    x, y, f"{100 * share:.0f}", color=color, ha="center", va="center_baseline",
                    fontsize=min(12, 0.5 * side),
                )  # fmt: skip

    recalled = [line[i] for i, line in enumerate(shares)]
    told = f"{count} classes, {100 * sum(recalled) / count:.1f} % correct on average"
    if numbered:
        named = zip(names, recalled, strict=True)
        told = "; ".join(f"{name} {100 * share:.0f} % correct" for name, share in named)
    caption = "Percent of each true class; below half a percent is blank. " if numbered else ""
    caption += "Shades grow with the square root of the share."
    return make_plot(title, draw, told, caption, height_px=fig.WIDTH_PX)


LAYER_SERIES = (
    ("effect on the logits", "D", fig.INT8, "full"),
    ("own", "o", fig.FLOAT, "full"),
    ("piled up", "o", fig.FLOAT, "none"),
)


def plot_layers(title: str, layers: Mapping[str, Sequence[Any]], worst: str) -> str:
    """Return a standalone SVG file: a line a layer, in the order given, ratios in dB.

    `layers` has by name the effect on the logits, the own ratio and the piled-up one; `worst` is
    written in bold.
    """
    places = range(len(layers))

    def draw(axes: Axes) -> None:
        axes.set(title=f"{title}: signal to noise, dB; further left is worse")
        axes.grid(visible=True)
        axes.set_yticks(places, map(escape_control, layers))
        axes.set_ylim(len(layers) - 0.5, -0.5)
        for tick, name in zip(axes.get_yticklabels(), layers, strict=True):
            if name == worst:
                tick.set(weight="bold", color=fig.INK)
        for index, (label, marker, color, fill) in enumerate(LAYER_SERIES):
            axes.plot(
                [ratios[index] for ratios in layers.values()], places, marker=marker, color=color,
                fillstyle=fill, linestyle="none", markersize=7, label=label,
            )  # fmt: skip
        axes.legend(loc="upper left", bbox_to_anchor=(0, -30 / (20 * len(layers) + 1)), ncols=3)

    told, height_px = f"Layers of {title}: worst {worst}", 110.0 + 20 * len(layers)
    figure = str(fig.render_svg(draw, told, width_px=640.0, height_px=height_px, page=True))
    style = STYLE.read_text("utf-8").replace("&", "&amp;").replace("<", "&lt;")
    opening, rest = figure.split(">", 1)
    return f"{opening}><style>{style}</style>{rest}\n"


def _shorten(text: str, length: int = 12) -> str:
    shown = escape_control(text)
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"


def short_size(size_bytes: float) -> str:
    """Return a size for an axis."""
    return f"{size_bytes / 1e6:g} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:g} KB"
