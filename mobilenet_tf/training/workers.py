"""Several processes that train one network: who they are, and what they tell each other.

Every worker runs the whole program on variables of its own. A step shares the global batch out and
adds gradients, batch-norm statistics and ranges up, so that all variables stay equal, bit for bit.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.keras import add_over_workers, tf


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

    def check_batch_size(self, batch_size: int, setting: str) -> None:
        """Raise UsageError if a global batch cannot be shared out evenly."""
        if batch_size % self.count:
            raise UsageError(
                f"{setting} is {batch_size}, the batch of all {self.count} workers together;"
                f" give a multiple of {self.count}"
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

    def _add(self, array: np.ndarray) -> np.ndarray:
        if self.count == 1:
            return array
        total: np.ndarray = _add_traced(self, tf.constant(array)).numpy()
        return total


@tf.function(reduce_retracing=True)
def _add_traced(workers: Workers, values: Any) -> Any:
    return workers.run(add_over_workers, values)


ALONE = Workers()


@functools.cache
def join_workers() -> Workers:
    """Return the workers that TF_CONFIG or Slurm names; this process alone without either.

    It waits for the others, and must come before anything else is computed.

    Raises:
        UsageError: TF_CONFIG is not what TensorFlow's documentation says.
    """
    if os.environ.get("TF_CONFIG"):
        tasks, own = _read_tf_config(os.environ["TF_CONFIG"])
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    elif int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1) > 1:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            jobs={"worker": int(os.environ["SLURM_STEP_NUM_TASKS"])}, auto_set_gpu=False
        )
        tasks = [("worker", i) for i in range(int(os.environ["SLURM_STEP_NUM_TASKS"]))]
        own = ("worker", int(os.environ["SLURM_PROCID"]))
    else:
        return ALONE
    if len(tasks) == 1:
        return ALONE
    strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    return Workers(len(tasks), tasks.index(own), strategy)


def _read_tf_config(text: str) -> tuple[list[tuple[str, int]], tuple[str, int]]:
    """Return all tasks, the chief first, and which of them this process is."""
    try:
        content = json.loads(text)
        cluster, task = content["cluster"], content["task"]
        tasks = [
            (kind, i) for kind in ("chief", "worker") for i in range(len(cluster.get(kind, ())))
        ]
        own = (task["type"], int(task["index"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"TF_CONFIG is no cluster and task ({type(error).__name__}: {error}); write it like"
            ' {"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker",'
            ' "index": 0}}, or unset it to train on this machine alone'
        ) from error
    if own not in tasks:
        raise UsageError(
            f"TF_CONFIG says that this is {own[0]} {own[1]}, and its cluster has"
            f" {', '.join(f'{kind} {i}' for kind, i in tasks) or 'no worker'}; only chief and"
            " worker train"
        )
    return tasks, own


@contextmanager
def others_alive() -> Iterator[None]:
    """Turn the end of another worker into a sentence that says how to go on."""
    try:
        yield
    except tf.errors.OpError as error:
        if join_workers().count == 1:
            raise
        raise MtfError(
            "another worker has ended or cannot be reached; start all workers again, and training"
            " continues after the last finished epoch"
        ) from error
