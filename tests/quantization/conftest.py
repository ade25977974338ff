from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.keras import keras, tf


@pytest.fixture(scope="session")
def spread_channels() -> Callable[[Any, float], None]:
    """Spread the channels' ranges of a network in place, as the benchmark of the hard case does."""
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "spread.py"
    return runpy.run_path(str(script))["spread_channels"]


@pytest.fixture(scope="session")
def train_a_little() -> Callable[[Any, np.ndarray], None]:
    """Move a network's weights and statistics by a few large steps on images."""

    def train(network: Any, images: np.ndarray) -> None:
        optimizer = keras.optimizers.SGD(0.1)
        labels = np.arange(len(images)) % 10
        images = (images.astype(np.float32) - 128) / 128
        for _ in range(2):
            with tf.GradientTape() as tape:
                logits = network(images, training=True)
                loss = keras.losses.sparse_categorical_crossentropy(
                    labels, logits, from_logits=True
                )
            variables = network.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    return train
