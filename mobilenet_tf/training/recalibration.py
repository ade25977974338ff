"""Batch-norm statistics: left as they are, or estimated anew for weights that no longer move."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.keras import keras, tf, unwrap
from mobilenet_tf.models.dropout import SeededDropout
from mobilenet_tf.system import terminal


@contextmanager
def frozen_batch_norm(model: Any) -> Iterator[None]:
    """Keep the statistics, scales and shifts of every batch normalisation meanwhile."""
    with _change(_find_norms(model), "trainable", lambda _: False):
        yield


def recalibrate_batch_norm(model: Any, images: np.ndarray, batch_size: int) -> int:
    """Set the moving statistics of every batch normalisation to those of `images`.

    `images` are uint8 (N, R, R, 3), not augmented; they are mixed, as a batch of one class is no
    sample of them. Each layer gets the mean and the variance of its inputs over all whole batches,
    the layers before it normalising by the batch (precise batch norm: Wu and Johnson 2021, arXiv
    2105.07576, section 3). Returned is how many images these are.
    """
    norms = _find_norms(model)
    drops = [x for x in model.layers if isinstance(x, SeededDropout)]
    size = min(batch_size, len(images))
    count = len(images) // size
    order = np.random.default_rng(0).permutation(len(images))
    seen = []
    with (
        _change(norms, "momentum", lambda _: 0.0),
        _change(norms, "trainable", lambda _: True),
        _change(drops, "rate", lambda _: 0.0),
    ):  # a batch leaves its own alone
        run = tf.function(lambda images: model(images, training=True))
        for i in terminal.track(range(count), "re-estimating batch normalisation"):
            run(normalise(tf.constant(images[order[i * size : (i + 1) * size]])))
            seen.append([(x.moving_mean.numpy(), x.moving_variance.numpy()) for x in norms])
    for norm, of_batches in zip(norms, zip(*seen, strict=True), strict=True):
        means, variances = np.asarray(of_batches, np.float64).swapaxes(0, 1)  # (batches, C) each
        norm.moving_mean.assign(means.mean(0))
        norm.moving_variance.assign(variances.mean(0) + means.var(0))
    return count * size


@contextmanager
def shared_momentum(model: Any, parts: int) -> Iterator[None]:
    """Let moving statistics keep their share of a step over all of its parts, not in each."""
    with _change(_find_norms(model), "momentum", lambda momentum: momentum ** (1 / parts)):
        yield


def _find_norms(model: Any) -> list[Any]:
    return [x for x in map(unwrap, model.layers) if isinstance(x, keras.layers.BatchNormalization)]


@contextmanager
def _change(layers: Iterable[Any], name: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """Give an attribute of all layers what `change` makes of its value, for a while."""
    held = [(layer, getattr(layer, name)) for layer in layers]
    for layer, old in held:
        setattr(layer, name, change(old))
    try:
        yield
    finally:
        for layer, old in held:
            setattr(layer, name, old)
