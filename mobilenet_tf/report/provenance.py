"""What was run and where: stages, environment, settings and files of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mobilenet_tf.recipe import Recipe
from mobilenet_tf.report.summary import Summary
from mobilenet_tf.report.tables import Column, Table
from mobilenet_tf.runs.results import StageResult
from mobilenet_tf.system.duration import format_duration


def stages_table(summary: Summary) -> Table | None:
    """Return when each stage ran and how long it took."""
    stages = summary.record.stages.items()
    if not stages:
        return None
    total_s = sum(record.wall_time_s for _, record in stages)
    return Table(
        "Stages",
        (Column("stage", align="left"), Column("started", align="left"), Column("wall time")),
        tuple((name, s.started_at, format_duration(s.wall_time_s)) for name, s in stages),
        f"All stages together: {format_duration(total_s)}. {selection_note(summary)}".strip(),
    )


def selection_note(summary: Summary) -> str:
    """Return which epoch's weights were kept, on what grounds, and which settings were changed."""
    notes, stages = [], summary.record.stages
    for stage, title in ((stages.train, "Float training"), (stages.qat, "QAT")):
        if stage is None:
            continue
        fit = stage.metrics
        if fit.selection == "last epoch":
            notes.append(f"{title}: the last epoch was kept, there was no validation to choose on.")
        else:
            notes.append(
                f"{title}: epoch {fit.best_epoch} of {fit.epochs_done} was chosen on validation."
            )
        if fit.changed_on_the_way:
            changes = "; ".join(fit.changed_on_the_way)
            notes.append(f"{title} was continued with other settings: {changes}.")
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

    def state(name: str, value: object, stage: str) -> None:
        if value:
            stated.setdefault(name, {}).setdefault(str(value), []).append(stage)

    for stage, record in stages:
        state("commit", record.commit, stage)
    for group in ("machine", "versions", "data"):
        for stage, record in stages:
            for name, value in msgspec.to_builtins(getattr(record, group)).items():
                state(f"{group}: {name}", value, stage)
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


def files_table(summary: Summary) -> Table | None:
    """Return every file of the run with its size and SHA-256."""
    rows = [
        (f"{stage}/{name}", f"{entry.size_bytes:,}", entry.sha256)
        for stage, record in summary.record.stages.items()
        if isinstance(record, StageResult)
        for name, entry in record.files.items()
    ]
    if not rows:
        return None
    return Table(
        "Files",
        (
            Column("file", align="left", code=True),
            Column("bytes"),
            Column("SHA-256", align="left", code=True),
        ),
        tuple(rows),
    )


def facts(summary: Summary) -> list[tuple[str, str]]:
    """Return the few facts that head a report: model, data and cost."""
    model, name = summary.record.recipe.model, summary.record.recipe.data.name
    side = model.resolution_px
    classes = f", {len(summary.classes)} classes" if summary.classes else ""
    shown = [
        ("Model", f"{model.name}, alpha {model.alpha:g}, {side} x {side} px"),
        ("Data", f"{name}{classes}"),
    ]
    if summary.reference:
        row = summary.reference.row
        shown.append(("Parameters", f"{row.parameters:,}"))
        shown.append(("Multiply-adds", f"{row.macs / 1e6:,.1f} million an image"))
    return shown


def format_toml(settings: Recipe | Mapping[str, Any]) -> str:
    """Return settings as TOML; saved as a file, those of a recipe can be run again."""
    import tomli_w

    return tomli_w.dumps(_without_none(msgspec.to_builtins(settings))).rstrip()


def _without_none(value: Any) -> Any:
    """Return nested values without None, which TOML cannot say."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value
