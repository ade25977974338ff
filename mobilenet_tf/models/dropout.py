"""Dropout that a resumed run repeats bit for bit."""

from __future__ import annotations

from typing import Any

from mobilenet_tf.keras import count_replicas, keras, tf


@keras.utils.register_keras_serializable(package="mobilenet_tf")
class SeededDropout(keras.layers.Layer):
    """Dropout whose mask is a pure function of a seed and a step variable.

    Keras' own layer draws from hidden generator state that no checkpoint holds. Here the only
    state is the int64 variable `step`, raised by every training call. Two layers of one model need
    different seeds.

    Srivastava et al. 2014, in the inverted form: kept values are divided by 1 - rate.

    Raises:
        ValueError: `rate` is not in [0, 1).
    """

    def __init__(self, rate: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"dropout rate {rate!r} is not in [0, 1)")
        self.rate = float(rate)
        self.seed = int(seed)

    def build(self, input_shape: Any) -> None:
        """Create the step variable."""
        self.step = self.add_weight(
            name="step", shape=(), dtype="int64", initializer="zeros", trainable=False
        )
        super().build(input_shape)

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Return `inputs` with a share of `rate` set to 0 in training, else as they are."""
        if self.rate == 0:
            return inputs
        if training is None:
            training = keras.backend.learning_phase()
        if tf.is_tensor(training):  # not known before the graph runs
            return tf.cond(
                tf.cast(training, tf.bool), lambda: self._drop(inputs), lambda: tf.identity(inputs)
            )
        return self._drop(inputs) if training else inputs

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs; the step is state and not part of it."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}

    def _drop(self, inputs: Any) -> Any:
        step = self.step.assign_add(1)
        count, *others = self._mask_shape(inputs)
        uniform = tf.random.stateless_uniform(  # for the batch of all workers
            (count * count_replicas(), *others),
            seed=tf.stack([tf.constant(self.seed, tf.int64), step]),
            alg="philox",
        )
        if count_replicas() > 1:
            uniform = uniform[
                tf.distribute.get_replica_context().replica_id_in_sync_group * count :
            ]
            uniform = uniform[:count]
        kept = tf.cast(uniform >= self.rate, inputs.dtype)
        return inputs * kept / tf.cast(1 - self.rate, inputs.dtype)

    def _mask_shape(self, inputs: Any) -> tuple[Any, ...]:
        return tuple(tf.unstack(tf.shape(inputs), inputs.shape.rank))


@keras.utils.register_keras_serializable(package="mobilenet_tf")
class StochasticDepth(SeededDropout):
    """Dropout of whole samples on a residual branch, (B, H, W, C).

    Huang et al. 2016, arXiv 1603.09382, in the inverted form.
    """

    def _mask_shape(self, inputs: Any) -> tuple[Any, ...]:
        return (tf.shape(inputs)[0], *[1] * (inputs.shape.rank - 1))
