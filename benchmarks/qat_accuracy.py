"""Is quantization-aware training worth it? Float, after training, ours and stock, on test images.

    python benchmarks/qat_accuracy.py artifacts/cifar10
    python benchmarks/qat_accuracy.py artifacts/cifar10 --seed 1 --seed 2 --out comparison

From the float checkpoint of a run, with its own QAT settings, once for every seed. Schedule, crops
and the selection on validation images are the same for ours and for stock
tensorflow-model-optimization. Each accuracy is that of the exported int8 file. Every finished
training is kept in OUT: a killed measurement goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from mobilenet_tf.data.catalog import dataset_info
from mobilenet_tf.data.sources import load_test_split
from mobilenet_tf.data.training import choose_calibration, load_training_data
from mobilenet_tf.evaluation.metrics import evaluate, make_keras_predict_fn
from mobilenet_tf.files import write_text
from mobilenet_tf.pipeline import qat
from mobilenet_tf.pipeline.networks import build_float_model, build_quantized_model
from mobilenet_tf.pipeline.plan import make_plan
from mobilenet_tf.pipeline.stages import Work
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.provenance import find_commit
from mobilenet_tf.system.hardware import describe_machine
from mobilenet_tf.tflite.convert import convert
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.training.loop import FitPlan, fit
from mobilenet_tf.training.trainer import seed_everything
from stock import quantize_stock


@dataclass(frozen=True)
class Source:
    """The float checkpoint that everything starts from."""

    recipe: Recipe
    float_folder: Path
    data_dir: Path | None


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.option("--seed", "seeds", type=int, multiple=True, default=(1, 2, 3), show_default=True)
@click.option(
    "--method",
    "methods",
    type=click.Choice(["int8_ptq", "int8_qat", "int8_qat_stock"]),
    multiple=True,
    default=("int8_ptq", "int8_qat", "int8_qat_stock"),
)
@click.option("--out", type=click.Path(path_type=Path), help="[default: RUN/qat_accuracy]")
@click.option("--data-dir", type=click.Path(path_type=Path))
def main(
    *,
    run: Path,
    seeds: tuple[int, ...],
    methods: tuple[str, ...],
    out: Path | None,
    data_dir: Path | None,
) -> None:
    """Measure on the float checkpoint of a finished RUN."""
    folder = RunFolder(run)
    recipe = folder.load_recipe()
    out = out or run / "qat_accuracy"
    test = load_test_split(recipe.data.name, data_dir)
    source = Source(recipe, folder.stage("train"), data_dir)
    predict = make_keras_predict_fn(build_float_model(recipe, source.float_folder))
    report: dict[str, Any] = {
        "run": run.name,
        "qat": msgspec.to_builtins(recipe.qat),
        "commit": find_commit(),
        "machine": describe_machine(),
        "float_test_top1": evaluate(predict, test).top1,
        "float_fit_time_s": folder.load_stage("train").metrics["fit_time_s"],
        "rows": [],
    }
    for seed in seeds:
        for method in methods:
            row = measure(method, source, out / f"{method}_{seed}", seed)
            report["rows"].append(row)
            write_text(out / "report.json", json.dumps(report, indent=2))
            click.echo(json.dumps(row), err=True)
    click.echo(f"float {report['float_test_top1']:.2%}")
    for method in methods:
        values = [row["test_top1"] for row in report["rows"] if row["method"] == method]
        each = ", ".join(f"{value:.2%}" for value in values)
        click.echo(f"{method} {np.mean(values):.2%}  ({each})")


def measure(method: str, source: Source, folder: Path, seed: int) -> dict[str, Any]:
    """Return the row of one method and seed, from `folder` where it is there already."""
    finished = folder / "row.json"
    if finished.is_file():
        row: dict[str, Any] = json.loads(finished.read_text("utf-8"))
        return row
    folder.mkdir(parents=True, exist_ok=True)
    make: Callable[..., tuple[Any, dict[str, Any]]] = {
        "int8_ptq": leave_float,
        "int8_qat": train_ours,
        "int8_qat_stock": train_stock,
    }[method]
    # The validation split is the float run's; the seed decides crops, order and calibration.
    model, metrics = make(source, folder, seed)
    recipe, data_dir = source.recipe, source.data_dir
    data = load_training_data(recipe, data_dir)
    content = convert(
        model,
        quantization="int8_ptq" if method == "int8_ptq" else "int8_qat",
        classes=dataset_info(recipe.data.name).classes,
        description=f"{method}, seed {seed}",
        calibration_images=choose_calibration(
            data.train, recipe.export.calibration_count, recipe.model.resolution_px, seed
        ),
        check=method != "int8_qat_stock",  # stock files keep none of our promises
    )
    predict = Classifier.load(content).predict
    row = {"method": method, "seed": seed, **metrics}
    if data.validation is not None:
        row["validation_top1"] = evaluate(predict, data.validation).top1
    row["test_top1"] = evaluate(predict, load_test_split(recipe.data.name, data_dir)).top1
    write_text(finished, json.dumps(row))
    return row


def leave_float(source: Source, folder: Path, seed: int) -> tuple[Any, dict[str, Any]]:
    """Return the float network as it is."""
    return build_float_model(source.recipe, source.float_folder), {}


def train_ours(source: Source, folder: Path, seed: int) -> tuple[Any, dict[str, Any]]:
    """Return what `mtf qat` makes of the network."""
    plan = make_plan(RunFolder(folder / "run"), source.recipe, data_dir=source.data_dir)
    outcome = qat.run(Work(plan, folder, {"train": source.float_folder}), seed)
    fit_time_s = outcome.metrics.fit_time_s
    return build_quantized_model(source.recipe, folder), {"fit_time_s": fit_time_s}


def train_stock(source: Source, folder: Path, seed: int) -> tuple[Any, dict[str, Any]]:
    """Return what stock tensorflow-model-optimization makes of it, with the same trainer."""
    recipe = source.recipe
    seed_everything(seed, recipe.deterministic)
    data = load_training_data(recipe, source.data_dir)
    model = quantize_stock(build_float_model(recipe, source.float_folder))
    seed = (seed + 1) % 2**31
    plan = FitPlan("qat", recipe.qat, recipe.augmentation, seed=seed, folder=folder)
    return model, {"fit_time_s": fit(model, data.train, data.validation, plan).fit_time_s}


if __name__ == "__main__":
    main()
