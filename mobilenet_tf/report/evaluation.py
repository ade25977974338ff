"""An evaluation on labelled images, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from mobilenet_tf.evaluation.images import Evaluation, Judged, Threshold
from mobilenet_tf.report.tables import Column, Table, format_table, make_table
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
    low, high = accuracy_interval(evaluation.top1, evaluation.count)
    top5 = "" if evaluation.top5 is None else f", top-5 {evaluation.top5:.2%}"
    part = f" ({evaluation.part})" if evaluation.part else ""
    lines = [
        f"{evaluation.model} on {plural(evaluation.count, 'image')} of {evaluation.data}{part}",
        f"top-1 {evaluation.top1:.2%} (95 % interval {low:.1%} to {high:.1%}){top5}; balanced"
        f" accuracy {evaluation.balanced_accuracy:.2%}, mean F1 {evaluation.macro_f1:.3f}",
        f"calibration error (ECE) {evaluation.calibration_error:.2%}: predictions are"
        f" {evaluation.mean_confidence:.1%} sure on average and {evaluation.top1:.1%} right",
        *_format_threshold(evaluation.threshold),
    ]
    if evaluation.missing:
        lines.append(f"no image of {_few(evaluation.missing)}")
    for table in (class_table(evaluation), pair_table(evaluation), coverage_table(evaluation)):
        lines += ["", *_format(table)]
    for table in image_tables(evaluation, NAMED):
        lines += ["", *_format(table)]
    return "\n".join(lines)


def image_tables(evaluation: Evaluation, most: int) -> Iterator[Table]:
    """Yield the tables of images that are worth a look, at most `most` rows each."""
    root = Path(evaluation.data)
    list_images = partial(_list_images, root if root.is_dir() else root.parent)
    yield from list_images("Worst mistakes", evaluation.worst_mistakes[:most])
    yield from list_images("Least sure", evaluation.least_sure[:most])
    count = plural(evaluation.label_error_count, "likely label error")
    note = "For these images to tell, the model must not have been trained on them."
    yield from list_images(count, evaluation.label_errors[:most], note)
    unknown = evaluation.unknown
    if unknown is not None:
        of = f" ({_few(unknown.classes)})" if unknown.classes else ""
        title = f"{plural(unknown.count, 'image')} of none of the model's classes{of}"
        share = "" if unknown.unsure is None else f"{unknown.unsure:.1%} are unsure as they should;"
        note = f"{share} {unknown.mean_confidence:.1%} sure on average, AUROC {unknown.auroc:.3f}"
        yield from list_images(title, unknown.surest[:most], f"{note}. The surest are shown.")


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
    pairs = [
        (count, names[true], names[predicted], count / sum(line))
        for true, line in enumerate(evaluation.confusion)
        for predicted, count in enumerate(line)
        if true != predicted and count
    ]
    rows = sorted(pairs, key=lambda pair: -pair[0])[:most]
    return Table(
        "Most confused",
        (
            Column("true class", align="left"),
            Column("predicted", align="left"),
            Column("images"),
            Column("% of the class"),
        ),
        tuple((true, other, f"{n:,}", f"{100 * share:.1f}") for n, true, other, share in rows),
    )


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


def _list_images(
    root: Path, title: str, images: Sequence[Judged], note: str = ""
) -> Iterator[Table]:
    if images:
        paths = [image.path.removeprefix(f"{root}/") for image in images]
        yield make_table(
            title,
            (
                (Column("image", align="left"), paths),
                (Column("label", align="left"), [image.label for image in images]),
                (Column("predicted", align="left"), [image.predicted for image in images]),
                (Column("sure %"), [f"{100 * image.confidence:.1f}" for image in images]),
            ),
            note,
        )


def _format_threshold(threshold: Threshold | None) -> list[str]:
    if threshold is None:
        return ["no threshold makes what is sure accurate enough: improve the model first"]
    right = "none" if threshold.accuracy is None else f"{threshold.accuracy:.2%}"
    return [
        f"threshold {threshold.value:.4g} ({ORIGINS[threshold.origin]}):"
        f" {threshold.coverage:.1%} of the images are sure, {right} of these right"
    ]


def _format(table: Table) -> list[str]:
    if not table.rows:
        return [f"{table.title}: none"]
    lines = [f"{table.title}:", format_table(table.columns, table.rows)]
    return [*lines, table.note] if table.note else lines


def _few(names: Sequence[str], most: int = NAMED) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
