"""Several processes that train one network: who they are, and what they tell each other.

Every worker runs the whole program on variables of its own. A step shares the global batch out and
adds gradients, batch-norm statistics and ranges up, so that all variables stay equal, bit for bit.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.keras import add_over_workers, tf
from mobilenet_tf.system.cluster import find_place

_POLL_S = 0.2


@dataclass(frozen=True)
class Workers:
    """The workers of a training run: `index` is this one, 0 the chief, who alone writes."""

    count: int = 1
    index: int = 0
    strategy: Any = None

    @property
    def is_chief(self) -> bool:
        """Tell whether this process writes the run."""
        return self.index == 0

    def run(self, function: Callable[..., Any], *tensors: Any) -> Any:
        """Return what `function` gives here, its sums being those of all workers."""
        return self.strategy.run(function, args=tensors) if self.strategy else function(*tensors)

    def share_out(self, tensor: Any) -> Any:
        """Return this worker's part of a global batch, along the first axis."""
        if self.count == 1:
            return tensor
        own = len(tensor) // self.count
        return tensor[self.index * own : (self.index + 1) * own]

    def check_batch_size(self, batch_size: int, setting: str, ghost_batches: int = 1) -> None:
        """Raise UsageError if a global batch, or each of its parts, cannot be shared out evenly."""
        if batch_size % (parts := self.count * ghost_batches):
            ghosts = f" in {ghost_batches} ghost batches" if ghost_batches > 1 else ""
            raise UsageError(
                f"{setting} is {batch_size}, the batch of all {self.count} workers together"
                f"{ghosts}; give a multiple of {parts}"
            )

    def tell(self, content: bytes = b"") -> bytes:
        """Return the chief's `content` on every worker."""
        if self.count == 1:
            return content
        length = int(self._add(np.array([len(content) if self.is_chief else 0], np.int64))[0])
        words = np.zeros(-(-length // 4), np.int32)
        if self.is_chief:
            words.view(np.uint8)[:length] = np.frombuffer(content, np.uint8)
        return self._add(words).tobytes()[:length]

    def agree(self, what: str, digest: str) -> None:
        """Raise MtfError unless all workers have the chief's `digest` of `what`."""
        same = self.tell(digest.encode()).decode() == digest
        differing = np.zeros(self.count, np.int32)
        differing[self.index] = not same
        if (others := self._add(differing).nonzero()[0]).size:
            named = ", ".join(map(str, others))
            raise MtfError(
                f"worker {named} of {self.count} has other {what} than worker 0; give all of them"
                " the same"
            )

    def wait(self) -> None:
        """Return when all workers have come here; Ctrl-C ends the wait."""
        if self.count > 1:
            arrived = ThreadPoolExecutor(1).submit(self._add, np.zeros(1, np.int32))
            while not arrived.done():
                time.sleep(_POLL_S)  # TensorFlow's own wait would hold back a signal
            arrived.result()

    def _add(self, array: np.ndarray) -> np.ndarray:
        if self.count == 1:
            return array
        total: np.ndarray = _add_traced(self, tf.constant(array)).numpy()
        return total


@tf.function(reduce_retracing=True)
def _add_traced(workers: Workers, values: Any) -> Any:
    return workers.run(lambda own: add_over_workers(tf.identity(own)), values)  # on a device


ALONE = Workers()


@functools.cache
def join_workers() -> Workers:
    """Return the workers of the place that this process has; it waits for the others.

    Several must be joined before anything else is computed.

    Raises:
        UsageError: as `find_place`.
    """
    place = find_place()
    if place.count == 1:
        return ALONE
    os.environ["TF_CONFIG"] = place.tf_config  # Slurm's too
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    return Workers(place.count, place.index, strategy)


@contextmanager
def others_alive() -> Iterator[None]:
    """Turn the end of another of several workers into a sentence that says how to go on."""
    try:
        yield
    except tf.errors.OpError as error:
        raise MtfError(
            "another worker has ended or cannot be reached; start all workers again, and training"
            " continues after the last finished epoch"
        ) from error
