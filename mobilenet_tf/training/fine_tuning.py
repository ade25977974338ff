"""What quantization-aware training starts from, and how it is frozen on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from msgspec import structs

from mobilenet_tf.data.splits import Images, Split
from mobilenet_tf.data.training import choose_calibration, draw_augmented
from mobilenet_tf.evaluation.metrics import make_keras_predict_fn, predict_all
from mobilenet_tf.evaluation.paired import prefer
from mobilenet_tf.quantization.calibration import leave_out_outliers
from mobilenet_tf.quantization.folding import fold_batch_norm
from mobilenet_tf.quantization.qat import calibrate, quantize_for_training, set_mode, set_norms
from mobilenet_tf.recipe import AugmentationSettings, QatSettings
from mobilenet_tf.runs.records import Preference
from mobilenet_tf.runs.results import FitMetrics
from mobilenet_tf.training.distillation import Teacher
from mobilenet_tf.training.loop import FitPlan, fit

COMPARED_COUNT = 5000  # augmented training images, where none are held out


@dataclass(frozen=True)
class Calibration:
    """The images (N, R, R, 3) uint8 that ranges come from, and how many were left out."""

    images: np.ndarray
    outlier_count: int

    def __str__(self) -> str:
        count = len(self.images)
        if not self.outlier_count:
            return f"{count} images"
        drawn = count + self.outlier_count
        return f"{count} images ({self.outlier_count} of {drawn} left out as outliers)"


def draw_calibration(model: Any, train: Split, count: int, seed: int) -> Calibration:
    """Return `count` training images, drawn by the seed, without a float model's outliers."""
    drawn = choose_calibration(train, count, model.input_shape[1], seed)
    images = leave_out_outliers(model, drawn)
    return Calibration(images, len(drawn) - len(images))


def prepare_twin(
    float_model: Any, train: Split, settings: QatSettings, seed: int
) -> tuple[Any, Calibration]:
    """Return the fake-quantized twin of a float model, its ranges calibrated, and from what."""
    twin = quantize_for_training(float_model)
    calibration = draw_calibration(float_model, train, settings.calibration_count, seed)
    calibrate(twin, calibration.images)
    return twin, calibration


def make_phase(twin: Any, settings: QatSettings) -> Callable[[float], bool]:
    """Return the phase of a `FitPlan` that freezes ranges and batch normalisation on the way."""

    def phase(share_done: float) -> bool:
        observe = share_done < settings.freeze_ranges_share
        changed = set_mode(twin, "observe" if observe else "frozen")
        return set_norms(twin, live=share_done < settings.freeze_batch_norm_share) or changed

    return phase


@dataclass(frozen=True)
class Comparison:
    """The images on which a fine-tuned network and the calibrated one are compared.

    `images` are uint8, the validation ones with their `labels`; where none are held out, augmented
    training images without. `expected` are the classes (N,) that the float network predicts.
    """

    images: Images
    labels: np.ndarray | None
    expected: np.ndarray

    def prefer(
        self, tuned: np.ndarray, calibrated: np.ndarray, *, tuned_before: bool = False
    ) -> Preference:
        """Return which of the two is preferred by its probabilities (N, C) of these images."""
        return prefer(
            tuned.argmax(-1),
            calibrated.argmax(-1),
            self.expected,
            self.labels,
            tuned_before=tuned_before,
        )


def set_up_comparison(
    float_model: Any,
    train: Split,
    validation: Split | None,
    augmentation: AugmentationSettings,
    seed: int,
) -> Comparison:
    """Return what is compared on; augmented images are drawn by the seed."""
    resolution_px, classes = float_model.input_shape[1], float_model.output_shape[-1]
    if validation is None:
        images: Images = draw_augmented(
            train,
            augmentation,
            count=min(COMPARED_COUNT, len(train.labels)),
            resolution_px=resolution_px,
            class_count=classes,
            seed=seed,
        )
    else:
        images = validation.images
    expected = _predict(float_model, images).argmax(-1)
    return Comparison(images, None if validation is None else validation.labels, expected)


@dataclass(frozen=True)
class FineTuned:
    """A fake-quantized twin as it is kept, and how it came about."""

    twin: Any
    metrics: FitMetrics
    preference: Preference
    calibration: Calibration
    top1_before: float | None  # calibrated only, on validation images


def fine_tune(
    float_model: Any, train: Split, validation: Split | None, plan: FitPlan, seed: int
) -> FineTuned:
    """Return the fine-tuned twin of a float model, or the calibrated one where that is preferred.

    The plan's settings are those of QAT; the teacher is the float model itself. `seed` draws the
    calibration images and what is compared on where there is no validation split.
    """
    settings = plan.settings
    assert isinstance(settings, QatSettings)  # noqa: S101  # for the type checker
    teacher = None
    if settings.distill_share:
        folded = fold_batch_norm(float_model)  # the same outputs at less cost
        teacher = Teacher(folded, settings.distill_share, settings.distill_temperature)
    twin, calibration = prepare_twin(float_model, train, settings, seed)
    comparison = set_up_comparison(float_model, train, validation, plan.augmentation, seed)
    calibrated, before = twin.get_weights(), _predict(twin, comparison.images)
    labels = comparison.labels
    top1_before = None if labels is None else float((before.argmax(-1) == labels).mean())
    plan = replace(plan, teacher=teacher, phase=make_phase(twin, settings))
    metrics = fit(twin, train, validation, plan)
    preference = comparison.prefer(_predict(twin, comparison.images), before)
    if not preference.fine_tuned:
        twin.set_weights(calibrated)
        metrics = structs.replace(metrics, best_epoch=0, validation_top1=top1_before)
    return FineTuned(twin, metrics, preference, calibration, top1_before)


def _predict(model: Any, images: Images) -> np.ndarray:
    resolution_px = model.input_shape[1]
    return predict_all(make_keras_predict_fn(model), images, resolution_px=resolution_px)
