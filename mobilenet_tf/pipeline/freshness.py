"""Whether a stage is up to date, and what it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.pipeline.stages import Stage, wanted_needs
from mobilenet_tf.pipeline.starting_weights import find_start, start_digest
from mobilenet_tf.pipeline.teacher import check_teacher, find_teacher, teacher_digest
from mobilenet_tf.recipe import Recipe, list_differences, settings_of, with_defaults
from mobilenet_tf.runs import results
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.results import StageResult

# Among the inputs of a train stage, where it has them: SHA-256 of the weights it learns from, and
# of those it starts from.
TEACHER, WEIGHTS = "teacher", "weights"


@dataclass(frozen=True)
class State:
    """Whether a stage has to be run, and why; `changed` lists settings that differ."""

    up_to_date: bool
    reason: str
    changed: tuple[str, ...] = ()


def check_state(stage: Stage, run: RunFolder, recipe: Recipe) -> State:
    """Return the state of a stage.

    Raises:
        MtfError: its result or a file of it is damaged, or another version wrote it.
    """
    if not run.is_finished(stage.name):
        begun = run.partial(stage.name).is_dir()
        return State(False, "unfinished" if begun else "not done yet")
    folder = run.stage(stage.name)
    result = results.load_result(folder, stage.name)
    missing = [file for file in result.files if not (folder / file).is_file()]
    if missing:
        return State(False, f"{missing[0]} is missing")
    run.load_stage(stage.name)  # every file is what the result recorded
    asked = settings_of(recipe, stage.sections)
    changed = list_differences(with_defaults(result.settings), asked)
    if changed:
        return State(False, "; ".join(changed), tuple(changed))
    stale = find_stale_input(stage, run, recipe, result)
    if stale:
        return State(False, stale)
    if run.has_checkpoint(stage.name):
        held = run.partial_settings(stage.name) or {}
        held.pop("changed_on_the_way", None)
        if held == result.settings | {"inputs": result.inputs}:
            return State(False, "making it again is unfinished")
    return State(True, "same settings, same inputs, files intact")


def find_stale_input(
    stage: Stage, run: RunFolder, recipe: Recipe, result: StageResult
) -> str | None:
    """Return what has changed before a finished stage since it was made; None if nothing."""
    needs = wanted_needs(stage, run, recipe)
    for name in needs:
        if name not in result.inputs:
            return f"{name} is new"
        if not run.is_finished(name) or result.inputs[name] != run.digest(name):
            return f"{name} was made again"
    gone = sorted(set(result.inputs) - {*needs, TEACHER, WEIGHTS})
    if gone:
        return f"{gone[0]} is no longer part of the recipe"
    from_weights = recipe.train.weights and WEIGHTS in result.inputs
    start = find_present_start(recipe) if from_weights else None
    if start is not None and start_digest(start) != result.inputs[WEIGHTS]:
        return f"the weights {recipe.train.weights} that it started from have changed"
    teacher = find_teacher(recipe) if TEACHER in result.inputs else None
    if teacher is None or not teacher.is_finished("train"):
        return None  # one that is gone has not changed what was learned from it
    changed = teacher_digest(teacher) != result.inputs[TEACHER]
    return f"the teacher {teacher.path} has other weights" if changed else None


def identify_teacher(run: RunFolder, recipe: Recipe) -> dict[str, str]:
    """Return the weights that float training learns from, as an input of it, if there are any.

    Raises:
        UsageError: there is no such run, it is this one, or it cannot teach it.
    """
    teacher = find_teacher(recipe)
    if teacher is None:
        return {}
    if teacher.path.resolve() == run.path.resolve():
        raise UsageError(
            f"train.teacher {teacher.path} is the run itself; give another --out, or another run"
        )
    check_teacher(teacher, recipe)
    return {TEACHER: teacher_digest(teacher)}


def identify_start(run: RunFolder, recipe: Recipe) -> dict[str, str]:
    """Return the weights that float training starts from, as an input of it, if there are any.

    A training that is on its way has weights of its own: the file may be gone by then.

    Raises:
        UsageError: there are no such weights.
    """
    if not recipe.train.weights:
        return {}
    if run.has_checkpoint("train") and find_present_start(recipe) is None:
        held = (run.partial_settings("train") or {}).get("inputs", {})
        return {WEIGHTS: held[WEIGHTS]} if WEIGHTS in held else {}
    return {WEIGHTS: start_digest(find_start(recipe))}


def find_present_start(recipe: Recipe) -> Path | None:
    """Return the file of the weights to start from; None if it is no longer there."""
    try:
        file = find_start(recipe)
    except MtfError:
        return None
    return file if file.is_file() else None
