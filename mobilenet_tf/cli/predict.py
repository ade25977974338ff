"""`mtf predict`: classes and probabilities for images."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mobilenet_tf.cli.options import PATH, csv_option, json_option, labels_option, model_argument
from mobilenet_tf.errors import MtfError
from mobilenet_tf.system import terminal

if TYPE_CHECKING:
    from mobilenet_tf.evaluation.predict import Prediction

STANDARD_INPUT = Path("-")


@click.command(short_help="Say what a .tflite MODEL sees in images.")
@model_argument
@click.argument("images", metavar="IMAGE...", type=PATH, nargs=-1, required=True)
@click.option(
    "--top",
    type=click.IntRange(1, 100_000),
    help="How many classes to show for an image, the most probable first."
    "  [default: 3; all with --csv]",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=1,
    help="Threads of the interpreter.",
)
@labels_option
@csv_option
@json_option
def command(
    *,
    model: Path,
    images: tuple[Path, ...],
    top: int | None,
    threads: int,
    labels: Path | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Say what a .tflite MODEL sees in images of any size and kind.

    MODEL is a file, the folder of a run, or the name of a model in mtf zoo. IMAGE is an image, a
    folder (with all that is in it), or - for a list of such on standard input, one a line.
    The file alone is enough: its classes are inside. An image is turned upright, laid on white
    where it is transparent, and fitted to the model's input as its file says, else by its centre.
    A prediction below the file's threshold is said to be unsure. An image that cannot be read is
    named at the end; the others are predicted, the exit code is 1.

    \b
    Example:
      mtf predict v1_050_r32_int8_qat.tflite cat.jpg holiday/*.png --top 1
      mtf predict cifar10_v1_050_r32 holiday/ --csv > holiday.csv
      find . -name "*.jpg" | mtf predict cifar10_v1_050_r32 - --csv
    """
    from mobilenet_tf.evaluation.predict import Predictor
    from mobilenet_tf.zoo.shelf import find_tflite

    predictor = Predictor(find_tflite(model), threads=threads, labels=labels)
    if predictor.warning:
        terminal.echo(f"warning: {predictor.warning}", err=True)
    errors: list[MtfError] = []
    predictions = predictor.predict(
        _list_images(images, errors), top=top or (len(predictor.classes) if as_csv else 3)
    )
    read = _set_errors_aside(predictions, errors)
    if as_csv:
        _write_csv(read, predictor.classes, top)
    elif as_json:
        described = [_describe(prediction) for prediction in read]
        terminal.echo_json(
            {"model": str(model), "images": described, "errors": [str(error) for error in errors]}
        )
    else:
        for prediction in read:
            _echo(prediction)
    for error in errors:
        terminal.echo(f"error: {error}", err=True)
    if errors:
        count = f"{len(errors)} image{'s' if len(errors) > 1 else ''}"
        raise MtfError(f"{count} could not be read (named above)")


def _list_images(given: Iterable[Path], errors: list[MtfError]) -> Iterator[Path]:
    """Yield the images that are meant, one after another; folders without any become errors."""
    from mobilenet_tf.data.folder import list_images

    for path in given:
        if path == STANDARD_INPUT:
            lines = (os.fsdecode(line.rstrip(b"\r\n")) for line in sys.stdin.buffer)
            yield from _list_images((Path(line) for line in lines if line), errors)
            continue
        try:
            inside = list_images(path) if path.is_dir() else [path]
        except OSError as error:
            errors.append(MtfError(f"{error.filename or path} cannot be read: {error.strerror}"))
            continue
        if not inside:
            errors.append(MtfError(f"{path} is a folder without images"))
        yield from inside


def _set_errors_aside(
    predictions: Iterable[Prediction], errors: list[MtfError]
) -> Iterator[Prediction]:
    for prediction in predictions:
        if prediction.error is None:
            yield prediction
        else:
            errors.append(prediction.error)


def _echo(prediction: Prediction) -> None:
    terminal.echo(f"{prediction.image}{'  unsure' if prediction.unsure else ''}")
    for score in prediction.scores:
        terminal.echo(f"  {100 * score.probability:5.1f} %  {terminal.escape(score.name)}")


def _describe(prediction: Prediction) -> dict[str, Any]:
    return {
        "image": str(prediction.image),
        "unsure": prediction.unsure,
        "classes": [
            {"name": score.name, "index": score.index, "probability": score.probability}
            for score in prediction.scores
        ],
    }


def _write_csv(read: Iterable[Prediction], classes: tuple[str, ...], top: int | None) -> None:
    """Print path, prediction, confidence, and each class's probability or the `top` classes."""
    columns = [*classes] if top is None else []
    for rank in range(2, min(top or 1, len(classes)) + 1):
        columns += [f"prediction {rank}", f"confidence {rank}"]
    with terminal.csv_writer() as write:
        write(["path", "prediction", "confidence", "unsure", *columns])
        for prediction in read:
            best, *others = prediction.scores
            if top is None:
                by_class = sorted(prediction.scores, key=lambda score: score.index)
                values = [f"{score.probability:.9g}" for score in by_class]
            else:
                values = [v for s in others for v in (s.name, f"{s.probability:.9g}")]
            unsure = "" if prediction.unsure is None else str(prediction.unsure).lower()
            confidence = f"{best.probability:.9g}"
            write([str(prediction.image), best.name, confidence, unsure, *values])
