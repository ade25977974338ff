"""What quantization-aware training starts from, and how it is frozen on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilenet_tf.data.splits import Split
from mobilenet_tf.data.training import choose_calibration
from mobilenet_tf.quantization.calibration import leave_out_outliers
from mobilenet_tf.quantization.qat import calibrate, quantize_for_training, set_mode, set_norms
from mobilenet_tf.recipe import QatSettings


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
