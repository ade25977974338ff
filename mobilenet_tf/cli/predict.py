"""`mtf predict`: classes and probabilities for images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mobilenet_tf.cli.options import json_option
from mobilenet_tf.errors import MtfError
from mobilenet_tf.system import terminal

if TYPE_CHECKING:
    from mobilenet_tf.evaluation.predict import Prediction


@click.command(short_help="Say what a .tflite MODEL sees in images.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument(
    "images", metavar="IMAGE...", type=click.Path(path_type=Path), nargs=-1, required=True
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="How many classes to show for an image, the most probable first.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Threads of the interpreter.",
)
@json_option
def command(
    *, model: Path, images: tuple[Path, ...], top: int, threads: int, as_json: bool
) -> None:
    """Say what a .tflite MODEL sees in images of any size and kind.

    MODEL is a file, or the name of a model in mtf zoo.
    The file alone is enough: its classes are inside. An image is turned upright, laid on white
    where it is transparent, cropped around its centre to the model's aspect ratio and resized.
    An image that cannot be read is named at the end; the others are predicted, the exit code is 1.

    \b
    Example:
      mtf predict v1_050_r32_int8_qat.tflite cat.jpg holiday/*.png --top 1
      mtf predict cifar10_v1_050_r32 cat.jpg
    """
    from mobilenet_tf.evaluation.predict import Predictor
    from mobilenet_tf.zoo.shelf import find_tflite

    predictor = Predictor(find_tflite(model), threads=threads)
    if predictor.warning:
        terminal.echo(f"warning: {predictor.warning}", err=True)
    errors: list[MtfError] = []
    read: list[Prediction] = []
    for prediction in predictor.predict(images, top=top):
        if prediction.error is not None:
            errors.append(prediction.error)
            continue
        if as_json:
            read.append(prediction)
        else:
            _echo(prediction)
    if as_json:
        terminal.echo_json(_describe(model, read, errors))
    for error in errors:
        terminal.echo(f"error: {error}", err=True)
    if errors:
        raise MtfError(f"{len(errors)} of {len(images)} images could not be read (named above)")


def _echo(prediction: Prediction) -> None:
    terminal.echo(str(prediction.image))
    for score in prediction.scores:
        terminal.echo(f"  {100 * score.probability:5.1f} %  {terminal.escape(score.name)}")


def _describe(model: Path, predictions: list[Prediction], errors: list[MtfError]) -> dict[str, Any]:
    return {
        "model": str(model),
        "images": [
            {
                "image": str(prediction.image),
                "classes": [
                    {"name": score.name, "index": score.index, "probability": score.probability}
                    for score in prediction.scores
                ],
            }
            for prediction in predictions
        ],
        "errors": [str(error) for error in errors],
    }
