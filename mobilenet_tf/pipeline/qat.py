"""The qat stage: the float network in, its weights fine-tuned with fake quantization out."""

from __future__ import annotations

import logging
from functools import partial

from msgspec.structs import asdict, replace

from mobilenet_tf import __version__
from mobilenet_tf.data.batches import ended
from mobilenet_tf.data.training import load_training_data
from mobilenet_tf.models.weights import count_parameters
from mobilenet_tf.pipeline.confidence import calibrate_confidence
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.pipeline.stages import Outcome, Work
from mobilenet_tf.pipeline.train import save_chosen
from mobilenet_tf.quantization.qat import deploy
from mobilenet_tf.runs.results import QatMetrics
from mobilenet_tf.training.fine_tuning import fine_tune
from mobilenet_tf.training.loop import FitPlan
from mobilenet_tf.training.trainer import seed_everything
from mobilenet_tf.training.workers import join_workers

log = logging.getLogger(__name__)


def run(work: Work, seed: int | None = None) -> Outcome[QatMetrics]:
    """Fine-tune with fake quantization and save the weights of the best epoch.

    `seed`, the recipe's by default, changes the order of images, the crops and the calibration,
    not the split.
    """
    plan, recipe, settings = work.plan, work.plan.recipe, work.plan.recipe.qat
    seed = recipe.seed if seed is None else seed
    seed_everything(seed, recipe.deterministic)
    data = load_training_data(recipe, plan.data_dir)
    join_workers().agree("recipe or images", f"{recipe} {data.fingerprints} {__version__}")
    float_model = build_float_model(recipe, work.inputs["train"])
    if settings.distill_share:
        log.info("qat: the float network teaches, at temperature %g", settings.distill_temperature)
    tuned = fine_tune(
        float_model,
        data.train,
        data.validation,
        FitPlan(
            label="qat",
            settings=settings,
            augmentation=ended(recipe.augmentation),
            seed=(seed + 1) % 2**31,  # other crops than in the first epochs of float training
            folder=work.folder,
            later_s=partial(work.estimate_later_s, "qat"),
        ),
        seed,
    )
    kept = "fine-tuned" if tuned.preference.fine_tuned else "calibrated"
    log.info(
        "qat: ranges of %s; the %s network is kept: %s",
        tuned.calibration,
        kept,
        tuned.preference.reason,
    )
    deployed = deploy(tuned.twin, float_model)
    metrics = QatMetrics(
        **asdict(replace(tuned.metrics, parameters=count_parameters(deployed))),
        validation_top1_before=tuned.top1_before,
        calibration_outlier_count=tuned.calibration.outlier_count,
        preference=tuned.preference,
    )
    if recipe.train.calibrate_confidence:  # as float training did
        metrics = calibrate_confidence("qat", deployed, data.validation, metrics)
    save_chosen(deployed, work.folder, plan, "int8_qat")
    return Outcome(metrics, data.fingerprints)
