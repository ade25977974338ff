"""Batch normalisation behind a kernel that is fake-quantized folded: live first, then frozen."""

from __future__ import annotations

from typing import Any

from mobilenet_tf.keras import keras, tf

_EPSILON = 1e-9  # the layer's own enters by `_normalise`, in the units of the unfolded kernel
_DEAD = 1e-8  # a smaller gain says nothing about its channel's statistics


class FoldedBatchNormalization(keras.layers.BatchNormalization):
    """Normalises (B, H, W, C) outputs of a kernel that has taken in this layer's gain already.

    Frozen, it adds the folded bias: kernel and bias are then those of the file. Live, in training,
    the kernel is folded with the moving statistics all the same, so that it is rounded as in the
    file, while the outputs are normalised by the batch's (the idea of Krishnamoorthi 2018, arXiv
    1806.08342, section 3.2.2, in one convolution). `live` is set from outside.
    """

    live = False

    def gain(self) -> Any:
        """Return what the kernel's output channels are multiplied by, (C,)."""
        gain = tf.math.rsqrt(self.moving_variance + self.epsilon)
        if self.scale:
            gain *= self.gamma
        return tf.stop_gradient(gain) if self.live else gain

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Return the normalised outputs; live, moving statistics follow those of the batch."""
        if training and self.live:
            return self._normalise(inputs)
        bias = -self.moving_mean * self.gain()
        return inputs + (bias + self.beta if self.center else bias)

    def _normalise(self, inputs: Any) -> Any:
        gain = self.gain()
        alive = tf.abs(gain) > _DEAD
        safe = tf.where(alive, gain, tf.ones_like(gain))
        empty = tf.zeros((0,))
        ones, zeros = tf.ones_like(gain), tf.zeros_like(gain)
        normalised, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=ones,
            offset=zeros,
            mean=empty,
            variance=empty,
            epsilon=_EPSILON,
            is_training=True,
        )
        # What the statistics would be had the kernel not been folded.
        plain_mean = tf.where(alive, mean / safe, self.moving_mean)
        plain_variance = tf.where(alive, variance / safe**2, self.moving_variance)
        factor = tf.sign(safe) * tf.sqrt(plain_variance / (plain_variance + self.epsilon))
        for moving, seen in (
            (self.moving_mean, plain_mean),
            (self.moving_variance, plain_variance),
        ):
            moving.assign(moving * self.momentum + tf.stop_gradient(seen) * (1 - self.momentum))
        outputs = normalised * (tf.stop_gradient(factor) * (self.gamma if self.scale else ones))
        return outputs + self.beta if self.center else outputs
