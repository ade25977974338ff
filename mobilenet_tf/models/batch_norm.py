"""Batch normalisation whose statistics are those of all workers' images, in oneDNN's fast form."""

from __future__ import annotations

from typing import Any

from mobilenet_tf.keras import add_over_workers, count_replicas, keras, tf

_LANES = 16  # float32 values of a vector register
_HALF = _LANES // 2


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' own, faster in training; on several workers it normalises by their images together."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Return the normalised outputs; in training, moving statistics follow the batch's."""
        ours = count_replicas() > 1 or _is_slow(inputs)
        if not (training and self.trainable and ours):
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
        normalise = _normalise_pairs if _is_slow(inputs) else _fuse
        return normalise(inputs, scale, offset, epsilon)
    values, near = tf.cast(inputs, tf.float32), tf.stop_gradient(tf.convert_to_tensor(near))
    shifted = values - near
    sums = tf.stack([tf.reduce_sum(shifted, (0, 1, 2)), tf.reduce_sum(shifted**2, (0, 1, 2))])
    count = tf.cast(tf.size(values) // values.shape[-1] * count_replicas(), tf.float32)
    shift, square = tf.unstack(add_over_workers(sums) / count)
    mean, variance = near + shift, square - shift**2
    outputs = tf.nn.batch_normalization(values, mean, variance, offset, scale, epsilon)
    return tf.cast(outputs, inputs.dtype), mean, variance * count / (count - 1)


def _fuse(
    inputs: Any, scale: Any, offset: Any, epsilon: float, known: tuple[Any, Any] | None = None
) -> tuple[Any, Any, Any]:
    """Normalise by a known mean and variance, or by the inputs' own; return these too."""
    mean, variance = known or ((), ())
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=scale,
        offset=offset,
        mean=mean,
        variance=variance,
        epsilon=epsilon,
        is_training=known is None,
    )
    return outputs, mean, variance


def _is_slow(inputs: Any) -> bool:
    """Tell whether oneDNN's forward pass takes (B, H, W, C) inputs by its slow path.

    That is so for 24, 40, 56, 72... channels: five times what 64 or 80 take (TensorFlow 2.21).
    """
    *_, width, channels = inputs.shape
    even = width is not None and width % 2 == 0
    fitting = channels > _LANES and channels % _LANES == _HALF
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    return even and fitting and inputs.dtype == tf.float32 and not on_gpu


def _normalise_pairs(inputs: Any, scale: Any, offset: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Return what `_fuse` does, of pixels taken in pairs: (B, H, W / 2, 2C) for (B, H, W, C).

    A channel's mean and variance are joined from those of the pair's two places.
    """

    @tf.custom_gradient
    def normalise(inputs: Any, scale: Any, offset: Any) -> Any:
        batch, height, width, channels = tf.unstack(tf.shape(inputs))
        pairs = tf.reshape(inputs, (batch, height, width // 2, 2 * inputs.shape[-1]))
        ones = tf.ones(2 * channels)
        _, means, variances = _fuse(pairs, ones, tf.zeros_like(ones), epsilon)
        count = tf.cast(batch * height * width, inputs.dtype)
        means, variances = tf.reshape(means, (2, -1)), tf.reshape(variances, (2, -1))
        biased = variances * (1 - 2 / count)
        mean = tf.reduce_mean(means, 0)
        variance = tf.reduce_mean(biased, 0) + tf.reduce_mean((means - mean) ** 2, 0)
        scales, offsets, *known = (tf.tile(v, (2,)) for v in (scale, offset, mean, variance))
        outputs, *_ = _fuse(pairs, scales, offsets, epsilon, (known[0], known[1]))

        def gradient(upstream: Any, *_statistics: Any) -> Any:
            return tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=upstream,
                x=inputs,
                scale=scale,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=tf.zeros((0,)),
                epsilon=epsilon,
                is_training=True,
            )[:3]

        unbiased = variance * count / (count - 1)
        return (tf.reshape(outputs, tf.shape(inputs)), mean, unbiased), gradient

    outputs, mean, variance = normalise(inputs, scale, offset)
    outputs.set_shape(inputs.shape)
    return outputs, mean, variance
