"""How near the fake-quantized Keras model, XNNPACK and the reference kernels are to each other.

    python benchmarks/parity.py artifacts/cifar10

All on the int8 QAT file of a finished run and its test images; the reference kernels take some
ten milliseconds an image.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec

from mobilenet_tf.data.pipeline import resize_bytes
from mobilenet_tf.data.sources import load_test_split
from mobilenet_tf.evaluation.metrics import make_keras_predict_fn, predict_all
from mobilenet_tf.evaluation.paired import compare_probabilities
from mobilenet_tf.evaluation.score import score_probabilities
from mobilenet_tf.pipeline.networks import build_quantized_model
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.names import tflite_name
from mobilenet_tf.tflite.interpreter import Classifier


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(min=1), help="Test images.  [default: all]")
@click.option("--data-dir", type=click.Path(path_type=Path))
def main(*, run: Path, count: int | None, data_dir: Path | None) -> None:
    """Compare the three on a finished RUN; prints JSON."""
    folder = RunFolder(run)
    recipe = folder.load_recipe()
    test = load_test_split(recipe.data.name, data_dir)
    images = resize_bytes(test.images[:count], recipe.model.resolution_px)
    file = folder.stage("export") / tflite_name(recipe, "int8_qat")
    keras_model = build_quantized_model(recipe, folder.stage("qat"))
    keras = predict_all(make_keras_predict_fn(keras_model), images)
    xnnpack = Classifier.load(file, threads=2).predict(images)
    reference = Classifier.load(file, threads=2, reference_kernels=True).predict(images)
    one_by_one = Classifier.load(file).predict(images, batch_size=1)
    result = {
        "keras_xnnpack": compare_probabilities(keras, xnnpack),
        "keras_reference": compare_probabilities(keras, reference),
        "xnnpack_reference": compare_probabilities(xnnpack, reference),
        "top1": {
            name: score_probabilities(probabilities, test.labels[:count]).top1
            for name, probabilities in (
                ("keras", keras),
                ("xnnpack", xnnpack),
                ("reference", reference),
            )
        },
        "same_bytes_one_by_one": bool((xnnpack == one_by_one).all()),
    }
    click.echo(json.dumps(msgspec.to_builtins(result), indent=2))


if __name__ == "__main__":
    main()
