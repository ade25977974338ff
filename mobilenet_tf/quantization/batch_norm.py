"""Batch normalisation behind a kernel that is fake-quantized folded: live first, then frozen."""

from __future__ import annotations

from typing import Any

from mobilenet_tf.keras import keras, tf
from mobilenet_tf.models.batch_norm import normalise_by_batch

_EPSILON = 1e-9  # of the fused op; the layer's own is in the units of the unfolded kernel
_DEAD = 1e-8  # a smaller gain says nothing about its channel's statistics


class FoldedBatchNormalization(keras.layers.BatchNormalization):
    """Normalises (B, H, W, C) outputs of a kernel that has taken in this layer's gain already.

    Frozen, it adds the folded bias, as the file does. Live, in training, the kernel is folded with
    the moving statistics, so that it is rounded as in the file, and the outputs are normalised by
    the batch's (Krishnamoorthi 2018, arXiv 1806.08342, section 3.2.2, in one convolution).
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
        # The epsilon that the unfolded layer adds to its variance; one op does all the rest.
        share = tf.sqrt(self.moving_variance / (self.moving_variance + self.epsilon))
        scale = tf.stop_gradient(tf.sign(safe) * share)
        outputs, mean, variance = normalise_by_batch(
            inputs,
            scale * self.gamma if self.scale else scale,
            self.beta if self.center else tf.zeros_like(gain),
            _EPSILON,
            near=self.moving_mean * safe,
        )
        for moving, seen in (  # what the statistics are without the gain
            (self.moving_mean, mean / safe),
            (self.moving_variance, variance / safe**2),
        ):
            followed = moving * self.momentum + seen * (1 - self.momentum)
            moving.assign(tf.where(alive, followed, moving))
        return outputs
