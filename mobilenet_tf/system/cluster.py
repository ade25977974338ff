"""Which of several processes this one is, by TF_CONFIG or Slurm; no TensorFlow."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mobilenet_tf.errors import UsageError

EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)
_FIRST_PORT, _PORTS = 20000, 16  # of a Slurm job's tasks on a node; below the ephemeral ports
_JOBS = 750  # after which ports repeat


@dataclass(frozen=True)
class Place:
    """This process among those that train one network: 0 is the chief."""

    count: int = 1
    index: int = 0
    tf_config: str = ""


def find_place() -> Place:
    """Return this process's place: TF_CONFIG's, else that of a Slurm step of several tasks.

    Raises:
        UsageError: TF_CONFIG or a variable of Slurm is not what their documentation says.
    """
    if os.environ.get("TF_CONFIG"):
        return _read_tf_config(os.environ["TF_CONFIG"])
    if os.environ.get("SLURM_STEP_NUM_TASKS", "") in ("", "1"):
        return Place()
    return _read_tf_config(_configure_by_slurm())


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
    return Place(len(tasks), tasks.index(own), text)


def _configure_by_slurm() -> str:
    """Return the TF_CONFIG of a task in a Slurm step whose tasks fill one node after another.

    TensorFlow's own SlurmClusterResolver sorts node10 before node2, and fails without GPUs.
    """
    count, index = _read_slurm("STEP_NUM_TASKS", r"\d+"), _read_slurm("PROCID", r"\d+")
    each = _read_slurm("STEP_TASKS_PER_NODE", r"\d+(\(x\d+\))?(,\d+(\(x\d+\))?)*")
    nodes = _read_slurm("STEP_NODELIST", r"([^\[\]]|\[\d+(-\d+)?(,\d+(-\d+)?)*\])+")
    port = _FIRST_PORT + int(_read_slurm("JOB_ID", r"\d+")) % _JOBS * _PORTS
    counts = [
        int(tasks)
        for tasks, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", each)
        for _ in range(int(times or 1))
    ]
    workers = [
        f"{host}:{port + place}"
        for host, tasks in zip(_expand(nodes), counts, strict=False)
        for place in range(tasks)
    ]
    if len(workers) != int(count) or int(index) >= len(workers):
        raise UsageError(
            f"Slurm says that this is task {index} of {count} on {nodes}, {each} tasks a node,"
            " which do not fit together; start it by srun"
        )
    task = {"type": "worker", "index": int(index)}
    return json.dumps({"cluster": {"worker": workers}, "task": task})


def _read_slurm(name: str, form: str) -> str:
    value = os.environ.get(f"SLURM_{name}", "")
    if not re.fullmatch(form, value, re.ASCII):
        raise UsageError(
            f"SLURM_{name} is {value!r}, which Slurm does not set; start mtf by srun, or unset"
            " SLURM_STEP_NUM_TASKS to train in this process alone"
        )
    return value


def _expand(nodes: str) -> Iterator[str]:
    """Yield the names of a list of nodes, such as "a,rack[1-2]n[08-10]", in its order."""
    for part in re.findall(r"(?:[^,\[\]]|\[[^\]]*\])+", nodes):
        ranges = re.search(r"\[(.*?)\]", part)
        if not ranges:
            yield part
            continue
        for numbers in ranges[1].split(","):
            first, _, last = numbers.partition("-")
            for number in range(int(first), int(last or first) + 1):
                named = f"{number:0{len(first)}d}"
                yield from _expand(part[: ranges.start()] + named + part[ranges.end() :])
