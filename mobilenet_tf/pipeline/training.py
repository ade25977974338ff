"""The two training stages: recipe and data in, chosen weights and metrics out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from mobilenet_tf.data.pipeline import ended
from mobilenet_tf.data.training import TrainingData, choose_calibration, load_training_data
from mobilenet_tf.evaluation.metrics import evaluate, make_keras_predict_fn
from mobilenet_tf.models.weights import (
    copy_weights,
    count_parameters,
    save_weights,
)
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.pipeline.start import load_start
from mobilenet_tf.pipeline.teacher import check_teacher, find_teacher
from mobilenet_tf.quantization.calibration import leave_out_outliers
from mobilenet_tf.quantization.folding import fold_batch_norm
from mobilenet_tf.quantization.qat import (
    calibrate,
    deploy,
    quantize_for_training,
    set_mode,
    set_norms,
)
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.names import recipe_variant, weights_name
from mobilenet_tf.runs.results import QatMetrics, TrainMetrics
from mobilenet_tf.training.distillation import Teacher
from mobilenet_tf.training.fit import Fitted, fit, seed_everything
from mobilenet_tf.training.precision import (
    choose_precision,
    describe_precision,
    load_precision,
    save_precision,
)
from mobilenet_tf.training.progressive import progressive_sides
from mobilenet_tf.training.recalibration import recalibrate_batch_norm
from mobilenet_tf.training.schedule import resolution_at

Echo = Callable[[str], None]


def describe_outliers(drawn: np.ndarray, kept: np.ndarray) -> str:
    """Return how many images of a calibration set were left out, as a parenthesis, if any."""
    count = len(drawn) - len(kept)
    return f" ({count} of {len(drawn)} left out as outliers)" if count else ""


def train_float(
    recipe: Recipe, folder: Path, data_dir: Path | None, echo: Echo, progress: bool
) -> tuple[TrainMetrics, dict[str, str]]:
    """Train the float network; return its metrics and the fingerprints of the data."""
    seed_everything(recipe.seed, recipe.deterministic)
    model = build_float_model(recipe)
    settings, full_px = recipe.train, recipe.model.resolution_px
    start = load_start(model, recipe, folder)
    data = load_training_data(recipe, data_dir)
    echo(
        f"train: {recipe_variant(recipe).name}, {count_parameters(model):,} parameters, on"
        f" {len(data.train.labels):,} images of {recipe.data.name}"
        + (f", from the weights of {recipe.train.weights}" if start is not None else "")
    )
    teacher = load_teacher(recipe, data, echo)
    precision = load_precision(folder, settings.precision)
    if precision is None:
        precision = choose_precision(
            model,
            settings.precision,
            batch_size=settings.batch_size,
            deterministic=recipe.deterministic,
        )
        save_precision(precision, folder)
    echo(f"train: {describe_precision(precision, model)}")

    growing = progressive_sides(recipe)

    def sides(share_done: float) -> int:
        return resolution_at(share_done, growing, full_px, settings)

    learner = model
    if precision.policy != "float32":
        learner = build_float_model(recipe, policy=precision.policy)
        copy_weights(model, learner)
    fitted = fit(
        learner,
        data.train,
        data.validation,
        recipe.augmentation,
        settings,
        seed=recipe.seed,
        folder=folder,
        label="train",
        echo=echo,
        progress=progress,
        teacher=teacher,
        sides=sides if growing else None,
        bfloat16_layers=precision.bfloat16_layers,
    )
    metrics = TrainMetrics(
        **describe_fit(fitted, model, data), precision=precision, weights_at_random=start
    )
    if learner is not model:
        copy_weights(learner, model)  # what is kept is float32
        metrics = replace(metrics, validation_top1=score_validation(model, data))
    if settings.recalibrate_batch_norm_count:
        images = choose_calibration(
            data.train, settings.recalibrate_batch_norm_count, full_px, recipe.seed
        )
        recalibrate_batch_norm(model, images, settings.batch_size)
        metrics = replace(
            metrics,
            recalibration_count=len(images),
            validation_top1_before_recalibration=metrics.validation_top1,
            validation_top1=score_validation(model, data),
        )
        echo(f"train: batch normalisation re-estimated on {len(images):,} images")
    save_chosen(model, folder / weights_name(recipe, "float32"), recipe)
    return metrics, data.fingerprints


def load_teacher(recipe: Recipe, data: TrainingData, echo: Echo) -> Teacher | None:
    """Return the float network of the run that a recipe names as its teacher, if any.

    Raises:
        UsageError: it cannot teach this one; see `mobilenet_tf.pipeline.teacher.check_teacher`.
    """
    run = find_teacher(recipe)
    if run is None:
        return None
    result = check_teacher(run, recipe)
    taught_by = run.load_recipe()
    folded = fold_batch_norm(build_float_model(taught_by, run.stage("train")))
    echo(
        f"train: {recipe_variant(taught_by).name} of {run.path} teaches, at temperature"
        f" {recipe.train.distill_temperature:g}"
    )
    if data.validation is not None and result.data["train"] != data.fingerprints["train"]:
        echo(
            "train: the teacher has learned from images that are held out here; the validation"
            " accuracy may flatter"
        )
    return Teacher(folded, recipe.train.distill_share, recipe.train.distill_temperature)


def train_quantized(
    recipe: Recipe,
    float_folder: Path,
    folder: Path,
    *,
    data_dir: Path | None,
    echo: Echo,
    progress: bool,
    seed: int | None = None,
) -> tuple[QatMetrics, dict[str, str]]:
    """Fine-tune with fake quantization; return its metrics and the fingerprints of the data.

    `seed` changes the order of images, the crops and the calibration, not the split.
    """
    seed = recipe.seed if seed is None else seed
    seed_everything(seed, recipe.deterministic)
    data = load_training_data(recipe, data_dir)
    float_model = build_float_model(recipe, float_folder)
    teacher = None
    if recipe.qat.distill_share:
        folded = fold_batch_norm(float_model)  # the same outputs at less cost
        teacher = Teacher(folded, recipe.qat.distill_share, recipe.qat.distill_temperature)
    model = quantize_for_training(float_model)
    drawn = choose_calibration(
        data.train, recipe.qat.calibration_count, recipe.model.resolution_px, seed
    )
    images = leave_out_outliers(float_model, drawn)
    calibrate(model, images)
    echo(
        f"qat: ranges of {len(images)} images"
        f"{describe_outliers(drawn, images)}, followed for"
        f" {recipe.qat.freeze_ranges_share:.0%} of the epochs, batch normalisation for"
        f" {recipe.qat.freeze_batch_norm_share:.0%}"
    )
    if teacher is not None:
        echo(f"qat: the float network teaches, at temperature {teacher.temperature:g}")

    def phase(share_done: float) -> bool:
        observe = share_done < recipe.qat.freeze_ranges_share
        changed = set_mode(model, "observe" if observe else "frozen")
        return set_norms(model, live=share_done < recipe.qat.freeze_batch_norm_share) or changed

    before = score_validation(model, data)
    fitted = fit(
        model,
        data.train,
        data.validation,
        ended(recipe.augmentation),
        recipe.qat,
        seed=(seed + 1) % 2**31,  # other crops than in the first epochs of float training
        folder=folder,
        label="qat",
        echo=echo,
        progress=progress,
        phase=phase,
        teacher=teacher,
    )
    deployed = deploy(model, float_model)
    save_chosen(deployed, folder / weights_name(recipe, "int8_qat"), recipe)
    metrics = QatMetrics(
        **describe_fit(fitted, deployed, data),
        validation_top1_before=before,
        calibration_outlier_count=len(drawn) - len(images),
    )
    return metrics, data.fingerprints


def score_validation(model: Any, data: TrainingData) -> float | None:
    """Return the accuracy on validation images; None if there are none."""
    if data.validation is None:
        return None
    predict = make_keras_predict_fn(model)
    return evaluate(predict, data.validation, resolution_px=model.input_shape[1]).top1


def save_chosen(model: Any, path: Path, recipe: Recipe) -> None:
    """Save the chosen weights."""
    metadata = {"variant": recipe_variant(recipe).name, "dataset": recipe.data.name}
    save_weights(model, path, metadata)


def describe_fit(fitted: Fitted, model: Any, data: TrainingData) -> dict[str, Any]:
    """Return the metrics of a fit, for result.json."""
    validation_top1 = None
    if data.validation is not None:
        validation_top1 = fitted.history[fitted.best_epoch - 1]["validation_accuracy"]
    return {
        "parameters": count_parameters(model),
        "train_count": len(data.train.labels),
        "validation_count": 0 if data.validation is None else len(data.validation.labels),
        "best_epoch": fitted.best_epoch,
        "selection": fitted.selection,
        "validation_top1": validation_top1,
        **fitted.metrics,
    }
