"""What was run and where: stages, environment, settings and files of a run."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mobilenet_tf.recipe import Recipe
from mobilenet_tf.report.summary import Summary
from mobilenet_tf.report.tables import Column, Table, make_table
from mobilenet_tf.report.units import MISSING
from mobilenet_tf.runs.results import FileRecord, FitMetrics, StageResult
from mobilenet_tf.system.duration import format_duration


def list_lacking(summary: Summary) -> list[str]:
    """Return what a run has not got, and the command that makes it."""
    stages, qat = summary.record.stages, summary.record.recipe.qat.epochs
    wanted = {
        "float training (mtf train)": stages.train,
        "quantization-aware training (mtf qat)": stages.qat if qat else True,
        "the files (mtf export-tflite)": stages.export,
        "the benchmark (mtf benchmark)": stages.benchmark,
    }
    return [name for name, record in wanted.items() if record is None]


def stages_table(summary: Summary) -> Table | None:
    """Return when each stage ran, how long it took, and its command where that is not the run's."""
    record = summary.record
    stages = record.stages.items()
    if not stages:
        return None
    fits = [s.metrics if isinstance(s.metrics, FitMetrics) else None for _, s in stages]
    commands = [MISSING if s.command == record.command else s.command for _, s in stages]
    total_s = sum(stage.wall_time_s for _, stage in stages)
    return make_table(
        "Stages",
        (
            (Column("stage", align="left"), [name for name, _ in stages]),
            (Column("command", align="left", code=True, optional=True), commands),
            (Column("started", align="left"), [stage.started_at for _, stage in stages]),
            (Column("wall time"), [format_duration(stage.wall_time_s) for _, stage in stages]),
            (Column("epochs"), [format_duration(f.fit_time_s) if f else MISSING for f in fits]),
        ),
        "Epochs: the time of all of them, however often the stage was resumed."
        f" All stages together: {format_duration(total_s)}.",
    )


def selection_note(summary: Summary) -> str:
    """Return which epoch's weights were kept, on what grounds, and which settings were changed."""
    notes, stages = [], summary.record.stages
    for stage, title in ((stages.train, "Float training"), (stages.qat, "QAT")):
        if stage is None:
            continue
        fit = stage.metrics
        preference = getattr(fit, "preference", None)
        if preference and not preference.fine_tuned:
            notes.append(f"{title}: calibration alone was kept ({preference.reason}).")
        elif fit.selection == "last epoch":
            notes.append(f"{title}: the last epoch was kept, there was no validation to choose on.")
        else:
            notes.append(
                f"{title}: epoch {fit.best_epoch} of {fit.epochs_done} was chosen on validation."
            )
        if fit.changed_on_the_way:
            changes = "; ".join(fit.changed_on_the_way)
            notes.append(f"{title} was continued with other settings: {changes}.")
    if stages.export and (preference := stages.export.metrics.preference):
        best = stages.export.metrics.best.file
        notes.append(f"The export chose {best} for an app: {preference.reason}.")
    return " ".join(notes)


def environment_table(summary: Summary) -> Table | None:
    """Return seed, commit, machine, versions and data fingerprints.

    A value that is not the same in every stage that states it appears once a value, with the
    stages it belongs to.
    """
    stages = summary.record.stages.items()
    if not stages:
        return None
    stated: dict[str, dict[str, list[str]]] = {}
    for group in ("commit", "machine", "versions", "data"):
        for stage, record in stages:
            found = msgspec.to_builtins(getattr(record, group))
            plain = found if isinstance(found, dict) else {"": found}
            for key, value in plain.items():
                name = f"{group}: {key}" if key else group
                if value:
                    stated.setdefault(name, {}).setdefault(str(value), []).append(stage)
    rows = [
        (name if len(values) == 1 else f"{name} ({', '.join(where)})", text)
        for name, values in stated.items()
        for text, where in values.items()
    ]
    return Table(
        "Machine, versions and data",
        (Column("what", align="left"), Column("value", align="left", code=True)),
        (("seed", str(summary.record.recipe.seed)), *rows),
    )


def run_files_table(summary: Summary) -> Table | None:
    """Return every file of the run with its size and SHA-256."""
    files = {
        f"{stage}/{name}": file
        for stage, result in summary.record.stages.items()
        if isinstance(result, StageResult)
        for name, file in result.files.items()
    }
    return files_table(files) if files else None


def files_table(files: Mapping[str, FileRecord]) -> Table:
    """Return files by name with their size and SHA-256."""
    columns = (
        Column("file", align="left", code=True),
        Column("bytes"),
        Column("SHA-256", align="left", code=True),
    )
    rows = [(name, f"{file.size_bytes:,}", file.sha256) for name, file in files.items()]
    return Table("Files", columns, tuple(rows))


def format_toml(recipe: Recipe) -> str:
    """Return a recipe as TOML; saved as a file, it can be run again."""
    import tomli_w

    return tomli_w.dumps(msgspec.to_builtins(recipe)).rstrip()
