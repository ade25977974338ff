"""The runner: does the stages of a run that are not up to date."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from mobilenet_tf.errors import UsageError
from mobilenet_tf.pipeline.freshness import (
    TEACHER,
    WEIGHTS,
    check_state,
    find_stale_input,
    identify_start,
    identify_teacher,
)
from mobilenet_tf.pipeline.stages import (
    STAGES,
    Stage,
    Work,
    check_machine,
    check_recipe,
    find_stage,
    is_wanted,
    wanted_needs,
)
from mobilenet_tf.recipe import Recipe, list_differences, settings_of, with_defaults
from mobilenet_tf.runs import provenance, results
from mobilenet_tf.runs.folder import WORKING_FILES, RunFolder
from mobilenet_tf.runs.results import Machine, StageResult
from mobilenet_tf.system import hardware
from mobilenet_tf.system.duration import format_duration

CHANGES = "changed_on_the_way"  # in settings.json of a stage at work

Echo = Callable[[str], None]


def run_stage(
    stage: Stage,
    run: RunFolder,
    recipe: Recipe,
    *,
    data_dir: Path | None,
    resume: bool,
    overwrite: bool,
    allow_changes: bool,
    echo: Echo,
    progress: bool,
) -> StageResult:
    """Do the work of one stage and put its folder in place; an earlier one goes to previous/.

    Raises:
        UsageError: a stage it needs is missing, or an unfinished one stands in the way.
        MtfError: the work failed; what was finished before stands.
    """
    inputs = load_inputs(stage, run, recipe)
    needs = list(inputs)
    digests = {name: run.digest(name) for name in needs}
    if stage.name == "train":
        digests |= identify_teacher(run, recipe) | identify_start(run, recipe)
    settings = settings_of(recipe, stage.sections)
    started, clock = datetime.now(timezone.utc), time.monotonic()
    with run.keeping_settings(stage.name):
        changes = begin_partial(
            stage,
            run,
            settings | {"inputs": digests},
            resume=resume,
            overwrite=overwrite,
            allow_changes=allow_changes,
            echo=echo,
        )
        run.save_recipe(recipe)
        folder = run.partial(stage.name)
        outcome = stage.run(
            Work(
                run=run,
                recipe=recipe,
                folder=folder,
                inputs={name: run.stage(name) for name in needs},
                results=inputs,
                data_dir=data_dir,
                echo=echo,
                progress=progress,
            )
        )
    # A resumed stage took the time of all its epochs, not that of the last process alone.
    took_s = max(time.monotonic() - clock, getattr(outcome.metrics, "fit_time_s", 0.0))
    result = StageResult(
        stage=stage.name,
        settings=settings,
        inputs=digests,
        versions=provenance.describe_versions(),
        commit=provenance.find_commit(),
        machine=Machine(**hardware.describe_machine()),
        command=provenance.describe_command(),
        data=outcome.data,
        metrics=replace(outcome.metrics, changed_on_the_way=tuple(changes))
        if changes
        else outcome.metrics,
        files=results.record_files(folder, leave_out=WORKING_FILES),
        started_at=started.isoformat(timespec="seconds"),
        wall_time_s=round(took_s, 2),
    )
    results.save_result(result, folder)
    run.commit(stage.name)
    return result


def check_request(run: RunFolder, recipe: Recipe) -> None:
    """Refuse before its folder is made what a run would refuse later.

    Raises:
        UsageError: the recipe contradicts itself, its teacher cannot teach this run, there are no
            such weights to start from, or it asks for bfloat16 where there is none.
    """
    check_recipe(recipe)
    if not run.is_finished("train"):
        check_machine(recipe)
        identify_teacher(run, recipe)
        identify_start(run, recipe)


def load_inputs(stage: Stage, run: RunFolder, recipe: Recipe) -> dict[str, StageResult]:
    """Return the results of the stages that this one builds on, their files checked.

    Raises:
        UsageError: one is missing, or older than what it was made from.
        MtfError: one is damaged, or another version wrote it.
    """
    inputs = {}
    for name in wanted_needs(stage, run, recipe):
        if not run.is_finished(name):
            state = "has not finished" if run.partial(name).is_dir() else "has not been run"
            raise UsageError(
                f"{stage.name} needs {name}, which {state} in {run.path};"
                f" finish it first: {resume_command(name, run)}"
            )
        inputs[name] = run.load_stage(name)
        stale = find_stale_input(find_stage(name), run, recipe, inputs[name])
        if stale:
            raise UsageError(
                f"{stage.name} needs {name}, which is out of date in {run.path} ({stale});"
                f" make it again first: {resume_command(name, run)}"
            )
    return inputs


def begin_partial(
    stage: Stage,
    run: RunFolder,
    settings: dict[str, Any],
    *,
    resume: bool,
    overwrite: bool,
    allow_changes: bool,
    echo: Echo,
) -> list[str]:
    """Prepare the folder a stage works in: fresh, or where the killed one stopped.

    One that never finished an epoch has nothing to lose. One that was begun from stages which
    have been made again since, or that is to be overwritten, goes to previous/. Return the settings
    that were changed on the way, which `allow_changes` lets one continue with.

    Raises:
        UsageError: it was begun with other settings, or there is no leave to continue it.
    """
    partial = run.partial(stage.name)
    begun = stage.resumable and run.has_checkpoint(stage.name)
    held = run.partial_settings(stage.name) if begun and not overwrite else None
    if begun and (held is None or is_from_other_weights(held, settings)):
        kept = run.set_aside(partial)
        why = "" if overwrite else " was begun from other weights; it"
        echo(f"{stage.name}: the unfinished one{why} is now {kept}")
        held = None
    if held is None:
        run.discard_partial(stage.name)
        run.begin(stage.name, settings)
        return []
    changes: list[str] = held.get(CHANGES, [])
    differences = list_changes(held, settings)
    fixed = list_fixed(stage.name, held, settings)
    if differences and (fixed or not allow_changes):
        way_out = "" if fixed else " --allow-changes to go on with these,"
        raise UsageError(
            f"{partial} was begun with other settings ({'; '.join(differences)}); give the same"
            f" ones to continue it,{way_out} or remove that folder to start {stage.name} over"
            + (f" ({' and '.join(fixed)} cannot change on the way)" if fixed else "")
        )
    if not resume:
        raise UsageError(
            f"{run.path} holds an unfinished {stage.name}; --resume continues it,"
            " --overwrite starts over"
        )
    if differences:
        echo(f"{stage.name}: going on with other settings ({'; '.join(differences)})")
        changes = [*changes, *differences]
    run.begin(stage.name, settings | ({CHANGES: changes} if changes else {}))
    return changes


def list_changes(held: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """Return one line for every setting of an unfinished stage that differs, inputs aside."""
    old, new = (
        {name: value for name, value in settings.items() if name not in ("inputs", CHANGES)}
        for settings in (held, asked)
    )
    return list_differences(with_defaults(old), new)


def list_fixed(name: str, held: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """Return the settings of an unfinished stage that differ and that its checkpoint depends on.

    It holds the optimizer's state and the averages, and comes from the weights it started from.
    """
    old, new = (with_defaults(settings)[name] for settings in (held, asked))
    changed = {
        "optimizer": old["optimizer"] != new["optimizer"],
        "ema_decay": bool(old["ema_decay"]) != bool(new["ema_decay"]),
        "weights": old.get("weights") != new.get("weights"),
    }
    return [f"{name}.{setting}" for setting, differs in changed.items() if differs]


def is_from_other_weights(held: dict[str, Any], asked: dict[str, Any]) -> bool:
    """Tell whether what an unfinished stage was begun from has been made again since.

    Where the settings name another teacher or other weights to start from, that is a change of
    settings, to be refused or allowed as such.
    """
    fits = [settings.get("train", {}) for settings in (held, asked)]
    ignored = [name for name in (TEACHER, WEIGHTS) if fits[0].get(name) != fits[1].get(name)]
    old, new = (
        {name: digest for name, digest in settings["inputs"].items() if name not in ignored}
        for settings in ({"inputs": {}} | held, asked)
    )
    return old != new


def run_one(
    name: str,
    run: RunFolder,
    recipe: Recipe,
    *,
    data_dir: Path | None,
    resume: bool,
    overwrite: bool,
    echo: Echo,
    progress: bool,
    allow_changes: bool = False,
) -> StageResult:
    """Run one stage by name; a finished one is made again only if asked.

    Raises:
        UsageError: it is finished with other settings, or the recipe leaves it out.
    """
    stage = find_stage(name)
    if not is_wanted(stage, recipe):
        raise UsageError(
            f"the settings of {run.path} leave quantization-aware training out (qat.epochs is 0);"
            " give --epochs"
        )
    if not overwrite:
        state = check_state(stage, run, recipe)
        if state.up_to_date:
            echo(f"{name}: up to date ({state.reason}), nothing to do")
            return run.load_stage(name, verify=False)
        if state.changed and not (stage.resumable and run.has_checkpoint(name)):
            raise UsageError(
                f"{run.path} has a finished {name} with other settings ({state.reason});"
                " --overwrite makes it again and keeps the old one under previous/,"
                " --out of mtf train begins another run"
            )
    return run_stage(
        stage,
        run,
        recipe,
        data_dir=data_dir,
        resume=resume,
        overwrite=overwrite,
        allow_changes=allow_changes,
        echo=echo,
        progress=progress,
    )


def run_pipeline(
    run: RunFolder,
    recipe: Recipe,
    *,
    data_dir: Path | None,
    overwrite: bool,
    echo: Echo,
    progress: bool,
    allow_changes: bool = False,
) -> dict[str, StageResult]:
    """Run every stage that is missing or out of date, in order; return all results."""
    done: dict[str, StageResult] = {}
    for stage in STAGES:
        if not is_wanted(stage, recipe):
            echo(f"{stage.name}: left out (qat.epochs is 0)")
            continue
        reason = "--overwrite"
        if not overwrite:
            state = check_state(stage, run, recipe)
            if state.up_to_date:
                echo(f"{stage.name}: skipped ({state.reason})")
                done[stage.name] = run.load_stage(stage.name, verify=False)
                continue
            reason = state.reason
        echo(f"{stage.name}: running ({reason})")
        done[stage.name] = run_stage(
            stage,
            run,
            recipe,
            data_dir=data_dir,
            resume=True,
            overwrite=overwrite,
            allow_changes=allow_changes,
            echo=echo,
            progress=progress,
        )
        echo(f"{stage.name}: done in {format_duration(done[stage.name].wall_time_s)}")
    run.save_recipe(recipe)
    return done


def go_on_command(stage: str, run: RunFolder, recipe: Recipe, data_dir: Path | None = None) -> str:
    """Return the command that goes on with a stage that was interrupted.

    Until an epoch of it is on disk, with these settings, it is the command that was typed.
    """
    begun = run.has_checkpoint(stage) and run.load_recipe() == recipe
    return resume_command(stage, run, data_dir) if begun else provenance.describe_command()


def resume_command(stage: str, run: RunFolder, data_dir: Path | None = None) -> str:
    """Return the command that finishes a stage of a run."""
    words = {
        "train": ["train", "--out", str(run.path), "--resume"],
        "qat": ["qat", str(run.path), "--resume"],
        "export": ["export-tflite", str(run.path)],
    }
    given = ["--data-dir", str(data_dir)] if data_dir else []
    return shlex.join(["mtf", *words.get(stage, [stage, str(run.path)]), *given])
