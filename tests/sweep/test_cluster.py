from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.sweep.cluster import RayWorkers, _describe, _work, connect
from mobilenet_tf.sweep.trial import Job, digest_images, run_trial

RECIPE = load_recipe("quickstart", ["data.name=synthetic", "data.validation_count=64",
    "model.alpha=0.05", "model.block_count=2", "train.epochs=1"])  # fmt: skip


@pytest.mark.parametrize("address", ["spark://host", "ray://", "10.0.0.1:6379", ""])
def test_an_address_of_another_form(address: str) -> None:
    with pytest.raises(UsageError, match="ray://HOST:PORT"):
        connect(address)


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'mobilenet-tf\[ray\]'"):
        connect("ray")


def test_an_address_that_does_not_answer() -> None:
    pytest.importorskip("ray", reason="needs Ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # free from here on
    with pytest.raises(MtfError, match=f"no Ray cluster answers at ray://127.0.0.1:{port}"):
        connect(f"ray://127.0.0.1:{port}")


def test_a_node_with_other_versions_is_named(tmp_path: Path) -> None:
    reason = _work(b"", str(tmp_path), 1, {"mobilenet_tf": "0.0.0"})
    assert reason.startswith(f"{socket.gethostname()} has mobilenet_tf ")
    assert not list(tmp_path.iterdir())


def test_a_node_with_other_images_fails_its_trial(tmp_path: Path) -> None:
    job = Job(folder=str(tmp_path / "run"), recipe=RECIPE)
    sent = msgspec.json.decode(_describe(job, {}), type=Job)
    assert sent.images == digest_images(sent) != ""
    other = msgspec.structs.replace(RECIPE, seed=RECIPE.seed + 1)  # which others are held out
    here = msgspec.structs.replace(sent, recipe=other)
    with pytest.raises(MtfError, match=sent.images) as caught:
        run_trial(here)
    assert digest_images(here) in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Any]:
    """Yield workers of a Ray cluster on this machine."""
    ray = pytest.importorskip("ray", reason="needs Ray")
    yield RayWorkers("ray", 2, tmp_path / "logs")
    ray.shutdown()


@pytest.mark.slow
def test_trials_run_in_tasks_and_a_failure_ends_no_other(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    jobs = [
        Job(folder=str(tmp_path / name), recipe=RECIPE, training_alone=True)
        for name in ("fine", "taken")
    ]
    done = {outcome.job.name: outcome.reason for outcome in cluster.run(jobs)}
    assert done["fine"] == ""
    assert "is a file" in done["taken"]
    assert (tmp_path / "fine" / "train" / "result.json").is_file()
