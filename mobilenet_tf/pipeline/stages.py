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
from mobilenet_tf.runs import provenance
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.history import load_history
from mobilenet_tf.runs.record import RunRecord
from mobilenet_tf.runs.results import M_co, StageResult, Stages


@dataclass(frozen=True)
class Work:
    """What a stage gets: the plan, its folder, and the stages before it.

    `later` names the stages that the same command runs after this one.
    """

    plan: Plan
    folder: Path
    inputs: Mapping[str, Path]  # stage -> its folder
    results: Mapping[str, StageResult[Any]]
    later: tuple[str, ...] = ()


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
        module = importlib.import_module(f"{__package__}.{self.name}")
        outcome: Outcome[Any] = module.run(work)
        return outcome


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
    """Return the stages that this one builds on in this run.

    Quantization-aware training is optional: a run that never began it is exported without.
    """

    def is_needed(name: str) -> bool:
        if name != "qat":
            return True
        begun = run.is_finished(name) or run.partial(name).is_dir()
        return is_wanted(find_stage(name), recipe) and begun

    return [name for name in stage.needs if is_needed(name)]


def describe_run(run: RunFolder, recipe: Recipe) -> RunRecord:
    """Return what is known of a run, as the report takes it, from its finished stages on disk.

    Raises:
        MtfError: a result or a history is damaged, or another version wrote it.
    """
    needs = wanted_needs(find_stage("report"), run, recipe)
    done = {name: run.load_stage(name, verify=False) for name in needs if run.is_finished(name)}
    histories = {
        name: load_history(run.stage(name)) if name in done else () for name in ("train", "qat")
    }
    return RunRecord(
        name=run.name,
        recipe=recipe,
        stages=Stages(**done),
        command=provenance.describe_command(),
        train_history=histories["train"],
        qat_history=histories["qat"],
    )
