"""The qat stage: the float network in, its weights fine-tuned with fake quantization out."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from msgspec.structs import replace

from mobilenet_tf.data.pipeline import ended
from mobilenet_tf.data.training import choose_calibration, load_training_data
from mobilenet_tf.pipeline.estimate import estimate_later_s
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.pipeline.stages import Outcome, Work
from mobilenet_tf.pipeline.train import describe_fit, save_chosen, score_validation
from mobilenet_tf.quantization.calibration import describe_outliers, leave_out_outliers
from mobilenet_tf.quantization.folding import fold_batch_norm
from mobilenet_tf.quantization.qat import (
    calibrate,
    deploy,
    quantize_for_training,
    set_mode,
    set_norms,
)
from mobilenet_tf.recipe import QatSettings
from mobilenet_tf.runs.results import QatMetrics
from mobilenet_tf.training.distillation import Teacher
from mobilenet_tf.training.loop import FitPlan, Phase, fit
from mobilenet_tf.training.trainer import seed_everything

log = logging.getLogger(__name__)


def run(work: Work, seed: int | None = None) -> Outcome[QatMetrics]:
    """Fine-tune with fake quantization and save the weights of the best epoch.

    `seed`, the recipe's by default, changes the order of images, the crops and the calibration,
    not the split.

    Raises:
        MtfError: the data is not here, or training diverged.
    """
    plan, recipe, settings = work.plan, work.plan.recipe, work.plan.recipe.qat
    seed = recipe.seed if seed is None else seed
    seed_everything(seed, recipe.deterministic)
    data = load_training_data(recipe, plan.data_dir)
    float_model = build_float_model(recipe, work.inputs["train"])
    teacher = make_teacher(float_model, settings)
    model = quantize_for_training(float_model)
    drawn = choose_calibration(
        data.train, settings.calibration_count, recipe.model.resolution_px, seed
    )
    images = leave_out_outliers(float_model, drawn)
    calibrate(model, images)
    log.info(
        "qat: ranges of %d images%s, followed for %.0f %% of the epochs, batch normalisation for"
        " %.0f %%",
        len(images),
        describe_outliers(drawn, images),
        100 * settings.freeze_ranges_share,
        100 * settings.freeze_batch_norm_share,
    )
    before = score_validation(model, data)
    fitted = fit(
        model,
        data.train,
        data.validation,
        FitPlan(
            label="qat",
            settings=settings,
            augmentation=ended(recipe.augmentation),
            seed=(seed + 1) % 2**31,  # other crops than in the first epochs of float training
            folder=work.folder,
            phase=make_phase(model, settings),
            teacher=teacher,
            later_s=partial(estimate_later_s, "qat", work.later, recipe),
        ),
    )
    deployed = deploy(model, float_model)
    save_chosen(deployed, work.folder, plan, "int8_qat")
    metrics = replace(
        describe_fit(QatMetrics, fitted, deployed, data),
        validation_top1_before=before,
        calibration_outlier_count=len(drawn) - len(images),
    )
    return Outcome(metrics, data.fingerprints)


def make_teacher(float_model: Any, settings: QatSettings) -> Teacher | None:
    """Return the float network as the teacher of its own twin, if the settings ask for one."""
    if not settings.distill_share:
        return None
    log.info("qat: the float network teaches, at temperature %g", settings.distill_temperature)
    folded = fold_batch_norm(float_model)  # the same outputs at less cost
    return Teacher(folded, settings.distill_share, settings.distill_temperature)


def make_phase(model: Any, settings: QatSettings) -> Phase:
    """Return what freezes the ranges and batch normalisation in the course of fine-tuning."""

    def phase(share_done: float) -> bool:
        observe = share_done < settings.freeze_ranges_share
        changed = set_mode(model, "observe" if observe else "frozen")
        return set_norms(model, live=share_done < settings.freeze_batch_norm_share) or changed

    return phase
