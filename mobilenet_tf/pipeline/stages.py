"""The stage table: what each stage needs and which settings decide it.

A stage is a function of its settings and of the folders of the stages before it. It writes into a
folder of its own and hands over files and a result, never live objects.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

from mobilenet_tf.pipeline.plan import Plan
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.history import load_history
from mobilenet_tf.runs.results import M_co, RunRecord, Stages, load_mistakes

QAT_EPOCH_COST = 1.7  # times an epoch of float training, measured on quickstart and CIFAR-10
REST_S = 45.0  # calibration, export and benchmark, whatever the dataset
REST_EPOCHS = 2.0  # the same, as far as it grows with images and network


@dataclass(frozen=True)
class Work:
    """What a stage gets: the plan, its folder, the stages before it, and the names of later ones.

    `later` are those that the same command runs.
    """

    plan: Plan
    folder: Path
    inputs: Mapping[str, Path]  # stage -> its folder
    later: tuple[str, ...] = ()

    def estimate_later_s(self, stage: str, epoch_s: float) -> float:
        """Return about how long the later stages take, from one epoch of `stage` at full size."""
        if not self.later:
            return 0.0
        float_s = epoch_s / (QAT_EPOCH_COST if stage == "qat" else 1.0)
        qat_epochs = self.plan.recipe.qat.epochs if "qat" in self.later else 0
        return REST_S + float_s * (REST_EPOCHS + QAT_EPOCH_COST * qat_epochs)


@dataclass(frozen=True)
class Outcome(Generic[M_co]):
    """What a stage found: its metrics and the fingerprints of the images it saw."""

    metrics: M_co
    data: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One row of the stage table; its work is `run` of the module of its name in this room."""

    name: str
    needs: tuple[str, ...]  # stages whose files it reads; those the recipe leaves out are skipped
    sections: tuple[str, ...]  # sections of the recipe that decide its outcome
    resumable: bool = False  # continues from a checkpoint in its partial folder

    def run(self, work: Work) -> Outcome[Any]:
        """Do the work of this stage; TensorFlow is loaded here, where it is needed."""
        return importlib.import_module(f"{__package__}.{self.name}").run(work)


STAGES = (
    Stage("train", (), ("data", "model", "augmentation", "train"), resumable=True),
    Stage("qat", ("train",), ("data", "model", "augmentation", "qat"), resumable=True),
    Stage("export", ("train", "qat"), ("data", "model", "export")),
    Stage("benchmark", ("train", "qat", "export"), ("data", "model", "benchmark")),
    Stage("report", ("train", "qat", "export", "benchmark"), ()),
)


def find_stage(name: str) -> Stage:
    """Return a row of the stage table."""
    return next(stage for stage in STAGES if stage.name == name)


def is_wanted(stage: Stage, recipe: Recipe) -> bool:
    """Tell whether the recipe has this stage at all."""
    return stage.name != "qat" or recipe.qat.epochs > 0


def wanted_needs(stage: Stage, run: RunFolder, recipe: Recipe) -> list[str]:
    """Return the stages that this one builds on in this run: qat only if it has been begun."""
    has_qat = recipe.qat.epochs > 0 and (run.is_finished("qat") or run.partial("qat").is_dir())
    return [name for name in stage.needs if name != "qat" or has_qat]


def describe_run(run: RunFolder, recipe: Recipe) -> RunRecord:
    """Return what is known of a run, as the report takes it, from its finished stages on disk."""
    needs = wanted_needs(find_stage("report"), run, recipe)
    done = {name: run.load_stage(name, verify=False) for name in needs if run.is_finished(name)}
    return RunRecord(
        name=run.name,
        recipe=recipe,
        stages=Stages(**done),
        command=next((result.command for result in done.values()), None),  # what began it
        train_history=load_history(run.stage("train")) if "train" in done else (),
        qat_history=load_history(run.stage("qat")) if "qat" in done else (),
        mistakes=load_mistakes(run.stage("benchmark")) if "benchmark" in done else (),
    )
