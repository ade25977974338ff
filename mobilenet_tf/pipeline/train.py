"""The train stage: labelled images in, the float network of the best epoch out."""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import asdict, replace

from mobilenet_tf import __version__
from mobilenet_tf.data.partition import SPLIT_FILE
from mobilenet_tf.data.training import TrainingData, choose_calibration, load_training_data
from mobilenet_tf.evaluation.metrics import evaluate, make_keras_predict_fn
from mobilenet_tf.files import write_json, write_text
from mobilenet_tf.models.weights import copy_weights, count_parameters, load_features, save_weights
from mobilenet_tf.pipeline.confidence import calibrate_confidence
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.pipeline.origins import TEACHER, WEIGHTS
from mobilenet_tf.pipeline.plan import Plan
from mobilenet_tf.pipeline.stages import Outcome, Work
from mobilenet_tf.quantization.folding import fold_batch_norm
from mobilenet_tf.recipe import Quantization
from mobilenet_tf.runs.answers import Answers, has_answers, make_schedule
from mobilenet_tf.runs.folder import (
    CHECKPOINT_FILE,
    PRECISION_FILE,
    START_FILE,
    RunFolder,
    read_note,
)
from mobilenet_tf.runs.names import recipe_variant, weights_name
from mobilenet_tf.runs.results import Precision, Start, TrainMetrics
from mobilenet_tf.training.distillation import Teacher
from mobilenet_tf.training.head import fit_head
from mobilenet_tf.training.loop import FitPlan, fit
from mobilenet_tf.training.precision import choose_precision, describe_precision, load_precision
from mobilenet_tf.training.progressive import progressive_sides
from mobilenet_tf.training.recalibration import frozen_batch_norm, recalibrate_batch_norm
from mobilenet_tf.training.schedule import resolution_at
from mobilenet_tf.training.trainer import seed_everything
from mobilenet_tf.training.workers import join_workers

log = logging.getLogger(__name__)


def run(work: Work) -> Outcome[TrainMetrics]:
    """Train the float network and save the weights of its best epoch."""
    plan, recipe, settings = work.plan, work.plan.recipe, work.plan.recipe.train
    seed_everything(recipe.seed, recipe.deterministic)
    model = build_float_model(recipe)
    start = load_start(model, plan, work.folder)
    data = load_training_data(recipe, plan.data_dir)
    join_workers().agree("recipe or images", f"{recipe} {data.fingerprints} {__version__}")
    if data.split_csv:
        write_text(work.folder / SPLIT_FILE, data.split_csv)
    log.info(
        "train: %s, %s parameters, on %s images of %s%s",
        plan.variant.name,
        f"{count_parameters(model):,}",
        f"{len(data.train.labels):,}",
        plan.dataset.name,
        f", from the weights of {start.source}" if start else "",
    )
    start = fit_new_head(model, plan, data, work.folder, start)
    teacher = load_teacher(plan, data)
    growing = progressive_sides(recipe, plan.variant)
    precision = settle_precision(model, plan, work.folder)
    learner = model
    if precision.policy != "float32":
        learner = build_float_model(recipe, policy=precision.policy)
        copy_weights(model, learner)
    fit_plan = FitPlan(
        label="train",
        settings=settings,
        augmentation=recipe.augmentation,
        seed=recipe.seed,
        folder=work.folder,
        teacher=teacher,
        sides=partial(resolution_at, growing, recipe.model.resolution_px, settings)
        if growing
        else None,
        bfloat16_layers=precision.bfloat16_layers,
        later_s=partial(work.estimate_later_s, "train"),
    )
    with frozen_batch_norm(learner) if settings.freeze_batch_norm else nullcontext():
        fitted = fit(learner, data.train, data.validation, fit_plan)
    metrics = TrainMetrics(**asdict(fitted), precision=precision, start=start)
    if learner is not model:
        copy_weights(learner, model)  # what is kept is float32
        metrics = replace(metrics, validation_top1=score_validation(model, data))
    if settings.recalibrate_batch_norm_count:
        metrics = recalibrate(model, plan, data, metrics)
    if settings.calibrate_confidence:
        metrics = calibrate_confidence("train", model, data.validation, metrics)
    save_chosen(model, work.folder, plan, "float32")
    return Outcome(metrics, data.fingerprints)


def load_start(model: Any, plan: Plan, folder: Path) -> Start | None:
    """Load the initial weights and say what they are; None where the plan has none.

    A training that continues in `folder` has its own: what was noted of the initial ones stands.
    """
    if WEIGHTS not in plan.origins:
        return None
    if has_begun(folder):
        return read_note(folder / START_FILE, Start)
    origin = plan.origins[WEIGHTS]
    at_random = load_features(model, origin.path, dataset=plan.dataset.name)
    start = Start(source=origin.source, at_random=at_random)
    write_json(folder / START_FILE, start)
    return start


def fit_new_head(
    model: Any, plan: Plan, data: TrainingData, folder: Path, start: Start | None
) -> Start | None:
    """Fit a classifier that is new before the first epoch, if the recipe says so; return its start.

    A hidden layer before it may be new too, and stays random.
    """
    settings = plan.recipe.train
    if start is None or not (settings.head_first and start.at_random) or has_begun(folder):
        return start
    fit_head(model, data.train, class_balance=settings.class_balance, seed=plan.recipe.seed)
    start = replace(start, head_top1=score_validation(model, data))
    if start.head_top1 is not None:
        log.info("train: classifier fitted first, validation %.2f %%", 100 * start.head_top1)
    write_json(folder / START_FILE, start)
    return start


def has_begun(folder: Path) -> bool:
    """Tell whether an epoch of a training from initial weights is done."""
    return (folder / START_FILE).is_file() and (folder / CHECKPOINT_FILE).is_file()


def load_teacher(plan: Plan, data: TrainingData) -> Teacher | None:
    """Return the float network or the stored answers that the plan names as its teacher, if any."""
    if TEACHER not in plan.origins:
        return None
    settings, path = plan.recipe.train, plan.origins[TEACHER].path
    if has_answers(path):
        return load_answers(plan, data, Answers(path))
    run = RunFolder(path)
    recipe, result = run.load_recipe(), run.load_stage("train")
    folded = fold_batch_norm(build_float_model(recipe, run.stage("train")))
    name, temperature = recipe_variant(recipe).name, settings.distill_temperature
    log.info("train: %s of %s teaches, at temperature %g", name, run.path, temperature)
    warn_of_validation((result.data["train"],), data)
    return Teacher(folded, settings.distill_share, settings.distill_temperature)


def load_answers(plan: Plan, data: TrainingData, answers: Answers) -> Teacher:
    """Return the stored answers as a teacher; refuse those for other images."""
    settings, count = plan.recipe.train, len(data.train.labels)
    classes, data_print = plan.dataset.classes, data.fingerprints["train"]
    schedule = make_schedule(plan.recipe, classes, data_print, count)
    answers.check(schedule)
    answers.verify(schedule.epochs)
    warn_of_validation(answers.note.seen_data, data)
    log.info(
        "train: the answers in %s teach, at temperature %g",
        answers.folder,
        settings.distill_temperature,
    )
    return Teacher(None, settings.distill_share, settings.distill_temperature, answers)


def warn_of_validation(seen_data: Collection[str], data: TrainingData) -> None:
    """Warn where a teacher may have been trained on the validation images."""
    if data.validation is not None and set(seen_data) != {data.fingerprints["train"]}:
        log.warning("the teacher saw images held out here; the validation accuracy may flatter")


def settle_precision(model: Any, plan: Plan, folder: Path) -> Precision:
    """Return the precision that the training in `folder` was begun with, or choose and note it."""
    asked, batch_size = plan.recipe.train.precision, plan.recipe.train.batch_size
    precision = load_precision(folder, asked)
    if precision is None:
        exact = plan.recipe.deterministic
        precision = choose_precision(model, asked, batch_size=batch_size, deterministic=exact)
        told = join_workers().tell(msgspec.json.encode(precision))  # as measured by the chief
        precision = msgspec.json.decode(told, type=Precision)
        write_json(folder / PRECISION_FILE, precision)  # a resumed training computes as before
    log.info("train: %s", describe_precision(precision, model))
    return precision


def recalibrate(model: Any, plan: Plan, data: TrainingData, metrics: TrainMetrics) -> TrainMetrics:
    """Estimate batch normalisation anew for the weights that were kept; return the new metrics."""
    recipe, settings = plan.recipe, plan.recipe.train
    images = choose_calibration(
        data.train, settings.recalibrate_batch_norm_count, recipe.model.resolution_px, recipe.seed
    )
    count = recalibrate_batch_norm(model, images, settings.batch_size)
    log.info("train: batch normalisation re-estimated on %s images", f"{count:,}")
    return replace(
        metrics,
        recalibration_count=count,
        validation_top1_before_recalibration=metrics.validation_top1,
        validation_top1=score_validation(model, data),
    )


def score_validation(model: Any, data: TrainingData) -> float | None:
    """Return the accuracy on validation images; None if there are none."""
    if data.validation is None:
        return None
    predict, resolution_px = make_keras_predict_fn(model), model.input_shape[1]
    return evaluate(predict, data.validation, resolution_px=resolution_px, label="validating").top1


def save_chosen(model: Any, folder: Path, plan: Plan, quantization: Quantization) -> None:
    """Save the weights that were kept."""
    metadata = {"variant": plan.variant.name, "dataset": plan.dataset.name}
    save_weights(model, folder / weights_name(plan.recipe, quantization), metadata)
