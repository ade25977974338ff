"""Whether a stage is up to date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mobilenet_tf.pipeline.origins import SETTINGS
from mobilenet_tf.pipeline.plan import Plan
from mobilenet_tf.pipeline.stages import Stage, wanted_needs
from mobilenet_tf.recipe import list_differences, settings_of, with_defaults
from mobilenet_tf.runs.results import StageResult


@dataclass(frozen=True)
class State:
    """Whether a stage has to be run, and why: `changed` tells that it is for its settings."""

    up_to_date: bool
    reason: str
    changed: bool = False


def check_state(stage: Stage, plan: Plan) -> State:
    """Return the state of a stage; MtfError if it is damaged, or of another version."""
    run = plan.run
    if not run.is_finished(stage.name):
        begun = run.partial(stage.name).is_dir()
        return State(False, "unfinished" if begun else "not done yet")
    result = run.load_stage(stage.name, verify=False)
    missing = [file for file in result.files if not (run.stage(stage.name) / file).is_file()]
    if missing:
        return State(False, f"{missing[0]} is missing")
    run.load_stage(stage.name)  # every file is what the result recorded
    settings = settings_of(plan.recipe, stage.sections)
    changed = list_differences(with_defaults(result.settings), settings)
    if changed:
        return State(False, "; ".join(changed), changed=True)
    stale = find_stale_input(stage, plan, result)
    if stale:
        return State(False, stale)
    begun_again = run.partial_settings(stage.name) if run.has_checkpoint(stage.name) else None
    was = (result.settings, result.inputs)
    if begun_again and (begun_again.settings, begun_again.inputs) == was:
        return State(False, "making it again is unfinished")
    return State(True, "same settings, same inputs, files intact")


def find_stale_input(stage: Stage, plan: Plan, result: StageResult[Any]) -> str | None:
    """Return what has changed before a finished stage since it was made; None if nothing.

    Images, a teacher or initial weights that are gone have not changed what came of them.
    """
    run = plan.run
    needs = wanted_needs(stage, run, plan.recipe)
    for name in needs:
        if name not in result.inputs:
            return f"{name} is new"
        if not run.is_finished(name) or result.inputs[name] != run.digest(name):
            return f"{name} was made again"
    gone = sorted(set(result.inputs) - {*needs, *SETTINGS})
    if gone:
        return f"{gone[0]} is no longer part of the recipe"
    for name, origin in plan.origins.items():
        if name in result.inputs and origin.sha256 not in (None, result.inputs[name]):
            return f"{SETTINGS[name]} {origin.path} has changed since"
    return None
