from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from mobilenet_tf.data.sources import load_training_split
from mobilenet_tf.data.splits import Split, hold_out_validation
from mobilenet_tf.keras import keras
from mobilenet_tf.recipe import AugmentationSettings, QatSettings
from mobilenet_tf.training.fine_tuning import fine_tune, prepare_twin
from mobilenet_tf.training.loop import FitPlan

pytestmark = pytest.mark.slow
SETTINGS = QatSettings(epochs=1, batch_size=64, learning_rate=1e-9, calibration_count=32)
PLAIN = AugmentationSettings(crop_padding_px=0, flip=False)


@pytest.fixture(scope="module")
def data() -> tuple[Split, Split]:
    return hold_out_validation(load_training_split("synthetic"), 128, seed=1)


def build() -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.layers.Input((32, 32, 3)),
            keras.layers.Conv2D(8, 3, strides=4, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(6.0),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10),
        ]
    )


def make_plan(folder: Path, settings: QatSettings) -> FitPlan:
    return FitPlan("qat", settings, PLAIN, seed=2, folder=folder)


def test_training_that_spoils_the_network_is_undone(
    data: tuple[Split, Split], tmp_path: Path
) -> None:
    ruinous = replace(SETTINGS, learning_rate=50.0, distill_share=0.0, clip_norm=1.0)
    model = functional(build())
    calibrated, _ = prepare_twin(model, data[0], ruinous, 1)
    tuned = fine_tune(model, *data, make_plan(tmp_path, ruinous), 1)
    assert not tuned.preference.fine_tuned
    assert tuned.preference.images == "validation"
    assert tuned.metrics.best_epoch == 0
    assert tuned.metrics.validation_top1 == tuned.top1_before
    for kept, before in zip(tuned.twin.get_weights(), calibrated.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, before)


def test_without_validation_agreement_on_augmented_training_images_decides(
    data: tuple[Split, Split], tmp_path: Path
) -> None:
    tuned = fine_tune(functional(build()), data[0], None, make_plan(tmp_path, SETTINGS), 1)
    assert tuned.preference.images == "augmented training"
    assert tuned.preference.measure == "agreement"
    assert tuned.top1_before is None


def functional(model: keras.Model) -> keras.Model:
    return keras.Model(model.inputs, model.outputs)
