"""The page of an evaluation: figures, plots and thumbnails in one file, offline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mobilenet_tf.evaluation.calibration import BIN_COUNT
from mobilenet_tf.evaluation.images import Evaluation
from mobilenet_tf.report.evaluation import (
    class_table,
    list_galleries,
    list_sentences,
    name_images,
    pair_table,
    shorten_path,
)
from mobilenet_tf.report.figure import FLOAT, HOLLOW, INT8, MUTED, SHADE, Plot, make_plot
from mobilenet_tf.report.plots import plot_matrix
from mobilenet_tf.report.templates import render

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAIRS_SHOWN = 12


def render_evaluation(evaluation: Evaluation, thumbnails: Mapping[str, str]) -> str:
    """Return the page, HTML; `thumbnails` are data: addresses by path."""
    names = [figures.name for figures in evaluation.classes]
    return render(
        "evaluation.html.jinja",
        title=f"Evaluation of {Path(evaluation.model).name}",
        images=name_images(evaluation),
        evaluation=evaluation,
        sentences=list_sentences(evaluation),
        figures=[
            plot_matrix("Confusion matrix", names, evaluation.confusion),
            plot_reliability(evaluation),
            plot_coverage(evaluation),
        ],
        tables_shown=[class_table(evaluation), pair_table(evaluation, PAIRS_SHOWN)],
        galleries=list_galleries(evaluation),
        thumbnails=thumbnails,
        shorten=lambda path: shorten_path(evaluation, path),
    )


def plot_reliability(evaluation: Evaluation) -> Plot:
    """Return how often predictions are right against how sure they are, both in %."""
    bins = [each for each in evaluation.reliability if each.count]
    points = [(100 * (b.confidence or 0), 100 * (b.accuracy or 0)) for b in bins]
    most = max(each.count for each in bins)

    def draw(axes: Axes) -> None:
        axes.set(title="right, %", xlabel="confidence, %", xlim=(0, 100), ylim=(0, 102))
        for number, each in enumerate(evaluation.reliability):
            if each.count:
                left, alpha = 100 * number / BIN_COUNT, 0.15 + 0.45 * (each.count / most) ** 0.5
                height, width = 100 * (each.accuracy or 0), 92 / BIN_COUNT
                axes.bar(left, height, width, align="edge", color=SHADE, alpha=alpha)
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, dashes=(5, 4))
        axes.plot(*zip(*points, strict=True), color=FLOAT, marker="o", markersize=5)

    told = "; ".join(f"{sure:.0f} % sure, {right:.0f} % right" for sure, right in points)
    caption = (
        "Dashed: right as often as it is sure. Above it the model is too modest, below it too sure."
        " Darker bars hold more images."
    )
    return make_plot("Reliability", draw, told, caption)


def plot_coverage(evaluation: Evaluation) -> Plot:
    """Return the accuracy of the surest images against their share, both in %."""
    curve, threshold = evaluation.coverage, evaluation.threshold
    shares = [100 * each.coverage for each in curve]
    right = [100 * each.accuracy for each in curve]

    def draw(axes: Axes) -> None:
        axes.set(title="right, %", xlabel="surest images, % of all", xlim=(0, 101))
        axes.plot(shares, right, color=FLOAT, marker="o" if len(curve) == 1 else None)
        if threshold is not None and threshold.accuracy is not None:
            point = (100 * threshold.coverage, 100 * threshold.accuracy)
            axes.plot(*point, marker="o", color=INT8, **HOLLOW)
        axes.margins(y=0.12)

    told = f"{right[-1]:.1f} % of all are right, {right[0]:.1f} % of the surest {shares[0]:.1f} %"
    caption = "" if threshold is None else f"Ring: the threshold, {threshold.value:.4g}."
    return make_plot("Coverage against accuracy", draw, told, caption)
