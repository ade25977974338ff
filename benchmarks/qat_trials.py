"""Which settings of QAT serve a float network best? Each trial on validation images alone.

    python benchmarks/qat_trials.py cifar10 artifacts/zoo/cifar10_v1_050_r32/start.safetensors \
        --trial 'qat.learning_rate=0.015 qat.distill_share=0' --trial 'qat.learning_rate=0.001'

The network must have been trained without the recipe's validation images. A line of JSON for each
trial: the accuracy of the twin as calibrated and after every epoch, how often it predicts the float
network's class, and how far its probabilities are from the float network's (KL, in nats).
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from mobilenet_tf.data.batches import ended
from mobilenet_tf.data.training import load_training_data
from mobilenet_tf.evaluation.metrics import make_keras_predict_fn, predict_all
from mobilenet_tf.models.weights import load_weights
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.quantization.folding import fold_batch_norm
from mobilenet_tf.quantization.qat import deploy
from mobilenet_tf.recipe import load_recipe, parse_overrides, replace_settings
from mobilenet_tf.runs.provenance import find_commit
from mobilenet_tf.training.distillation import Teacher
from mobilenet_tf.training.fine_tuning import make_phase, prepare_twin
from mobilenet_tf.training.loop import FitPlan, fit
from mobilenet_tf.training.trainer import seed_everything


@click.command()
@click.argument("recipe_name", metavar="RECIPE")
@click.argument("weights", type=click.Path(path_type=Path, exists=True))
@click.option("--trial", "trials", multiple=True, required=True, metavar="'SETTING=VALUE ...'")
@click.option("--set", "fixed", multiple=True, metavar="SETTING=VALUE")
@click.option("--seed", "seeds", type=int, multiple=True, default=(1,))
@click.option("--limit", type=int, help="Train on the first images alone, for a short trial.")
@click.option("--strong", is_flag=True, help="Keep the recipe's strong augmentation.")
@click.option("--data-dir", type=click.Path(path_type=Path))
def main(
    *,
    recipe_name: str,
    weights: Path,
    trials: tuple[str, ...],
    fixed: tuple[str, ...],
    seeds: tuple[int, ...],
    limit: int | None,
    strong: bool,
    data_dir: Path | None,
) -> None:
    """Fine-tune the WEIGHTS of a float network once for every trial and seed."""
    base = load_recipe(recipe_name, fixed)
    for trial in trials:
        recipe = replace_settings(base, parse_overrides(trial.split()))
        for seed in seeds:
            row = measure(recipe, weights, seed, data_dir, limit=limit, strong=strong)
            about = {
                "weights": str(weights),
                "fixed": fixed,
                "trial": trial,
                "seed": seed,
                "limit": limit,
            }
            click.echo(json.dumps({**about, "commit": find_commit(), **row}))


def measure(
    recipe: Any, weights: Path, seed: int, data_dir: Path | None, *, limit: int | None, strong: bool
) -> dict[str, Any]:
    """Return what one fine-tuning does to the validation images."""
    settings, clock = recipe.qat, time.process_time()
    seed_everything(seed, recipe.deterministic)
    data = load_training_data(recipe, data_dir)
    if data.validation is None:
        raise click.UsageError("hold out validation images: --set data.validation_count=5000")
    validation = data.validation
    labels = validation.labels
    train = data.train.take(np.arange(limit or len(data.train.labels)))
    float_model = build_float_model(recipe)
    load_weights(float_model, weights)

    def predict(model: Any) -> np.ndarray:
        return predict_all(make_keras_predict_fn(model), validation.images)

    theirs = predict(float_model)
    teacher = None
    if settings.distill_share:
        folded = fold_batch_norm(float_model)
        teacher = Teacher(folded, settings.distill_share, settings.distill_temperature)
    twin, _ = prepare_twin(float_model, train, settings, seed)
    row: dict[str, Any] = {"float": float((theirs.argmax(-1) == labels).mean())}
    row["before"] = compare(predict(twin), theirs, labels)
    with tempfile.TemporaryDirectory() as folder:
        plan = FitPlan(
            label="qat",
            settings=settings,
            augmentation=recipe.augmentation if strong else ended(recipe.augmentation),
            seed=seed + 1,
            folder=Path(folder),
            phase=make_phase(twin, settings),
            teacher=teacher,
        )
        fitted = fit(twin, train, None, plan)  # the last epoch: nothing is chosen
    return {
        **row,
        "after": compare(predict(deploy(twin, float_model)), theirs, labels),
        "fit_time_s": fitted.fit_time_s,
        "cpu_s": round(time.process_time() - clock),
    }


def compare(own: np.ndarray, theirs: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return accuracy, agreement and divergence of probabilities (N, C) from the float ones."""
    own, theirs = np.maximum(own, 1e-7), np.maximum(theirs, 1e-7)
    return {
        "top1": round(float((own.argmax(-1) == labels).mean()), 4),
        "agreement": round(float((own.argmax(-1) == theirs.argmax(-1)).mean()), 4),
        "kl": round(float((theirs * np.log(theirs / own)).sum(-1).mean()), 5),
        "loss": round(float(-np.log(own[np.arange(len(labels)), labels]).mean()), 5),
    }


if __name__ == "__main__":
    main()
