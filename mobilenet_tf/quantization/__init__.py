"""Quantization-aware training: what tensorflow-model-optimization lacks, in one place."""

from __future__ import annotations

import mobilenet_tf.keras  # noqa: F401  # logs are quiet before tfmot loads TensorFlow itself
