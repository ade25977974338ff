"""The runner: does the stages of a run that are not up to date."""

from __future__ import annotations

import logging
import shlex
import time
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.published import IMAGENET
from mobilenet_tf.pipeline.freshness import State, check_state, find_stale_input
from mobilenet_tf.pipeline.origins import IMAGES, TEACHER, WEIGHTS, check_unchanged
from mobilenet_tf.pipeline.plan import Plan, Rerun
from mobilenet_tf.pipeline.stages import STAGES, Stage, Work, find_stage, is_wanted, wanted_needs
from mobilenet_tf.pipeline.together import SHARED_STAGES
from mobilenet_tf.recipe import list_differences, settings_of, with_defaults
from mobilenet_tf.runs import provenance, results
from mobilenet_tf.runs.folder import WORKING_FILES, RunFolder, StageSettings
from mobilenet_tf.runs.results import FitMetrics, Machine, StageResult
from mobilenet_tf.system import hardware
from mobilenet_tf.system.cluster import find_place
from mobilenet_tf.system.duration import format_duration

log = logging.getLogger(__name__)


def run_pipeline(plan: Plan, rerun: Rerun = Rerun()) -> dict[str, StageResult[Any]]:  # noqa: B008  # frozen
    """Run every stage that is missing or out of date, in order; return all results.

    An unfinished stage is continued, whatever `rerun.resume` says.
    """
    if plan.recipe.data.path or plan.origins:
        log.info("%s: %s, %s", plan.run.name, plan.variant.name, _describe_start(plan))
    done: dict[str, StageResult[Any]] = {}
    wanted = [stage for stage in STAGES if is_wanted(stage, plan.recipe)]
    if len(wanted) < len(STAGES):
        log.info("qat: left out (qat.epochs is 0)")
    place = find_place()
    if place.index:
        log.info("worker %d of %d: training with the chief", place.index, place.count)
        wanted = [stage for stage in wanted if stage.name in SHARED_STAGES]
    for i, stage in enumerate(wanted):
        label = f"{stage.name} ({i + 1} of {len(wanted)})"
        state = State(False, "--overwrite") if rerun.overwrite else check_state(stage, plan)
        if state.up_to_date:
            log.info("%s: skipped (%s)", label, state.reason)
            done[stage.name] = plan.run.load_stage(stage.name, verify=False)
            continue
        log.info("%s: running (%s)", label, state.reason)
        later = tuple(stage.name for stage in wanted[i + 1 :])
        done[stage.name] = _run_stage(stage, plan, replace(rerun, resume=True), later)
        log.info("%s: done in %s", label, format_duration(done[stage.name].wall_time_s))
    plan.run.save_recipe(plan.recipe)
    return done


def _describe_start(plan: Plan) -> str:
    """Say where training starts from."""
    weights, origin = plan.recipe.train.weights, plan.origins.get(WEIGHTS)
    if origin is None:
        return "from random weights"
    what = "ImageNet weights" if weights == IMAGENET else f"the weights of {weights}"
    return f"from {what} ({origin.path})" if str(origin.path) != weights else f"from {what}"


def run_one(stage: str, plan: Plan, rerun: Rerun = Rerun()) -> StageResult[Any]:  # noqa: B008  # frozen
    """Run one stage by name; a finished one is made again only if asked.

    Raises:
        UsageError: it is finished with other settings, or the recipe leaves it out.
    """
    row, run = find_stage(stage), plan.run
    if not is_wanted(row, plan.recipe):
        raise UsageError(
            f"{run.path} leaves quantization-aware training out (qat.epochs is 0); give --epochs"
        )
    if not rerun.overwrite:
        state = check_state(row, plan)
        if state.up_to_date:
            log.info("%s: up to date (%s), nothing to do", stage, state.reason)
            return run.load_stage(stage, verify=False)
        if state.changed and not (row.resumable and run.has_checkpoint(stage)):
            raise UsageError(
                f"{run.path} has a finished {stage} with other settings ({state.reason});"
                " --overwrite makes it again, --out of mtf train begins another run"
            )
    return _run_stage(row, plan, rerun)


def _run_stage(
    stage: Stage, plan: Plan, rerun: Rerun, later: tuple[str, ...] = ()
) -> StageResult[Any]:
    """Do the work of one stage and put its folder in place; an earlier one goes to previous/."""
    run = plan.run
    folders = {name: run.stage(name) for name in load_inputs(stage, plan)}
    digests = {name: run.digest(name) for name in folders}
    if stage.name == "train":
        plan.check_training()
        digests |= {name: origin.sha256 or "" for name, origin in plan.origins.items()}
    elif stage.name != "report" and IMAGES in plan.origins:
        check_unchanged(plan.origins[IMAGES])
    asked = StageSettings(settings=settings_of(plan.recipe, stage.sections), inputs=digests)
    started, clock = datetime.now(timezone.utc), time.monotonic()
    folder = run.partial(stage.name)
    with run.keeping_settings(stage.name):
        begun = _begin_partial(stage, run, asked, rerun)
        run.save_recipe(plan.recipe)
        outcome = stage.run(Work(plan, folder, folders, later))
    took_s, metrics = time.monotonic() - clock, outcome.metrics
    if isinstance(metrics, FitMetrics):
        metrics = msgspec.structs.replace(metrics, changed_on_the_way=begun.changed_on_the_way)
        took_s = max(took_s, metrics.fit_time_s)  # of all epochs, not of the last process alone
    result = StageResult(
        stage=stage.name,
        settings=asked.settings,
        inputs=digests,
        versions=provenance.describe_versions(),
        commit=provenance.find_commit(),
        machine=Machine(**hardware.describe_machine()),
        command=provenance.describe_command(),
        data=outcome.data,
        metrics=metrics,
        files=results.record_files(folder, leave_out=WORKING_FILES),
        started_at=started.isoformat(timespec="seconds"),
        wall_time_s=round(took_s, 2),
    )
    results.save_result(result, folder)
    run.commit(stage.name)
    return result


def load_inputs(stage: Stage, plan: Plan) -> dict[str, StageResult[Any]]:
    """Return the results of the stages that this one builds on, up to date and undamaged."""
    inputs, run = {}, plan.run
    for name in wanted_needs(stage, run, plan.recipe):
        if not run.is_finished(name):
            state = "has not finished" if run.partial(name).is_dir() else "has not been run"
            raise UsageError(
                f"{stage.name} needs {name}, which {state} in {run.path}; finish it first:"
                f" {resume_command(name, run)}"
            )
        inputs[name] = run.load_stage(name)
        stale = find_stale_input(find_stage(name), plan, inputs[name])
        if stale:
            raise UsageError(
                f"{stage.name} needs {name}, which is out of date in {run.path} ({stale});"
                f" make it again first: {resume_command(name, run)}"
            )
    return inputs


def _begin_partial(
    stage: Stage, run: RunFolder, asked: StageSettings, rerun: Rerun
) -> StageSettings:
    """Prepare the folder a stage works in, fresh or continued; return what it is done with.

    One that never finished an epoch has nothing to lose. One that was begun from stages which
    have been made again since, or that is to be overwritten, goes to previous/.
    """
    partial = run.partial(stage.name)
    begun = stage.resumable and run.has_checkpoint(stage.name)
    held = run.partial_settings(stage.name) if begun and not rerun.overwrite else None
    if begun and (held is None or _is_from_other_weights(held, asked)):
        kept = run.set_aside(partial)
        why = "" if rerun.overwrite else " was begun from other weights or images; it"
        log.info("%s: the unfinished one%s is now %s", stage.name, why, kept)
        held = None
    if held is None:
        run.discard_partial(stage.name)
        run.begin(stage.name, asked)
        return asked
    before = with_defaults(held.settings)
    differences = list_differences(before, asked.settings)
    fixed = _list_fixed(stage.name, before, asked.settings)
    if differences and (fixed or not rerun.allow_changes):
        why = f" ({' and '.join(fixed)} cannot change on the way)" if fixed else ""
        allowing = "" if fixed else " --allow-changes to continue with these,"
        raise UsageError(
            f"{partial} was begun with other settings ({'; '.join(differences)}){why}; give the"
            f" same ones to continue it,{allowing} or remove that folder to start over"
        )
    if not rerun.resume:
        raise UsageError(
            f"{run.path} holds an unfinished {stage.name}; --resume continues it,"
            " --overwrite starts over"
        )
    if differences:
        log.info("%s: continuing with other settings (%s)", stage.name, "; ".join(differences))
    changed = (*held.changed_on_the_way, *differences)
    asked = msgspec.structs.replace(asked, changed_on_the_way=changed)
    run.begin(stage.name, asked)
    return asked


def _list_fixed(name: str, *settings: dict[str, Any]) -> list[str]:
    """Return the settings of an unfinished stage that differ and that its checkpoint depends on."""
    old, new = (  # with averages or without
        {**begun[name], "ema_decay": bool(begun[name]["ema_decay"])} for begun in settings
    )
    fixed = ("optimizer", "ema_decay", "weights", "head_first", "freeze_batch_norm")
    return [f"{name}.{setting}" for setting in fixed if old.get(setting) != new.get(setting)]


def _is_from_other_weights(held: StageSettings, asked: StageSettings) -> bool:
    """Tell whether what an unfinished stage was begun from has been made again since.

    Another teacher or other weights to start from are a change of settings instead.
    """
    old, new = (begun.settings.get("train", {}) for begun in (held, asked))
    renamed = {name for name in (TEACHER, WEIGHTS) if old.get(name) != new.get(name)}
    return any(
        held.inputs.get(name) != asked.inputs.get(name)
        for name in (held.inputs.keys() | asked.inputs.keys()) - renamed
    )


def go_on_command(stage: str, plan: Plan) -> str:
    """Return the command that continues an interrupted stage: before an epoch, that typed."""
    run = plan.run
    begun = run.has_checkpoint(stage) and run.load_recipe() == plan.recipe
    return resume_command(stage, run, plan.data_dir) if begun else provenance.describe_command()


def resume_command(stage: str, run: RunFolder, data_dir: Path | None = None) -> str:
    """Return the command that finishes a stage of a run."""
    path = str(run.path)
    words = {
        "train": ["train", "--out", path, "--resume"],
        "qat": ["qat", path, "--resume"],
        "export": ["export-tflite", path],
    }
    given = ["--data-dir", str(data_dir)] if data_dir else []
    return shlex.join(["mtf", *words.get(stage, [stage, path]), *given])
