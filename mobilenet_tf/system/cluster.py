"""Which of several processes this one is, by TF_CONFIG or Slurm; no TensorFlow."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Literal

from mobilenet_tf.errors import UsageError

EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)


@dataclass(frozen=True)
class Place:
    """This process among those that train one network: 0 is the chief."""

    count: int = 1
    index: int = 0
    named_by: Literal["nobody", "TF_CONFIG", "Slurm"] = "nobody"


def find_place() -> Place:
    """Return this process's place: TF_CONFIG's, else that of a Slurm step of several tasks.

    Raises:
        UsageError: TF_CONFIG is not what TensorFlow's documentation says.
    """
    if os.environ.get("TF_CONFIG"):
        return _read_tf_config(os.environ["TF_CONFIG"])
    count = int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1)
    return Place(count, int(os.environ["SLURM_PROCID"]), "Slurm") if count > 1 else Place()


def _read_tf_config(text: str) -> Place:
    try:
        content = json.loads(text)
        cluster, task = content["cluster"], content["task"]
        tasks = [
            (kind, i) for kind in ("chief", "worker") for i in range(len(cluster.get(kind, ())))
        ]
        own = (task["type"], int(task["index"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"TF_CONFIG names no cluster and task ({type(error).__name__}: {error}); write it like"
            f" {EXAMPLE}, or unset it to train in this process alone"
        ) from error
    if own not in tasks:
        raise UsageError(
            f"TF_CONFIG says that this is {own[0]} {own[1]}, and its cluster has"
            f" {', '.join(f'{kind} {i}' for kind, i in tasks) or 'no worker'}; only chief and"
            " worker train"
        )
    return Place(len(tasks), tasks.index(own), "TF_CONFIG")
