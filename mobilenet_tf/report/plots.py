"""The plots of the report, by matplotlib; series differ in shape or dash as well as in colour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import TYPE_CHECKING

from mobilenet_tf.recipe import Quantization
from mobilenet_tf.report.figure import (
    FLOAT,
    INK,
    INT8,
    LINE,
    MUTED,
    ON_SHADE,
    PANEL,
    SHADE,
    WIDTH_PX,
    render_figure,
)  # fmt: skip
from mobilenet_tf.report.summary import Summary
from mobilenet_tf.report.templates import STYLE
from mobilenet_tf.report.units import format_size
from mobilenet_tf.report.verdict import ACCURACY_LIMIT_POINTS
from mobilenet_tf.runs.results import Epoch
from mobilenet_tf.system.terminal import escape as escape_control

if TYPE_CHECKING:
    import markupsafe
    from matplotlib.figure import Figure

LEAST_SPAN_POINTS = 1.0  # a tenth of a point must not look like a cliff
CURVES = (("training", INT8, (0, (2.5, 1.5))), ("validation", FLOAT, "solid"))
NUMBERED_CLASSES = 20
SHADES = 12
MARKERS: dict[Quantization, str] = {
    "float32": "o", "float16": "v", "dynamic_range": "^", "int8_ptq": "s", "int8_qat": "D",
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
        axes.set_yticks([tick for tick in axes.get_yticks() if -1e-6 <= tick <= 100 + 1e-6])
        axes.set_ylim(middle - half, middle + half)
        for artifact in shown:
            is_int8 = artifact.row.quantization.startswith("int8")
            axes.plot(
                artifact.row.size_bytes, 100 * artifact.row.top1, label=artifact.label,
                marker=MARKERS[artifact.row.quantization], color=INT8 if is_int8 else FLOAT,
                fillstyle="none", markersize=9, markeredgewidth=1.75, linestyle="none",
            )  # fmt: skip
        legend = figure.legend(
            loc="outside lower center", ncols=3, handletextpad=0.1, columnspacing=1
        )
        for text, artifact in zip(legend.get_texts(), shown, strict=True):
            text.set_fontweight("bold" if artifact is summary.headline else "normal")

    told = "; ".join(
        f"{a.label} {100 * a.row.top1:.2f} % at {format_size(a.row.size_bytes)}" for a in shown
    )
    limit = f"Line: the float model. Dashed: {ACCURACY_LIMIT_POINTS} points below it, the limit."
    title = "Accuracy against size"
    figure = render_figure(draw, f"{title}: {told}")
    return Plot(title, figure, limit if summary.reference else "")


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
    history = (*record.train_history, *record.qat_history)
    if not history:
        return None
    qat_start = len(record.train_history)
    parts = (
        ("float training", record.stages.train, 0, record.train_history),
        ("QAT", record.stages.qat, qat_start, record.qat_history),
    )
    kept = [  # indices of the epochs that validation chose
        start + [epoch.epoch for epoch in epochs].index(stage.metrics.best_epoch)
        for _, stage, start, epochs in parts
        if epochs and stage and stage.metrics.selection == "validation"
    ]

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import MaxNLocator

        axes = figure.subplots()
        axes.set(title=unit, xlabel="epoch", xlim=(0.5, len(history) + 0.5))
        axes.grid(visible=False, axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        for (series, color, dashes), read in zip(CURVES, readers, strict=True):
            points = [_or_nan(read(epoch)) for epoch in history]
            if all(map(isnan, points)):
                continue
            for start, end, label in ((0, qat_start, series), (qat_start, len(history), None)):
                axes.plot(
                    range(start + 1, end + 1), points[start:end], color=color, linestyle=dashes,
                    label=label, marker="o" if end - start == 1 else None, markersize=4,
                )  # fmt: skip
            if series == "validation":
                axes.plot(
                    [index + 1 for index in kept], [points[index] for index in kept], marker="o",
                    markersize=9, color=color, fillstyle="none", markeredgewidth=1.75,
                    linestyle="none",
                )  # fmt: skip
        if record.qat_history:
            axes.axvspan(qat_start + 0.5, len(history) + 0.5, color=PANEL, linewidth=0, zorder=0)
            axes.text(
                len(history) + 0.4, 0.99, "QAT", ha="right", va="top", weight="bold",
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip
        axes.margins(y=0.12)
        axes.legend(
            loc="lower right", bbox_to_anchor=(1.02, 0.98), ncols=2, borderpad=0, fontsize=12,
            handlelength=2,
        )  # fmt: skip

    told = [
        f"{series} ends {name} at {value:.2f}"
        for name, _, _, epochs in parts
        for (series, _, _), read in zip(CURVES, readers, strict=True)
        if epochs and (value := read(epochs[-1])) is not None
    ]
    if kept:
        caption = f"{caption} Ring: the epoch that was kept.".strip()
    return Plot(title, render_figure(draw, f"{title}: {', '.join(told)}"), caption)


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
        half = 0.5 - gap / side / 2
        for shade in range(1, SHADES + 1):  # one line a shade: 100 classes stay under 100 KB
            found = [(x, y) for x, y, share in cells if round(SHADES * share**0.5) == shade]
            if found:
                xs = [end for x, _ in found for end in (x - half, x + half, nan)]
                ys = [end for _, y in found for end in (y, y, nan)]
                axes.plot(
                    xs, ys, color=SHADE, alpha=shade / SHADES, linewidth=side - gap,
                    solid_capstyle="butt",
                )  # fmt: skip
        for x, y, share in cells if numbered else ():
            if share >= 0.005:
                color = ON_SHADE if share**0.5 > 0.62 else INK
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
    return Plot(title, render_figure(draw, f"{title}: {told}", height_px=WIDTH_PX), caption)


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
            axes.plot(
                [_or_nan(values[index]) for _, values in rows], range(len(rows)), marker=marker,
                color=color, fillstyle=fill, linestyle="none", markersize=7, label=label_text,
            )  # fmt: skip
        axes.legend(loc="upper left", bbox_to_anchor=(0, -30 / (20 * len(rows) + 1)), ncols=3)

    told = f"Layers of {title}: worst {worst}" if worst else f"Layers of {title}"
    height_px = 110.0 + 20 * len(rows)
    figure = str(render_figure(draw, told, width_px=640.0, height_px=height_px, page=True))
    style = STYLE.read_text("utf-8").replace("&", "&amp;").replace("<", "&lt;")
    opening, rest = figure.split(">", 1)
    return f"{opening}><style>{style}</style>{rest}\n"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _or_nan(value: float | None) -> float:
    return nan if value is None else value


def _shorten(text: str, length: int = 12) -> str:
    shown = escape_control(text)
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"


def _short_size(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:g} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:g} KB"
