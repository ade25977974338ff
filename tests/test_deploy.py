"""What can go out of date in deploy/: fields of manifests, command lines, what a shell makes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from mobilenet_tf.cli.main import mtf
from mobilenet_tf.recipe import recipe_names
from mobilenet_tf.system.cluster import Place, find_place

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
RAY_FIELDS = {  # of KubeRay's API reference, v1; templates are Kubernetes' own
    "": {"entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec"},
    "rayClusterSpec": {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"},
    "headGroupSpec": {"rayStartParams", "template"},
    "workerGroupSpecs": {
        "groupName",
        "replicas",
        "minReplicas",
        "maxReplicas",
        "rayStartParams",
        "template",
    },
}


def load(name: str) -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return list(yaml.safe_load_all((DEPLOY / name).read_text("utf-8")))


def list_command_lines() -> Iterator[str]:
    for path in sorted(DEPLOY.iterdir()):
        text = path.read_text("utf-8").replace("\\\n", "")
        yield from re.findall(r"(?:exec |entrypoint: |=1 )(mtf .*)$", text, re.MULTILINE)
        yield from (f"mtf run {said}" for said in re.findall(r"slurm\.sh (.*)$", text, re.M))


@pytest.mark.parametrize("line", list_command_lines())
def test_command_lines_are_those_that_mtf_takes(line: str) -> None:
    words = shlex.split(line.replace('"${@:-quickstart}"', "quickstart"))[1:]
    command = mtf.get_command(click.Context(mtf), words[0])
    assert command is not None
    with command.make_context(words[0], words[1:]) as context:
        assert context.params["recipe"] in recipe_names()


def test_each_file_has_a_command_line() -> None:
    assert len(list(list_command_lines())) == 4


def validate(document: dict[str, Any]) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="no kubernetes-validate")
    validator.validate(document, validator.latest_version(), strict=True)


def test_the_training_job_is_what_kubernetes_takes() -> None:
    for document in load("training-job.yaml"):
        validate(document)


def test_pods_of_the_training_job_find_each_other() -> None:
    service, job = load("training-job.yaml")
    spec = job["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert int(container["env"][0]["value"]) == spec["completions"] == spec["parallelism"]


@pytest.mark.parametrize("index", [0, 1])
def test_the_shell_of_the_training_job_makes_a_tf_config(
    index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job = load("training-job.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (tmp_path / "mtf").write_text('#!/bin/sh\nprintf %s "$TF_CONFIG"\n')
    (tmp_path / "mtf").chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "JOB_COMPLETION_INDEX": str(index),
        **{each["name"]: each["value"] for each in container["env"]},
    }
    command = [*container["command"], *container["args"]]
    made = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    monkeypatch.setenv("TF_CONFIG", made.stdout)
    assert find_place() == Place(2, index, made.stdout)
    assert '"mtf-0.mtf:2222","mtf-1.mtf:2222"' in made.stdout


def test_the_ray_job_has_fields_of_kuberay_and_kubernetes() -> None:
    (job,) = load("rayjob.yaml")
    cluster = job["spec"]["rayClusterSpec"]
    head, workers = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert job["spec"].keys() <= RAY_FIELDS[""]
    assert cluster.keys() <= RAY_FIELDS["rayClusterSpec"]
    assert head.keys() <= RAY_FIELDS["headGroupSpec"]
    for group in (head, *workers):
        assert group.keys() <= RAY_FIELDS["workerGroupSpecs"]
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        template = {"metadata": {"name": "pod"}, "template": group["template"]}
        validate({"apiVersion": "v1", "kind": "PodTemplate", **template})


def test_the_image_has_the_ray_that_its_cluster_names() -> None:
    (job,) = load("rayjob.yaml")
    version = job["spec"]["rayClusterSpec"]["rayVersion"]
    assert f"ray[default]=={version}'" in (DEPLOY / "Dockerfile").read_text("utf-8")
