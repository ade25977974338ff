"""`mtf evaluate`: how good a .tflite file is on labelled images of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mobilenet_tf.cli.options import (
    PATH,
    FilePath,
    NumberRange,
    SourcePath,
    csv_option,
    json_option,
    labels_option,
    model_argument,
    verbosity,
)
from mobilenet_tf.errors import MtfError
from mobilenet_tf.system import terminal

if TYPE_CHECKING:
    from mobilenet_tf.evaluation.images import Evaluation, Predictions


@click.command(short_help="Evaluate a .tflite MODEL on labelled images.")
@model_argument
@click.argument("images", metavar="[FOLDER]", type=SourcePath(), required=False)
@click.option(
    "--part",
    type=click.Choice(["train", "validation", "test", "all"]),
    help="Which part of a FOLDER that is split."
    "  [default: test, else validation, else all; of a run's own images what was held out]",
)
@click.option(
    "--unknown",
    type=PATH,
    help="A folder of images, in any layout, that show none of the model's classes.",
)
@labels_option
@click.option(
    "--threshold",
    type=NumberRange(0, 1),
    help="Probability below which a prediction is unsure.  [default: the file's, else one that"
    " makes 95 % of the rest right]",
)
@click.option(
    "--html",
    type=FilePath(),
    help="Write a page with plots, and with thumbnails of the images that are worth a look.",
)
@csv_option
@json_option
@verbosity
def command(
    *,
    model: Path,
    images: Path | str | None,
    part: str | None,
    unknown: Path | None,
    labels: Path | None,
    threshold: float | None,
    html: Path | None,
    as_csv: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Say how good a .tflite MODEL is on labelled images, and where it is wrong.

    MODEL is a file of this project or of others, the folder of a run, or the name of a model in
    mtf zoo. FOLDER holds one folder of images for each class, here or in s3:// or gs://, or is a
    CSV file (path,label); a run needs none: its own images are taken, those that it was not
    trained on. Classes go by their names; those that the model does not know are images of
    something else, which it should be unsure of. An image that cannot be read is named, and the
    exit code is 1.

    \b
    Example:
      mtf evaluate flowers.tflite phone/ --html phone.html
      mtf evaluate artifacts/flowers --json
    """
    from mobilenet_tf.data.bucket import settle_folder
    from mobilenet_tf.pipeline.evaluation import evaluate_file

    with terminal.set_up(quiet=quiet, as_json=as_json or as_csv):
        folder = None if images is None else settle_folder(images)
        predictions, evaluation = evaluate_file(
            model, folder, part=part, unknown=unknown, labels=labels, threshold=threshold
        )
        if html is not None:
            _write_page(html, evaluation)
    if as_csv:
        _write_rows(predictions)
    elif as_json:
        terminal.echo_json(evaluation)
    else:
        _print(evaluation, html)
    for image in evaluation.unreadable:
        terminal.echo(f"error: {image.path} {image.reason}", err=True)
    if count := len(evaluation.unreadable):
        all_count = len(predictions.paths) + count
        raise MtfError(f"{count} of {all_count} images could not be read")


def _write_page(path: Path, evaluation: Evaluation) -> None:
    from mobilenet_tf.data.thumbnails import make_thumbnails
    from mobilenet_tf.evaluation.images import list_shown
    from mobilenet_tf.files import write_text
    from mobilenet_tf.report.evaluation_page import render_evaluation

    write_text(path, render_evaluation(evaluation, make_thumbnails(list_shown(evaluation))))


def _print(evaluation: Evaluation, page: Path | None) -> None:
    from mobilenet_tf.report.evaluation import format_evaluation

    terminal.echo_block(format_evaluation(evaluation))
    if page is not None:
        terminal.echo_block(f"\nPage: {terminal.escape(str(page))}")


def _write_rows(predictions: Predictions) -> None:
    images = zip(predictions.paths, predictions.given, predictions.rows, strict=True)
    with terminal.csv_writer() as write:
        write(["path", "label", "prediction", "confidence", *predictions.classes])
        for path, label, row in images:
            best = int(row.argmax())
            values = [f"{value:.9g}" for value in row.tolist()]
            write([path, label, predictions.classes[best], values[best], *values])
