"""The stage table and its runner: what each stage needs, which settings decide it, what it does.

A stage is a function of its settings and of the folders of the stages before it. It writes into a
folder of its own and hands over files and a result, never live objects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from mobilenet_tf import results
from mobilenet_tf.artifacts import recipe_variant
from mobilenet_tf.data.catalog import dataset_info
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.recipe import Recipe, list_differences, settings_of
from mobilenet_tf.results import StageResult
from mobilenet_tf.run_folder import SETTINGS_FILE, RunFolder

Echo = Callable[[str], None]


@dataclass(frozen=True)
class Work:
    """What a stage gets: the recipe, its folder, the stages before it, where the data is."""

    run: RunFolder
    recipe: Recipe
    folder: Path
    inputs: Mapping[str, Path]  # stage -> its folder
    results: Mapping[str, StageResult]
    data_dir: Path | None
    echo: Echo
    progress: bool


@dataclass(frozen=True)
class Outcome:
    """What a stage found: its metrics and the fingerprints of the pictures it saw."""

    metrics: dict[str, Any]
    data: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One row of the stage table."""

    name: str
    needs: tuple[str, ...]  # stages whose files it reads; those the recipe leaves out are skipped
    sections: tuple[str, ...]  # sections of the recipe that decide its outcome
    resumable: bool  # continues from a checkpoint in its partial folder
    run: Callable[[Work], Outcome]


def run_train(work: Work) -> Outcome:
    """Train the float network."""
    from mobilenet_tf.training.job import train_float

    return Outcome(*train_float(work.recipe, work.folder, work.data_dir, work.echo, work.progress))


def run_qat(work: Work) -> Outcome:
    """Fine-tune the float network with fake quantization."""
    from mobilenet_tf.training.job import train_quantized

    float_weights = work.inputs["train"]
    return Outcome(
        *train_quantized(
            work.recipe, float_weights, work.folder, work.data_dir, work.echo, work.progress
        )
    )


def run_export(work: Work) -> Outcome:
    """Write the `.tflite` files."""
    from mobilenet_tf.export import export_files

    return Outcome(
        *export_files(work.recipe, work.inputs, work.folder, work.data_dir, work.echo)
    )


def run_benchmark(work: Work) -> Outcome:
    """Measure every model of the run on the test split."""
    from mobilenet_tf.benchmark import benchmark_run

    return Outcome(
        *benchmark_run(work.recipe, work.inputs, work.data_dir, work.echo, work.progress)
    )


def run_report(work: Work) -> Outcome:
    """Write report.md, report.json and report.html."""
    from mobilenet_tf.report.page import write_report

    write_report(work.folder, describe_run(work.run, work.recipe, work.results))
    return Outcome({})


STAGES = (
    Stage("train", (), ("data", "model", "augmentation", "train"), True, run_train),
    Stage("qat", ("train",), ("data", "model", "augmentation", "qat"), True, run_qat),
    Stage("export", ("train", "qat"), ("data", "model", "export"), False, run_export),
    Stage("benchmark", ("train", "qat", "export"), ("data", "model", "benchmark"), False,
          run_benchmark),
    Stage("report", ("train", "qat", "export", "benchmark"), (), False, run_report),
)
STAGE_NAMES = tuple(stage.name for stage in STAGES)


def find_stage(name: str) -> Stage:
    """Return a row of the stage table."""
    return next(stage for stage in STAGES if stage.name == name)


def is_wanted(stage: Stage, recipe: Recipe) -> bool:
    """Tell whether the recipe has this stage at all."""
    return stage.name != "qat" or recipe.qat.epochs > 0


def wanted_needs(stage: Stage, recipe: Recipe) -> list[str]:
    """Return the stages that this one builds on in this recipe."""
    return [name for name in stage.needs if is_wanted(find_stage(name), recipe)]


def check_recipe(recipe: Recipe) -> None:
    """Refuse at once what a later stage would refuse: names, sizes, contradictions.

    Raises:
        UsageError: an unknown model or dataset, a resolution the model cannot take, …
    """
    info = dataset_info(recipe.data.name)
    recipe_variant(recipe)
    if recipe.data.validation_count >= info.train_count:
        raise UsageError(
            f"data.validation_count {recipe.data.validation_count} leaves nothing to train on:"
            f" {info.name} has {info.train_count:,} training pictures"
        )
    for section, fit in (("train", recipe.train), ("qat", recipe.qat)):
        if fit.early_stopping_epochs and not recipe.data.validation_count:
            raise UsageError(
                f"{section}.early_stopping_epochs {fit.early_stopping_epochs} needs a validation"
                " split; set data.validation_count, or 0 epochs"
            )
    if not recipe.export.quantizations:
        raise UsageError("export.quantizations is empty; name at least one")


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
    result = results.load_result(folder)
    missing = [file for file in result.files if not (folder / file).is_file()]
    if missing:
        return State(False, f"{missing[0]} is missing")
    run.load_stage(stage.name)  # every file is what the result recorded
    changed = list_differences(result.settings, settings_of(recipe, stage.sections))
    if changed:
        return State(False, "; ".join(changed), tuple(changed))
    needs = wanted_needs(stage, recipe)
    for name in needs:
        if not run.is_finished(name) or result.inputs.get(name) != run.digest(name):
            return State(False, f"{name} was made again")
    gone = sorted(set(result.inputs) - set(needs))
    if gone:
        return State(False, f"{gone[0]} is no longer part of the recipe")
    return State(True, "same settings, same inputs, files intact")


def run_stage(
    stage: Stage,
    run: RunFolder,
    recipe: Recipe,
    *,
    data_dir: Path | None,
    resume: bool,
    overwrite: bool,
    echo: Echo,
    progress: bool,
) -> StageResult:
    """Do the work of one stage and put its folder in place; an earlier one goes to previous/.

    Raises:
        UsageError: a stage it needs is missing, or an unfinished one stands in the way.
        MtfError: the work failed; what was finished before stands.
    """
    needs = wanted_needs(stage, recipe)
    inputs = {}
    for name in needs:
        if not run.is_finished(name):
            state = "has not finished" if run.partial(name).is_dir() else "has not been run"
            raise UsageError(
                f"{stage.name} needs {name}, which {state} in {run.path};"
                f" finish it first: {resume_command(name, run)}"
            )
        inputs[name] = run.load_stage(name)
    digests = {name: run.digest(name) for name in needs}
    settings = settings_of(recipe, stage.sections)
    run.save_recipe(recipe)
    begin_partial(stage, run, settings | {"inputs": digests}, resume, overwrite)
    folder = run.partial(stage.name)
    started, clock = datetime.now(timezone.utc), time.monotonic()
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
    (folder / SETTINGS_FILE).unlink()
    result = StageResult(
        stage=stage.name,
        settings=settings,
        inputs=digests,
        versions=results.describe_versions(),
        commit=results.find_commit(),
        machine=results.describe_machine(),
        command=results.describe_command(),
        data=outcome.data,
        metrics=outcome.metrics,
        files=results.record_files(folder),
        started_at=started.isoformat(timespec="seconds"),
        wall_time_s=round(time.monotonic() - clock, 2),
    )
    results.save_result(result, folder)
    run.commit(stage.name)
    return result


def begin_partial(
    stage: Stage, run: RunFolder, settings: dict[str, Any], resume: bool, overwrite: bool
) -> None:
    """Prepare the folder a stage works in: fresh, or where the killed one stopped."""
    held = None if overwrite or not stage.resumable else run.partial_settings(stage.name)
    if held is None:
        run.discard_partial(stage.name)
    else:
        differences = list_differences(held, settings)
        if differences:
            raise UsageError(
                f"{run.partial(stage.name)} was begun with other settings"
                f" ({'; '.join(differences)}); give the same ones to continue it,"
                " or --overwrite to start over"
            )
        if not resume:
            raise UsageError(
                f"{run.path} holds an unfinished {stage.name}; --resume continues it,"
                " --overwrite starts over"
            )
    run.begin(stage.name, settings)


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
) -> StageResult:
    """Run one stage by name; a finished one is made again only if asked.

    Raises:
        UsageError: it is finished with other settings, or the recipe leaves it out.
    """
    stage = find_stage(name)
    if not is_wanted(stage, recipe):
        raise UsageError("qat.epochs is 0, which leaves quantization-aware training out")
    if not overwrite:
        state = check_state(stage, run, recipe)
        if state.up_to_date:
            echo(f"{name}: up to date ({state.reason}), nothing to do")
            return run.load_stage(name, verify=False)
        if state.changed:
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
            echo=echo,
            progress=progress,
        )
        echo(f"{stage.name}: done in {format_duration(done[stage.name].wall_time_s)}")
    run.save_recipe(recipe)
    return done


def describe_run(
    run: RunFolder, recipe: Recipe, done: Mapping[str, StageResult]
) -> dict[str, Any]:
    """Return a run as plain values, as the report takes it."""
    from mobilenet_tf.training.history import load_history

    return {
        "run": run.name,
        "command": results.describe_command(),
        "recipe": msgspec.to_builtins(recipe),
        "stages": {stage: msgspec.to_builtins(result) for stage, result in done.items()},
        "history": {
            stage: load_history(run.stage(stage)) for stage in ("train", "qat") if stage in done
        },
    }


def summarise_run(run: RunFolder, recipe: Recipe, done: Mapping[str, StageResult]) -> str:
    """Return what a finished run ends with: the table, where things are, what comes next."""
    from mobilenet_tf.report import format_stages

    lines = ["", format_stages(describe_run(run, recipe, done)), ""]
    files = done["export"].metrics["files"]
    lines.append(f"File for the app: {run.stage('export') / files[-1]['file']}")
    lines.append(f"Report:           {run.stage('report') / 'report.html'}")
    if recipe.data.name != "cifar10":
        lines.append("Next:             mtf run cifar10")
    return "\n".join(lines)


def summarise_stage(folder: Path, result: StageResult) -> str:
    """Return what a single stage ends with: its files and where they are."""
    kept = [f"  {name}  {record.size_bytes:,} bytes" for name, record in result.files.items()
            if not name.startswith("tensorboard/")]
    place = folder / result.stage
    took = format_duration(result.wall_time_s)
    return "\n".join([f"{result.stage}: {place} ({took})", *kept])


def resume_command(stage: str, run: RunFolder) -> str:
    """Return the command that finishes a stage of a run."""
    if stage == "train":
        return f"mtf train --out {run.path} --resume with the options it was begun with"
    verb = "export-tflite" if stage == "export" else stage
    return f"mtf {verb} {run.path}"


def format_duration(seconds: float) -> str:
    """Return a duration as people read it: `42 s`, `3 min 20 s`, `1 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"

