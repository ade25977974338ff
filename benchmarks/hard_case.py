"""Kernels whose channels differ in range by 100 and 1,000 times: what quantization makes of them.

    python benchmarks/hard_case.py artifacts/cifar10
    python benchmarks/hard_case.py artifacts/cifar10 --steps 350 --spread 1000 --json

The channels of every kernel of a trained run are rescaled across their batch normalisations, which
leaves the float function as it is. Then: int8 after training, and a short quantization-aware
training, ours and stock tensorflow-model-optimization's, with the same steps and rate. Accuracy of
the files, on all validation images of the run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from mobilenet_tf.data.batches import TrainingBatches
from mobilenet_tf.data.catalog import dataset_info
from mobilenet_tf.data.training import choose_calibration, load_training_data
from mobilenet_tf.evaluation.metrics import evaluate, make_keras_predict_fn
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.quantization.qat import (
    calibrate,
    deploy,
    quantize_for_training,
    set_mode,
    set_norms,
)
from mobilenet_tf.recipe import QatSettings, Recipe
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.tflite.convert import convert
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.training.schedule import learning_rate_at
from mobilenet_tf.training.trainer import Trainer
from spread import spread_channels
from stock import quantize_stock

DESCRIPTION = ("spread", "steps")  # what a row is of; the rest are accuracies


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--spread", "spreads", type=float, multiple=True, default=(1, 100, 1000))
@click.option("--steps", type=click.IntRange(min=1), default=35, show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(
    *, run: Path, spreads: tuple[float, ...], steps: int, data_dir: Path | None, as_json: bool
) -> None:
    """Measure the hard case on a finished RUN."""
    folder = RunFolder(run)
    recipe = folder.load_recipe()
    data = load_training_data(recipe, data_dir)
    if data.validation is None:
        raise click.UsageError(f"{run} was trained without validation images")
    images = choose_calibration(data.train, 512, recipe.model.resolution_px, recipe.seed)
    classes = dataset_info(recipe.data.name).classes
    rows = []
    for spread in spreads:
        model = build_float_model(recipe, folder.stage("train"))
        spread_channels(model, spread)
        ours = quantize_for_training(model)
        calibrate(ours, images)
        set_mode(ours, "observe")
        set_norms(ours, live=True)
        stock = quantize_stock(model)
        row: dict[str, Any] = {"spread": spread, "steps": steps}
        row["float"] = evaluate(make_keras_predict_fn(model), data.validation).top1
        for name, network, quantization in (
            ("int8_ptq", model, "int8_ptq"),
            ("int8_qat", ours, "int8_qat"),
            ("int8_qat_stock", stock, "int8_qat"),
        ):
            if network is not model:
                train(network, recipe, data.train, steps)
            content = convert(
                deploy(ours, model) if network is ours else network,
                quantization=quantization,
                classes=classes,
                description=f"hard case, {spread} times",
                calibration_images=images,
                check=False,  # stock files keep none of our promises
            )
            row[name] = evaluate(Classifier.load(content).predict, data.validation).top1
        rows.append(row)
        if not as_json:
            shown = "  ".join(
                f"{name} {value:.2%}" for name, value in row.items() if name not in DESCRIPTION
            )
            click.echo(f"spread {spread:g}, {steps} steps: {shown}")
    if as_json:
        click.echo(json.dumps(rows, indent=2))


def train(model: Any, recipe: Recipe, split: Any, steps: int) -> None:
    """Fine-tune for some steps, with the run's QAT settings and a schedule as long as they are."""
    settings: QatSettings = msgspec.structs.replace(recipe.qat, epochs=1)
    trainer = Trainer(model, settings)
    batches = TrainingBatches(
        split=split,
        augmentation=recipe.augmentation,
        resolution_px=recipe.model.resolution_px,
        batch_size=settings.batch_size,
        class_count=model.output_shape[-1],
        seed=recipe.seed + 1,
        epochs=1 + steps * settings.batch_size // len(split.labels),
    )
    drawn = iter(batches.from_epoch())
    for step in range(steps):
        trainer.optimizer.learning_rate.assign(learning_rate_at(step, settings, steps))
        trainer.step(*next(drawn))


if __name__ == "__main__":
    main()
