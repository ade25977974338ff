"""A hard case for quantization: kernels whose channels differ in range."""

from __future__ import annotations

from typing import Any

import numpy as np

from mobilenet_tf.quantization.folding import find_norms


def spread_channels(model: Any, factor: float) -> None:
    """Spread channel ranges by `factor` in place, the function unchanged.

    Kernels are scaled by 1 to `factor` per channel, and their batch normalisation undoes it.
    """
    for name, folded in find_norms(model).items():
        norm, layer = model.get_layer(name), model.get_layer(folded)
        kernel, *rest = layer.get_weights()
        scale = np.geomspace(1, factor, norm.moving_mean.shape[0]).astype(np.float32)
        outputs = scale.reshape(kernel.shape[2:]) if "Depthwise" in type(layer).__name__ else scale
        layer.set_weights([kernel * outputs, *(bias * scale for bias in rest)])
        norm.moving_mean.assign(norm.moving_mean * scale)
        norm.moving_variance.assign((norm.moving_variance + norm.epsilon) * scale**2 - norm.epsilon)
