"""Finished results, files and measured scores -> a model of the zoo, whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from mobilenet_tf.errors import UsageError
from mobilenet_tf.files import write_bytes, write_json, write_text
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.names import recipe_variant
from mobilenet_tf.runs.results import (
    BenchmarkMetrics,
    StageRecord,
    StageResult,
    Stages,
    record_files,
)
from mobilenet_tf.zoo.folder import lock_zoo, replaced_folder
from mobilenet_tf.zoo.page import format_page, format_recipe
from mobilenet_tf.zoo.shelf import (
    CARD_FILE,
    PAGE_FILE,
    RECIPE_FILE,
    START_FILE,
    Card,
    Check,
    load_card,
    model_names,
)

SHOWN_ROWS = (("keras", "float32"), ("tflite", "int8_ptq"), ("tflite", "int8_qat"))

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# A path from a root, wherever it stands in a text: /home/me/run, ~/run, C:\run.
_ROOTED_PATH = re.compile(r"(?<![\w.:/\\-])(?:~|[A-Za-z]:)?(?:[/\\][\w.@+-]+)+")


@dataclass(frozen=True, kw_only=True)
class Shipment:
    """Everything that becomes a model of the zoo.

    `files` maps `tflite`, `tflite_uint8`, `weights` (rounded to float16) and, where the run started
    from a file, `START_FILE` to what they are copied from; they gave `weights_top1` and `check`.
    """

    name: str
    recipe: Recipe
    results: Mapping[str, StageResult[Any]]
    tflite: str
    tflite_uint8: str
    weights: str
    files: Mapping[str, Path]
    weights_top1: float
    check: Check


def package(shipment: Shipment, zoo: Path, *, overwrite: bool) -> Card:
    """Make a model of the zoo in folder `zoo`; return its card.

    Raises:
        UsageError: as `check_request`.
        MtfError: another writer is at work, or the zoo cannot be written.
    """
    recipe = shipment.recipe
    if START_FILE in shipment.files:
        weights = f"artifacts/zoo/{shipment.name}/{START_FILE}"
        train = msgspec.structs.replace(recipe.train, weights=weights)
        recipe = msgspec.structs.replace(recipe, train=train)
    with lock_zoo(zoo):
        check_request(shipment.name, recipe, zoo, overwrite=overwrite)
        with replaced_folder(zoo.resolve() / shipment.name) as folder:
            for name, source in shipment.files.items():
                write_bytes(folder / name, source.read_bytes())
            recipe = msgspec.convert(without_machine(msgspec.to_builtins(recipe)), Recipe)
            write_text(folder / RECIPE_FILE, format_recipe(shipment.name, recipe))
            card = Card(
                name=shipment.name,
                model=recipe.model.name,
                variant=recipe_variant(recipe).name,
                stride_plan=recipe.model.stride_plan,
                dataset=recipe.data.name,
                tflite=shipment.tflite,
                tflite_uint8=shipment.tflite_uint8,
                weights=shipment.weights,
                files=record_files(folder),
                weights_top1=shipment.weights_top1,
                check=shipment.check,
                recipe=recipe,
                stages=_make_stages(shipment),
            )
            write_json(folder / CARD_FILE, card)
            write_text(folder / PAGE_FILE, format_page(card))
    return card


def check_request(name: str, recipe: Recipe, zoo: Path, *, overwrite: bool) -> None:
    """Refuse a model that cannot be added; `weights="cifar10"` means one network only.

    Raises:
        UsageError: the name is not one, is taken, or the zoo has this network by another name.
        MtfError: a card is damaged.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--name {name!r} cannot be the name of a model; use small letters, digits, - and _,"
            " at most 64"
        )
    target = zoo / name
    if target.exists() and not (target / CARD_FILE).is_file():
        raise UsageError(f"{target} is not a model of a zoo; give another --name, or another --out")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists already; --overwrite replaces it, or use another --name")
    variant = recipe_variant(recipe)
    mine = (recipe.data.name, variant.name, variant.stride_plan)
    for other in sorted(set(model_names(zoo)) - {name}):
        card = load_card(other, zoo)
        if (card.dataset, card.variant, card.stride_plan) == mine:
            raise UsageError(
                f"{zoo} has {variant.name} trained on {recipe.data.name} already, as {card.name};"
                f" give --name {card.name} --overwrite to replace it, or --out for another zoo"
            )


def _make_stages(shipment: Shipment) -> Stages:
    """Return what a card keeps of the results: no settings and no files, three benchmark rows."""
    records = {}
    for stage, result in shipment.results.items():
        kept = {field: getattr(result, field) for field in StageRecord.__struct_fields__}
        if isinstance(result.metrics, BenchmarkMetrics):
            kept["metrics"] = _shorten(result.metrics, shipment.tflite)
        records[stage] = StageRecord(**kept)
    return msgspec.convert(without_machine(msgspec.to_builtins(Stages(**records))), Stages)


def _shorten(metrics: BenchmarkMetrics, tflite: str) -> BenchmarkMetrics:
    """Return the rows that a card shows, and which of them is the file that ships."""
    shown = [
        msgspec.structs.replace(row, file=tflite if row is metrics.int8 else None)
        for kind in SHOWN_ROWS
        if (row := metrics.find(*kind))
    ]
    return msgspec.structs.replace(metrics, rows=tuple(shown))


def without_machine(value: Any) -> Any:
    """Return plain values whose texts name no folder of this machine.

    A rooted path is cut to what follows its parent of `artifacts`, else to its last part.
    """
    if isinstance(value, dict):
        return {key: without_machine(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_machine(item) for item in value]
    return _ROOTED_PATH.sub(_shorten_path, value) if isinstance(value, str) else value


def _shorten_path(match: re.Match[str]) -> str:
    parts = PurePosixPath(match[0].replace("\\", "/")).parts
    start = parts.index("artifacts") if "artifacts" in parts else len(parts) - 1
    return "/".join(parts[start:])
