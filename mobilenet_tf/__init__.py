"""Train mobile image classifiers, quantize them to int8 and prove what the file in the app does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["MobileNetV1", "__version__"]

if TYPE_CHECKING:
    from mobilenet_tf.models.keras_builder import MobileNetV1


def __getattr__(name: str) -> Any:
    """Load TensorFlow only when a model is asked for: `mtf --help` must answer at once."""
    if name == "MobileNetV1":
        from mobilenet_tf.models.keras_builder import MobileNetV1

        return MobileNetV1
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
