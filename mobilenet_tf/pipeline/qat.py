"""The qat stage: the float network in, its weights fine-tuned with fake quantization out."""

from __future__ import annotations

import logging
from functools import partial

from msgspec.structs import asdict, replace

from mobilenet_tf.data.pipeline import ended
from mobilenet_tf.data.training import load_training_data
from mobilenet_tf.models.weights import count_parameters
from mobilenet_tf.pipeline.confidence import calibrate_confidence
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.pipeline.stages import Outcome, Work
from mobilenet_tf.pipeline.train import save_chosen, score_validation
from mobilenet_tf.quantization.folding import fold_batch_norm
from mobilenet_tf.quantization.qat import deploy
from mobilenet_tf.runs.results import QatMetrics
from mobilenet_tf.training.distillation import Teacher
from mobilenet_tf.training.fine_tuning import make_phase, prepare_twin
from mobilenet_tf.training.loop import FitPlan, fit
from mobilenet_tf.training.trainer import seed_everything

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
    float_model = build_float_model(recipe, work.inputs["train"])
    teacher = None
    if settings.distill_share:
        log.info("qat: the float network teaches, at temperature %g", settings.distill_temperature)
        folded = fold_batch_norm(float_model)  # the same outputs at less cost
        teacher = Teacher(folded, settings.distill_share, settings.distill_temperature)
    model, calibration = prepare_twin(float_model, data.train, settings, seed)
    log.info(
        "qat: ranges of %s, followed for %.0f %% of the epochs, batch normalisation for %.0f %%",
        calibration,
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
            later_s=partial(work.estimate_later_s, "qat"),
        ),
    )
    deployed = deploy(model, float_model)
    metrics = QatMetrics(
        **asdict(replace(fitted, parameters=count_parameters(deployed))),
        validation_top1_before=before,
        calibration_outlier_count=calibration.outlier_count,
    )
    if recipe.train.calibrate_confidence:  # as float training did
        metrics = calibrate_confidence("qat", deployed, data.validation, metrics)
    save_chosen(deployed, work.folder, plan, "int8_qat")
    return Outcome(metrics, data.fingerprints)
