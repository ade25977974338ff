"""What hard activations are made of: layers of one number, each one op of the file."""

from __future__ import annotations

from typing import Any

from mobilenet_tf.keras import keras


class _Constant(keras.layers.Layer):
    """A layer with one number."""

    def __init__(self, value: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value = float(value)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "value": self.value}


@keras.utils.register_keras_serializable(package="mobilenet_tf")
class Shift(_Constant):
    """x + value; it goes into the bias before it, unless another layer reads that too."""

    def call(self, inputs: Any) -> Any:
        """Return the sum."""
        return inputs + self.value


@keras.utils.register_keras_serializable(package="mobilenet_tf")
class Scale(_Constant):
    """x * value."""

    def call(self, inputs: Any) -> Any:
        """Return the product."""
        return inputs * self.value
