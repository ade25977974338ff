from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.data.sources import load_training_split
from mobilenet_tf.keras import keras, tf
from mobilenet_tf.recipe import AugmentationSettings, FitSettings
from mobilenet_tf.training.distillation import Teacher
from mobilenet_tf.training.loop import FitPlan, fit

pytestmark = pytest.mark.slow


class Constant:
    """A teacher that always says the same."""

    def __init__(self, logits: list[float]) -> None:
        self.logits = tf.constant([logits])

    def __call__(self, images: Any, *, training: bool) -> Any:
        assert not training  # its batch normalisation must not move
        return self.logits


def soft_loss(teacher: list[float], student: list[float], temperature: float) -> float:
    def softmax(logits: list[float]) -> np.ndarray:
        powers = np.exp(np.asarray(logits) / temperature)
        return powers / powers.sum()

    return float(-(softmax(teacher) * np.log(softmax(student))).sum() * temperature**2)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_loss_is_a_blend_of_labels_and_teacher(share: float, temperature: float) -> None:
    teacher = Teacher(Constant([2.0, 0.0, -1.0]), share, temperature)
    loss = teacher.blend(tf.constant(5.0), None, tf.constant([[0.5, 0.1, 0.2]]))
    expected = (1 - share) * 5 + share * soft_loss([2, 0, -1], [0.5, 0.1, 0.2], temperature)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_a_student_that_agrees_is_left_as_it_is() -> None:
    logits = tf.Variable([[2.0, 0.0, -1.0]])
    teacher = Teacher(Constant([2.0, 0.0, -1.0]), share=1.0, temperature=3.0)
    with tf.GradientTape() as tape:
        loss = teacher.blend(tf.constant(0.0), None, logits)
    np.testing.assert_allclose(tape.gradient(loss, logits).numpy(), 0, atol=1e-6)


def test_a_fit_follows_its_teacher(tmp_path: Path) -> None:
    """The teacher calls everything class 3, whatever the labels say."""
    data = load_training_split("synthetic")
    layers = [keras.layers.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(10)]
    model = keras.Sequential(layers)
    fit(
        model,
        data,
        None,
        FitPlan(
            label="qat",
            settings=FitSettings(epochs=4, batch_size=64, learning_rate=0.01),
            augmentation=AugmentationSettings(crop_padding_px=0, flip=False),
            seed=1,
            folder=tmp_path,
            teacher=Teacher(Constant([0.0] * 3 + [20.0] + [0.0] * 6), share=1.0, temperature=1.0),
        ),
    )
    images = (data.images[:100].astype(np.float32) - 128) / 128
    assert (model(images).numpy().argmax(-1) == 3).mean() > 0.9
