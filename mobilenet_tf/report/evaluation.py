"""An evaluation on labelled images, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mobilenet_tf.errors import name_some
from mobilenet_tf.evaluation.images import Evaluation, Judged, Threshold
from mobilenet_tf.report.tables import Column, Table, format_table, make_table, mistake_table
from mobilenet_tf.report.units import accuracy_interval, fixed, plural

NAMED = 5  # images and classes of each kind in a terminal
LONG_TABLE_CLASSES = 20
COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
ORIGINS = {
    "file": "stored in the file",
    "option": "asked for",
    "these images": "chosen on these images, the file stores none",
}


def format_evaluation(evaluation: Evaluation) -> str:
    """Return what a person should know, worst things named; lines are not escaped yet."""
    lines = [f"{evaluation.model} on {name_images(evaluation)}", *list_sentences(evaluation)]
    for table in (class_table(evaluation), pair_table(evaluation), coverage_table(evaluation)):
        lines += ["", *_format(table)]
    for gallery in list_galleries(evaluation):
        lines += ["", *_format(_image_table(evaluation, gallery))]
    return "\n".join(lines)


def name_images(evaluation: Evaluation) -> str:
    """Return which images a file was evaluated on."""
    part = f" ({evaluation.part})" if evaluation.part else ""
    return f"{plural(evaluation.count, 'image')} of {evaluation.data}{part}"


def list_sentences(evaluation: Evaluation) -> list[str]:
    """Return the figures that sum an evaluation up, in sentences."""
    low, high = accuracy_interval(evaluation.top1, evaluation.count)
    top5 = "" if evaluation.top5 is None else f", top-5 {100 * evaluation.top5:.2f} %"
    sentences = [
        f"top-1 {100 * evaluation.top1:.2f} % (95 % interval {100 * low:.1f} to {100 * high:.1f}"
        f" %){top5}; balanced accuracy {100 * evaluation.balanced_accuracy:.2f} %, mean F1"
        f" {100 * evaluation.macro_f1:.2f} %",
        f"calibration error (ECE) {100 * evaluation.calibration_error:.2f} %: predictions are"
        f" {100 * evaluation.mean_confidence:.1f} % sure on average and"
        f" {100 * evaluation.top1:.1f} % right",
        _format_threshold(evaluation.threshold),
    ]
    alone = "; --part test leaves them out" if "test" in evaluation.part else ""
    if "train" in evaluation.part:
        sentences.append(
            f"training images are among them: figures flatter a model that has learned these{alone}"
        )
    elif "validation" in evaluation.part:
        sentences.append(
            "validation images are among them: figures flatter a model whose epoch and threshold"
            f" were chosen on these{alone}"
        )
    if evaluation.missing:
        sentences.append(f"no image of {name_some(evaluation.missing, NAMED)}")
    if evaluation.unreadable:
        sentences.append(f"{plural(len(evaluation.unreadable), 'image')} could not be read")
    return sentences


@dataclass(frozen=True)
class Gallery:
    """Images of one kind that are worth a look, and what can be said of them."""

    title: str
    images: Sequence[Judged]
    note: str = ""


def list_galleries(evaluation: Evaluation) -> list[Gallery]:
    """Return the images that are worth a look, by kind; kinds without any are left out."""
    count, unknown = evaluation.label_error_count, evaluation.unknown
    galleries = [
        Gallery(
            "Worst mistakes", evaluation.worst_mistakes, "Wrong predictions, the surest first."
        ),
        Gallery("Least sure", evaluation.least_sure),
        Gallery(
            plural(count, "likely label error"),
            evaluation.label_errors,
            "Only images that the model was not trained on can tell.",
        ),
    ]
    if unknown is not None:
        of = f" ({name_some(unknown.classes, NAMED)})" if unknown.classes else ""
        sure = f"{100 * unknown.mean_confidence:.1f} % sure on average"
        if unknown.unsure is not None:
            sure = f"{100 * unknown.unsure:.1f} % are unsure, as they should be; {sure}"
        galleries.append(
            Gallery(
                f"{plural(unknown.count, 'image')} of none of the model's classes{of}",
                unknown.surest,
                f"{sure}, AUROC {unknown.auroc:.3f}. The surest are shown.",
            )
        )
    return [gallery for gallery in galleries if gallery.images]


def shorten_path(evaluation: Evaluation, path: str) -> str:
    """Return the path of an image as seen from the folder or CSV file that was evaluated."""
    origin = Path(evaluation.data)
    return path.removeprefix(f"{origin.parent if origin.is_file() else origin}/")


def class_table(evaluation: Evaluation) -> Table:
    """Return the figures of each class that has images; of many classes the worst."""
    shown = [figures for figures in evaluation.classes if figures.count]
    note = ""
    if len(shown) > LONG_TABLE_CLASSES:
        note = f"The {LONG_TABLE_CLASSES} worst of {len(shown)} classes."
        shown = sorted(shown, key=lambda figures: figures.f1 or 0)[:LONG_TABLE_CLASSES]
    return make_table(
        "Class by class",
        (
            (Column("class", align="left"), [figures.name for figures in shown]),
            (Column("images"), [f"{figures.count:,}" for figures in shown]),
            (Column("precision %"), [fixed(figures.precision, 100, 1) for figures in shown]),
            (Column("recall %"), [fixed(figures.recall, 100, 1) for figures in shown]),
            (Column("F1 %"), [fixed(figures.f1, 100, 1) for figures in shown]),
        ),
        note,
    )


def pair_table(evaluation: Evaluation, most: int = NAMED) -> Table:
    """Return the classes that are confused most often."""
    names = [figures.name for figures in evaluation.classes]
    return mistake_table("Most confused", names, evaluation.confusion, most)


def coverage_table(evaluation: Evaluation) -> Table:
    """Return how accurate the surest images are, for a few shares of all."""
    curve = evaluation.coverage
    points = [next(p for p in curve if p.coverage >= share - 1e-9) for share in COVERAGES]
    different = list(dict.fromkeys(points))
    return make_table(
        "The surest images",
        (
            (Column("% of images"), [f"{100 * point.coverage:.1f}" for point in different]),
            (Column("right %"), [f"{100 * point.accuracy:.2f}" for point in different]),
            (Column("at least % sure"), [f"{100 * point.threshold:.1f}" for point in different]),
        ),
    )


def _image_table(evaluation: Evaluation, gallery: Gallery) -> Table:
    images = gallery.images[:NAMED]
    columns = (
        (Column("image", align="left"), [shorten_path(evaluation, i.path) for i in images]),
        (Column("label", align="left"), [image.label for image in images]),
        (Column("predicted", align="left"), [image.predicted for image in images]),
        (Column("sure %"), [f"{100 * image.confidence:.1f}" for image in images]),
    )
    return make_table(gallery.title, columns, gallery.note)


def _format_threshold(threshold: Threshold | None) -> str:
    if threshold is None:
        return "no threshold makes what is sure accurate enough: improve the model first"
    right = "none" if threshold.accuracy is None else f"{100 * threshold.accuracy:.2f} %"
    return (
        f"threshold {threshold.value:.4g} ({ORIGINS[threshold.origin]}):"
        f" {100 * threshold.coverage:.1f} % of the images are sure, {right} of these right"
    )


def _format(table: Table) -> list[str]:
    if not table.rows:
        return [f"{table.title}: none"]
    lines = [f"{table.title}:", format_table(table.columns, table.rows)]
    return [*lines, table.note] if table.note else lines
