from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.models.keras_builder import build_model


@pytest.fixture(scope="session")
def build_settled() -> Callable[..., Any]:
    """Build a small network whose batch-norm statistics are those of its own activations."""

    def build(pictures: np.ndarray, alpha: float = 0.1) -> Any:
        network = build_model(
            "mobilenet_v1",
            alpha=alpha,
            resolution_px=32,
            classes=10,
            stride_plan="cifar",
            seed=3,
            batch_norm_momentum=0.0,
        )
        network((pictures.astype(np.float32) - 128) / 128, training=True)
        return network

    return build
