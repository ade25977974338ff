"""What was run and where: stages, environment, settings and files of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mobilenet_tf.report.summary import Summary, mapping, number, sequence
from mobilenet_tf.report.tables import MISSING, Column, Table
from mobilenet_tf.system.duration import format_duration

ENVIRONMENT_KEYS = ("seed", "commit", "machine", "versions", "data")


def stages_table(summary: Summary) -> Table | None:
    """Return when each stage ran and how long it took."""
    rows = []
    total_s = 0.0
    for name, result in summary.stages.items():
        seconds = number(result.get("wall_time_s"))
        total_s += seconds or 0.0
        rows.append(
            (
                name,
                str(result.get("started_at") or MISSING),
                MISSING if seconds is None else format_duration(seconds),
            )
        )
    if not rows:
        return None
    notes = [selection_note(summary)]
    if total_s > 0:
        notes.insert(0, f"All stages together: {format_duration(total_s)}.")
    return Table(
        "Stages",
        (Column("stage", align="left"), Column("started", align="left"), Column("wall time")),
        tuple(rows),
        " ".join(filter(None, notes)),
    )


def selection_note(summary: Summary) -> str:
    """Return which epoch's weights were kept, on what grounds, and what changed on the way."""
    notes = []
    for stage, title in (("train", "Float training"), ("qat", "QAT")):
        metrics = mapping(summary.stages.get(stage, {}).get("metrics"))
        done, best = number(metrics.get("epochs_done")), number(metrics.get("best_epoch"))
        if metrics.get("selection") == "last epoch":
            notes.append(f"{title}: the last epoch stands, nothing was selected on validation.")
        elif metrics.get("selection") == "validation" and best is not None:
            of_all = "" if done is None else f" of {done:.0f}"
            notes.append(f"{title}: epoch {best:.0f}{of_all} was chosen on validation.")
        changes = [str(change) for change in sequence(metrics.get("changed_on_the_way"))]
        if changes:
            notes.append(f"{title} went on with other settings: {'; '.join(changes)}.")
    return " ".join(notes)


def environment_table(summary: Summary) -> Table | None:
    """Return seed, commit, machine, versions and data fingerprints.

    A value that is not the same in every stage that states it appears once a value, with the
    stages it belongs to.
    """
    stated: dict[str, dict[str, list[str]]] = {}
    for stage, result in summary.stages.items():
        for key in ENVIRONMENT_KEYS:
            for name, text in flatten(key, result.get(key)):
                stated.setdefault(name, {}).setdefault(text, []).append(stage)
    rows = [
        (name if len(values) == 1 else f"{name} ({', '.join(stages)})", text)
        for name, values in sorted(stated.items(), key=lambda item: _environment_order(item[0]))
        for text, stages in values.items()
    ]
    if not rows:
        return None
    return Table(
        "Machine, versions and data",
        (Column("what", align="left"), Column("value", align="left", code=True)),
        tuple(rows),
    )


def files_table(summary: Summary) -> Table | None:
    """Return every file of the run with its size and SHA-256."""
    rows = []
    for stage, result in summary.stages.items():
        for name, entry in mapping(result.get("files")).items():
            size_bytes = number(mapping(entry).get("size_bytes"))
            rows.append(
                (
                    f"{stage}/{name}",
                    MISSING if size_bytes is None else f"{size_bytes:,.0f}",
                    str(mapping(entry).get("sha256") or MISSING),
                )
            )
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
    model, data = mapping(summary.recipe.get("model")), mapping(summary.recipe.get("data"))
    shown = []
    if model.get("name"):
        parts = [str(model["name"])]
        parts += [f"alpha {model['alpha']}"] if model.get("alpha") is not None else []
        pixels = model.get("resolution_px")
        parts += [f"{pixels} x {pixels} px"] if pixels is not None else []
        shown.append(("Model", ", ".join(parts)))
    if data.get("name"):
        classes = f", {len(summary.classes)} classes" if summary.classes else ""
        shown.append(("Data", f"{data['name']}{classes}"))
    row = summary.reference
    if row and row.parameters is not None:
        shown.append(("Parameters", f"{row.parameters:,.0f}"))
    if row and row.macs is not None:
        shown.append(("Multiply-adds", f"{row.macs / 1e6:,.1f} million an image"))
    return shown


def settings_toml(summary: Summary) -> str:
    """Return the settings as TOML that can be saved and run again as a recipe.

    Without a recipe in the results, the settings of each stage, a section a stage.
    """
    if summary.recipe:
        return format_toml(summary.recipe)
    return format_toml(
        {name: mapping(result.get("settings")) for name, result in summary.stages.items()}
    )


def format_toml(values: Mapping[str, Any], prefix: str = "") -> str:
    """Return nested settings as TOML; None, which TOML cannot say, is left out."""
    lines = [
        f"{_toml_key(key)} = {_toml_value(value)}"
        for key, value in values.items()
        if value is not None and not isinstance(value, Mapping)
    ]
    blocks = ["\n".join(lines)] if lines else []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            name = prefix + _toml_key(key)
            inner = format_toml(value, f"{name}.")
            plain = any(not isinstance(item, Mapping) for item in value.values())
            blocks.append(f"[{name}]\n{inner}" if plain else inner)
    return "\n\n".join(filter(None, blocks))


def flatten(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of every leaf of a nested value; None and empty ones are left out."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flatten(f"{name}: {key}", inner)
    elif sequence(value):
        yield name, ", ".join(str(item) for item in sequence(value))
    elif value is not None and not isinstance(value, (list, tuple)) and str(value):
        yield name, str(value)


def _environment_order(name: str) -> int:
    return ENVIRONMENT_KEYS.index(name.split(":", maxsplit=1)[0])


def _toml_key(key: object) -> str:
    text = str(key)
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _toml_value(text)


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml_value(item) for item in value if item is not None)}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
