"""Trials on a Ray cluster, in the same processes as here: one a task, its node's log and lock.

Every node needs this version of the package, and the folder of the sweep and the images under the
same paths. Ray starts a task again whose worker is killed; the trial goes on from its checkpoint.
"""

from __future__ import annotations

import socket
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.runs.provenance import describe_versions
from mobilenet_tf.sweep.trial import Job, digest_images
from mobilenet_tf.sweep.workers import LocalWorkers, Outcome
from mobilenet_tf.system.interrupt import raise_if_interrupted

SCHEME = "ray"
CONNECT_TIMEOUT_S = 5.0
CLIENT_PORT = 10001
RETRIES = 3  # of a task whose worker or node dies
POLL_S, LOOK_S = 0.5, 5.0
AGAIN = "run the same command again when it is back"


class RayWorkers:
    """Tasks of a Ray cluster, a core each; one that is alone has all cores of a node."""

    def __init__(self, address: str, count: int | None, logs: Path) -> None:
        self.ray = connect(address)
        nodes = [node for node in self.ray.nodes() if node["Alive"]]
        each = [int(node["Resources"].get("CPU", 0)) for node in nodes]
        self.count = min(count or sum(each), sum(each))
        self.node_cores = max(each)
        self.logs = logs.resolve()
        if self.count < 1:
            raise MtfError(f"the cluster at {address} has no cores; add a node with CPUs")

    def run(self, jobs: Sequence[Job], until: float = float("inf")) -> Iterator[Outcome]:
        """Yield the outcome of each job as it ends.

        Raises:
            MtfError: the cluster is lost.
        """
        cores = self.node_cores if len(jobs) == 1 else 1
        task = self.ray.remote(_work).options(num_cpus=cores, max_retries=RETRIES)
        waiting, at_work, looked = list(jobs), dict[Any, Job](), 0.0
        digests: dict[object, str] = {}
        try:
            while waiting or at_work:
                raise_if_interrupted()
                while waiting and len(at_work) < self.count:
                    job = waiting.pop(0)
                    line = _describe(job, digests)
                    reference = task.remote(line, str(self.logs), cores, describe_versions())
                    at_work[reference] = job
                if time.monotonic() > until:
                    yield from (Outcome(job, "out of time") for job in at_work.values())
                    yield from (Outcome(job, "out of time") for job in waiting)
                    return
                if time.monotonic() - looked > LOOK_S:
                    looked = time.monotonic()
                    self._check()
                done, _ = self.ray.wait(list(at_work), timeout=POLL_S)
                for reference in done:
                    yield Outcome(at_work.pop(reference), self._reason(reference))
        finally:
            for reference in at_work:
                self.ray.cancel(reference, force=True)

    def _check(self) -> None:
        """Refuse to wait for a cluster without a node: Ray itself would, for ever."""
        if not any(node["Alive"] for node in self.ray.nodes()):
            raise MtfError(f"the Ray cluster has no node any more; {AGAIN}")

    def _reason(self, reference: Any) -> str:
        """Return why a task failed; "" for one that is done."""
        try:
            return str(self.ray.get(reference))
        except self.ray.exceptions.RayTaskError as error:
            return str(error.cause)
        except (self.ray.exceptions.WorkerCrashedError, self.ray.exceptions.NodeDiedError):
            return f"its worker was killed {RETRIES + 1} times"
        except self.ray.exceptions.RayError as error:
            said = str(error).splitlines()[0]
            raise MtfError(f"the Ray cluster is lost ({said}); {AGAIN}") from error


def connect(address: str) -> Any:
    """Return Ray, connected to a cluster, or with one of this machine's cores for "ray".

    Raises:
        UsageError: the address is of another form, or Ray is not installed.
        MtfError: nothing answers there.
    """
    parts = urlsplit(address)
    if address != SCHEME and not (parts.scheme == SCHEME and parts.hostname):
        raise UsageError(f"--on {address!r} is neither ray nor ray://HOST:PORT")
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "--on ray needs Ray, which is not installed: pip install 'mobilenet-tf[ray]'"
        ) from error
    if address == SCHEME:
        ray.init(log_to_driver=False, logging_level="error", include_dashboard=False)
        return ray
    try:
        place = (str(parts.hostname), parts.port or CLIENT_PORT)
        socket.create_connection(place, CONNECT_TIMEOUT_S).close()
        with warnings.catch_warnings():  # what it warns of, its error says
            warnings.simplefilter("ignore")
            ray.init(address, log_to_driver=False, logging_level="error")
    except (OSError, ValueError, RuntimeError) as error:  # a wrong port, no Ray there, its version
        raise MtfError(
            f"no Ray cluster answers at {address}: {str(error).splitlines()[0]}; start one with"
            " ray start --head --ray-client-server-port=10001, or give its address"
        ) from error
    return ray


def _describe(job: Job, digests: dict[object, str]) -> bytes:
    """Return a job as a node gets it, with the digest of the images it has to find there."""
    asked = (job.recipe.data, job.recipe.model.resolution_px, job.recipe.seed)
    if asked not in digests:
        digests[asked] = digest_images(job)
    folder = str(Path(job.folder).resolve())
    return msgspec.json.encode(msgspec.structs.replace(job, folder=folder, images=digests[asked]))


def _work(line: bytes, logs: str, cores: int, versions: dict[str, str]) -> str:
    """Do a job on a node, in a process of its own; return why it failed, or ""."""
    import os

    ours = describe_versions()
    other = [f"{name} {ours.get(name)}" for name in versions if ours.get(name) != versions[name]]
    if other:
        return f"{socket.gethostname()} has {', '.join(other)}; install what the sweep runs with"
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(cores)
    (outcome,) = LocalWorkers(1, Path(logs)).run([msgspec.json.decode(line, type=Job)])
    return outcome.reason
