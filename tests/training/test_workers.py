"""Several workers: the same weights as one, and what they refuse."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mobilenet_tf.errors import UsageError
from mobilenet_tf.system.cluster import find_place
from mobilenet_tf.training.workers import ALONE, Workers

SCRIPT = Path(__file__).with_name("fit_together.py")


def start(index: int, addresses: list[str], out: Path) -> subprocess.Popen[str]:
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    environment = {**os.environ, "TF_CONFIG": json.dumps(config), "TF_NUM_INTRAOP_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(out)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_addresses(count: int) -> list[str]:
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in held]
    for each in held:
        each.close()
    return addresses


def fit_on(count: int, folder: Path) -> list[dict[str, np.ndarray]]:
    addresses = free_addresses(count)
    files = [folder / f"{count}_{index}.npz" for index in range(count)]
    processes = [start(index, addresses, file) for index, file in enumerate(files)]
    for process in processes:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said[-2000:]
    return [dict(np.load(file)) for file in files]


@pytest.mark.slow
def test_two_workers_give_the_weights_of_one_with_the_same_global_batch(tmp_path: Path) -> None:
    (one,), (chief, other) = fit_on(1, tmp_path), fit_on(2, tmp_path)
    assert one.keys() == chief.keys()
    for name in one:
        assert np.array_equal(chief[name], other[name]), name
        assert np.abs(one[name].astype(float) - chief[name]).max() <= 1e-5, name


def test_a_batch_is_shared_out_in_order() -> None:
    batch = np.arange(12)
    assert [Workers(3, i).share_out(batch).tolist() for i in range(3)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]
    assert ALONE.share_out(batch) is batch


def test_a_batch_that_cannot_be_shared_out_is_refused() -> None:
    Workers(3).check_batch_size(96, "train.batch_size")
    with pytest.raises(UsageError, match=r"train\.batch_size is 64"):
        Workers(3).check_batch_size(64, "train.batch_size")
    with pytest.raises(UsageError, match="give a multiple of 6"):
        Workers(3).check_batch_size(9, "train.batch_size", ghost_batches=2)


CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}


@pytest.mark.parametrize(
    ("config", "count", "index"),
    [
        ({"cluster": CLUSTER, "task": {"type": "chief", "index": 0}}, 3, 0),
        ({"cluster": CLUSTER, "task": {"type": "worker", "index": 1}}, 3, 2),
        ({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}, 1, 0),
    ],
)
def test_the_chief_is_the_first(
    config: object, count: int, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert (find_place().count, find_place().index) == (count, index)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 2}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "evaluator", "index": 0}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": "x"}}),
    ],
)
def test_a_cluster_that_makes_no_sense_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match="TF_CONFIG"):
        find_place()


SLURM = {
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "2",
    "SLURM_STEP_NODELIST": "n[9-10],gpu",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2),2",
    "SLURM_JOB_ID": "3",
}


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_a_slurm_step_of_several_tasks_is_several_workers(slurm: pytest.MonkeyPatch) -> None:
    place = find_place()
    assert (place.count, place.index) == (4, 2)
    workers = json.loads(place.tf_config)["cluster"]["worker"]
    assert workers == ["n9:20048", "n10:20048", "gpu:20048", "gpu:20049"]
    for one in ("", "1"):
        slurm.setenv("SLURM_STEP_NUM_TASKS", one)
        assert find_place().count == 1


@pytest.mark.parametrize(
    ("nodes", "each", "hosts"),
    [
        ("a,b,c,d", "1(x4)", ["a", "b", "c", "d"]),
        ("r[1-2]n[08-09]", "1(x4)", ["r1n08", "r1n09", "r2n08", "r2n09"]),
        ("n[1,3-4],m", "1,1,1,1", ["n1", "n3", "n4", "m"]),
        ("n1", "4", ["n1"] * 4),
    ],
)
def test_lists_of_slurm_nodes_keep_their_order(
    nodes: str, each: str, hosts: list[str], slurm: pytest.MonkeyPatch
) -> None:
    slurm.setenv("SLURM_STEP_NODELIST", nodes)
    slurm.setenv("SLURM_STEP_TASKS_PER_NODE", each)
    workers = json.loads(find_place().tf_config)["cluster"]["worker"]
    assert [address.split(":")[0] for address in workers] == hosts


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLURM_PROCID", None),
        ("SLURM_PROCID", "x"),
        ("SLURM_PROCID", "-1"),
        ("SLURM_PROCID", "4"),
        ("SLURM_STEP_NUM_TASKS", "two"),
        ("SLURM_STEP_NUM_TASKS", "5"),
        ("SLURM_STEP_NODELIST", None),
        ("SLURM_STEP_NODELIST", "n[1-"),
        ("SLURM_STEP_NODELIST", "n[a-b]"),
        ("SLURM_STEP_TASKS_PER_NODE", "1(x"),
        ("SLURM_STEP_TASKS_PER_NODE", "1"),
        ("SLURM_JOB_ID", ""),
    ],
)
def test_broken_variables_of_slurm_are_refused(
    name: str, value: str | None, slurm: pytest.MonkeyPatch
) -> None:
    if value is None:
        slurm.delenv(name)
    else:
        slurm.setenv(name, value)
    with pytest.raises(UsageError, match=r"Slurm|SLURM"):
        find_place()
