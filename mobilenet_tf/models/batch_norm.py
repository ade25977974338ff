"""Batch normalisation whose statistics are those of all workers' images."""

from __future__ import annotations

from typing import Any

from mobilenet_tf.keras import add_over_workers, count_replicas, keras, tf


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' own; in training on several workers it normalises by their images together."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Return the normalised outputs; in training, moving statistics follow the batch's."""
        if not (training and self.trainable and count_replicas() > 1):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = normalise_by_batch(
            inputs, self.gamma, self.beta, self.epsilon, near=self.moving_mean
        )
        for moving, seen in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + seen * (1 - self.momentum))
        return outputs


def normalise_by_batch(
    inputs: Any, scale: Any, offset: Any, epsilon: float, *, near: Any
) -> tuple[Any, Any, Any]:
    """Normalise (B, H, W, C) by the images of all workers, as the fused op does by those of one.

    Also returned are their mean and their variance, unbiased, both (C,). `near` is a guess of the
    mean: the variance is a difference of sums, which is exact where the guess is good.
    """
    if count_replicas() == 1:
        empty = tf.zeros((0,))
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=scale,
            offset=offset,
            mean=empty,
            variance=empty,
            epsilon=epsilon,
            is_training=True,
        )
        return outputs, mean, variance
    values, near = tf.cast(inputs, tf.float32), tf.stop_gradient(tf.convert_to_tensor(near))
    shifted = values - near
    sums = tf.stack([tf.reduce_sum(shifted, (0, 1, 2)), tf.reduce_sum(shifted**2, (0, 1, 2))])
    count = tf.cast(tf.size(values) // values.shape[-1] * count_replicas(), tf.float32)
    shift, square = tf.unstack(add_over_workers(sums) / count)
    mean, variance = near + shift, square - shift**2
    outputs = tf.nn.batch_normalization(values, mean, variance, offset, scale, epsilon)
    return tf.cast(outputs, inputs.dtype), mean, variance * count / (count - 1)
