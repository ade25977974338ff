"""Activations as the TFLite converter knows them, each one op of the file."""

from __future__ import annotations

from typing import Any

from mobilenet_tf.keras import keras, tf


@keras.utils.register_keras_serializable(package="mobilenet_tf")
class HardSwish(keras.layers.Layer):
    """x * relu6(x + 3) / 6 (arXiv 1905.02244, section 5.2), any shape; HARD_SWISH in the file."""

    def call(self, inputs: Any) -> Any:
        """Return the activations."""
        return inputs * (tf.nn.relu6(inputs + 3.0) * (1.0 / 6.0))


class _Constant(keras.layers.Layer):
    """A layer with one number."""

    def __init__(self, value: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value = float(value)

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {**super().get_config(), "value": self.value}


@keras.utils.register_keras_serializable(package="mobilenet_tf")
class Shift(_Constant):
    """x + value; in the file it becomes part of the bias before it."""

    def call(self, inputs: Any) -> Any:
        """Return the sum."""
        return inputs + self.value


@keras.utils.register_keras_serializable(package="mobilenet_tf")
class Scale(_Constant):
    """x * value."""

    def call(self, inputs: Any) -> Any:
        """Return the product."""
        return inputs * self.value
