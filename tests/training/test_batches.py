from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.data.batches import TrainingBatches
from mobilenet_tf.data.splits import Split
from mobilenet_tf.recipe import AugmentationSettings, TrainSettings
from mobilenet_tf.training.loop import FitPlan, open_batches

MODEL = SimpleNamespace(input_shape=(None, 8, 8, 3), output_shape=(None, 3))
STEPS = 3


def read_epochs(distinct: int, first_epoch: int = 0) -> list[np.ndarray]:
    """Return the images of each epoch of five from `first_epoch` on."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    train = Split(images, draw.integers(0, 3, 12))
    settings = TrainSettings(epochs=5, batch_size=4, distinct_epochs=distinct)
    augmentation = AugmentationSettings(crop_padding_px=2, mixup_alpha=0.2)
    plan = FitPlan("train", settings, augmentation, 1, Path("unused"))
    batches = [
        images.numpy() for images, _ in open_batches(MODEL, train, plan, (0, 1), first_epoch)
    ]
    return [np.stack(batches[at : at + STEPS]) for at in range(0, len(batches), STEPS)]


def test_distinct_epochs_come_again_in_turn() -> None:
    epochs, whole = read_epochs(2), read_epochs(0)
    assert len(epochs) == len(whole) == 5
    for number, epoch in enumerate(epochs):
        np.testing.assert_array_equal(epoch, whole[number % 2])
    assert not np.array_equal(epochs[0], epochs[1])


@pytest.mark.parametrize("first_epoch", [1, 2, 4, 5])
def test_a_resumed_round_goes_on_where_it_was(first_epoch: int) -> None:
    resumed = read_epochs(2, first_epoch)
    assert len(resumed) == 5 - first_epoch
    for epoch, expected in zip(resumed, read_epochs(2)[first_epoch:], strict=True):
        np.testing.assert_array_equal(epoch, expected)


def test_all_later_rounds_share_one_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds the training images once."""
    opened, open_one = [], TrainingBatches.from_epoch

    def from_epoch(self: TrainingBatches, first: int = 0) -> Any:
        opened.append(first)
        return open_one(self, first)

    monkeypatch.setattr(TrainingBatches, "from_epoch", from_epoch)
    read_epochs(1)
    read_epochs(2, first_epoch=1)
    assert opened == [0, 1, 0]
