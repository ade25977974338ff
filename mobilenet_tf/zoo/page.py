"""Cards of the zoo as people read them: the table of all, the page of one, its recipe in TOML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from mobilenet_tf.data.catalog import dataset_info
from mobilenet_tf.models.catalog import model_table
from mobilenet_tf.models.options import Options
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.report import Column, Summary, Table, format_table, stage_table, summarise
from mobilenet_tf.report.provenance import (
    environment_table,
    format_toml,
    selection_note,
)
from mobilenet_tf.report.tables import class_table, confusion_pairs
from mobilenet_tf.report.usage import mapping_table, python_example
from mobilenet_tf.runs.record import RunRecord
from mobilenet_tf.runs.results import Stages
from mobilenet_tf.system.duration import format_duration
from mobilenet_tf.system.hardware import name_machines
from mobilenet_tf.zoo.shelf import RECIPE_FILE, START_FILE, Card

MISSING = "-"

ORIGINS = {"weights": "Started from the weights", "teacher": "Learned from the run"}
# What is known of the images beyond their number; a model inherits it.
DATA_NOTES = {
    "cifar10": (
        "CIFAR-10 (Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images): 32x32"
        " photographs from the web, 6,000 a class, labelled by people.",
        "3.3 % of its test images have near-duplicates among the training ones (Barz and Denzler"
        " 2020, arXiv 1902.00423), which flatters every figure here.",
    ),
}


def describe_card(card: Card) -> dict[str, Any]:
    """Return a card's key figures as plain values; accuracies are shares of the test images.

    Size and latency (one image, median) are those of the int8 file after QAT.
    """
    int8 = card.measured("tflite", "int8_qat")
    return {
        "name": card.name,
        "model": card.model,
        "variant": card.variant,
        "alpha": card.recipe["model"]["alpha"],
        "resolution_px": card.recipe["model"]["resolution_px"],
        "stride_plan": card.stride_plan,
        "dataset": card.dataset,
        "classes": list(card.classes),
        "parameters": int8["parameters"],
        "macs": int8["macs"],
        "float_top1": card.measured("keras", "float32")["top1"],
        "int8_ptq_top1": card.measured("tflite", "int8_ptq").get("top1"),
        "int8_qat_top1": int8["top1"],
        "test_count": card.test_count,
        "int8_size_bytes": int8["size_bytes"],
        "int8_latency_median_ms": int8["latency_median_ms"],
        "threads": int8["threads"],
        "machine": card.stages["benchmark"]["machine"],
    }


def format_cards(cards: Sequence[Card], style: Literal["text", "markdown"] = "text") -> str:
    """Return the table of the zoo, the smallest file first, and what its figures are of."""
    columns = [
        Column("model", align="left", code=True),
        Column("alpha"),
        Column("parameters", "params"),
        Column("M MACs"),
        Column("float %"),
        Column("int8 PTQ %", "PTQ %"),
        Column("int8 QAT %", "QAT %"),
        Column("int8 KB"),
        Column("int8 ms"),
    ]
    rows = sorted(map(describe_card, cards), key=lambda row: row["int8_size_bytes"])
    cells = [
        (
            row["name"],
            f"{row['alpha']:g}",
            f"{row['parameters']:,}",
            f"{row['macs'] / 1e6:,.1f}",
            _percent(row["float_top1"]),
            _percent(row["int8_ptq_top1"]),
            _percent(row["int8_qat_top1"]),
            f"{row['int8_size_bytes'] / 1e3:,.1f}",
            f"{row['int8_latency_median_ms']:.3f}",
        )
        for row in rows
    ]
    tests = sorted({f"{row['test_count']:,} test images of {row['dataset']}" for row in rows})
    threads = sorted({row["threads"] for row in rows})
    machines = name_machines(row["machine"] for row in rows)
    note = (
        f"Top-1 on {', '.join(tests)}. Latency of one image, {_join(threads)}"
        f" {'thread' if threads == [1] else 'threads'}, on {machines}."
    )
    return f"{format_table(columns, cells, style)}\n\n{note}"


def format_recipe(card: Card) -> str:
    """Return the recipe of a card as a file that `mtf run` takes."""
    head = f"# Every setting that {card.name} was made with.\n#\n#   {make_again(card)}\n"
    return f"{head}{format_toml(card.recipe)}\n"


def make_again(card: Card) -> str:
    """Return the command that makes the model of a card again, from a checkout."""
    return f"mtf run artifacts/zoo/{card.name}/{RECIPE_FILE} --out artifacts/{card.name}"


def format_page(card: Card) -> str:
    """Return a card as a Markdown page; it is a function of the card alone."""
    summary = summarise(
        RunRecord(
            name=card.name,
            recipe=msgspec.convert(card.recipe, Recipe),
            stages=msgspec.convert(card.stages, Stages),
        )
    )
    parts = [
        f"# {card.name}",
        _lead(card),
        *_section(replace(stage_table(summary), title="Accuracy, size, latency")),
        _rounded(card),
        *_section(class_table(summary)),
        *_section(confusion_pairs(summary)),
        "## Use it",
        *_usage(card, summary),
        "## Intended use",
        _intended_use(card),
        "## Limits",
        _bullets(_limits(card)),
        "## How it was made",
        _bullets(_making(card, summary)),
        _fenced(make_again(card), "sh"),
        "The recipe in full:",
        _fenced(format_toml(card.recipe), "toml"),
        *_section(_stages_table(card), level=3),
        *_section(environment_table(summary), level=3),
        *_section(_files_table(card)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _lead(card: Card) -> str:
    row = describe_card(card)
    return (
        f"**{model_table(card.model).title}, alpha {row['alpha']:g}, {row['resolution_px']} px,"
        f" {card.stride_plan} strides, trained on {card.dataset}:"
        f" {_percent(row['int8_qat_top1'])} % of {card.test_count:,} test images in int8,"
        f" {row['int8_size_bytes'] / 1e3:,.1f} KB, {row['parameters']:,} parameters,"
        f" {row['macs'] / 1e6:,.1f} M MACs.**"
    )


def _rounded(card: Card) -> str:
    float_top1 = card.measured("keras", "float32")["top1"]
    return (
        f"`{card.weights}` holds the float network's weights rounded to float16:"
        f" {_percent(card.weights_top1)} % of the same test images, where the unrounded ones have"
        f" {_percent(float_top1)} %. `{card.tflite}` has {_percent(card.check.top1, 1)} % of the"
        f" first {card.check.test_count:,}."
    )


def _usage(card: Card, summary: Summary) -> list[str]:
    tensors = mapping_table(summary)
    parts = [
        "On images of your own, and a look into the file:",
        _fenced(f"mtf predict {card.name} image.png\nmtf audit {card.name}", "sh"),
        "In Python, with LiteRT alone:",
        _fenced(python_example(summary), "python"),
    ]
    parts += ["The float network in Keras:", _fenced(_keras_example(card), "python")]
    parts += ["Fine-tuning on other images:", _fenced(_fine_tuning(card), "sh")]
    parts += ["On Android, with LiteRT's `Interpreter`:", _fenced(_kotlin_example(card), "kotlin")]
    return parts + (_section(tensors, level=3) if tensors else [])


def _keras_example(card: Card) -> str:
    """Return how the float network is had."""
    model = card.recipe["model"]
    options = ", ".join(f"{name}={value!r}" for name, value in _options(card).items())
    return "\n".join(
        [
            "from mobilenet_tf.models.keras_builder import build_model",
            *(["from mobilenet_tf.models.options import Options"] if options else []),
            "",
            "model = build_model(",
            f'    "{card.model}",',
            f"    alpha={model['alpha']!r},",
            f"    resolution_px={model['resolution_px']},",
            f"    classes={len(card.classes)},",
            f'    stride_plan="{card.stride_plan}",',
            *([f"    options=Options({options}),"] if options else []),
            f'    weights="{card.name}",',
            ")  # (byte - 128) / 128 in, logits out",
        ]
    )


def _fine_tuning(card: Card) -> str:
    model = card.recipe["model"]
    other = "cifar10" if card.dataset == "cifar100" else "cifar100"
    return (
        f"mtf train --dataset {other} --model {card.model} --alpha {model['alpha']:g}"
        f" --resolution {model['resolution_px']} --stride-plan {card.stride_plan}"
        f" --weights {card.name}"
        + "".join(f" --set model.{name}={value}" for name, value in _options(card).items())
    )


def _options(card: Card) -> dict[str, Any]:
    """Return the options of the network that are not the paper's."""
    model = card.recipe["model"]
    return {
        field.name: model[field.name]
        for field in fields(Options)
        if model.get(field.name, field.default) != field.default
    }


def _kotlin_example(card: Card) -> str:
    row, side = card.measured("tflite", "int8_qat"), card.recipe["model"]["resolution_px"]
    signed = row["io_type"] == "int8"
    byte = "({0}(color) - 128).toByte()" if signed else "{0}(color).toByte()"
    puts = [f"    input.put({byte.format(f'Color.{c}')})" for c in ("red", "green", "blue")]
    score = "scores[0][it]" if signed else "scores[0][it].toUByte()"
    lines = [
        f"val input = ByteBuffer.allocateDirect({side} * {side} * 3)",
        f"for (y in 0 until {side}) for (x in 0 until {side}) {{",
        "    val color = bitmap.getPixel(x, y)",
        *puts,
        "}",
        "input.rewind()",
        f"val scores = Array(1) {{ ByteArray({len(card.classes)}) }}",
        "interpreter.run(input, scores)",
        f"val best = scores[0].indices.maxBy {{ {score} }}",
    ]
    if not card.recipe["export"]["logits"]:
        value = "(scores[0][best] + 128)" if signed else "scores[0][best].toUByte().toInt()"
        lines.append(f"val probability = {value} / 256f")
    return "\n".join(lines)


def _intended_use(card: Card) -> str:
    return (
        f"Telling the {len(card.classes)} classes of {card.dataset} apart on small devices; a"
        " yardstick for int8 models of this size; a start for fine-tuning on other small images;"
        " a known good file for testing an app. Not for decisions about people, nor where a wrong"
        " class does harm."
    )


def _limits(card: Card) -> list[str]:
    per_class = card.measured("tflite", "int8_qat")["per_class"]
    shares = zip(per_class, card.classes, strict=True)
    worst, name = min((share, name) for share, name in shares if share is not None)
    side = card.recipe["model"]["resolution_px"]
    return [
        f"It knows {', '.join(card.classes)} and nothing else: whatever it is shown becomes one"
        " of them.",
        f"It sees {side} x {side} pixels, the object filling most of the image.",
        f"Its weakest class is {name}: {_percent(worst, 1)} % recognised.",
        "One run with one seed: tenths of a point between models mean nothing.",
        *DATA_NOTES.get(card.dataset, ())[1:],
    ]


def _making(card: Card, summary: Summary) -> list[str]:
    info, fit = dataset_info(card.dataset), card.stages["train"]["metrics"]
    train = card.recipe["train"]
    held_out = fit["validation_count"]
    chosen = (
        f"{held_out:,} more chose the epochs"
        if held_out
        else "none held out, so the last epoch stands"
    )
    about = DATA_NOTES.get(card.dataset, (info.description,))[0].rstrip(".")
    took_s = sum(stage["wall_time_s"] for stage in card.stages.values())
    machine = name_machines([card.stages["benchmark"]["machine"]])
    again = "" if card.recipe["deterministic"] else "; its weights differ from run to run"
    needed = f", with {train['teacher']} there to teach it" if train.get("teacher") else ""
    if Path(train.get("weights", "")).suffix and START_FILE not in card.files:
        needed += f", with {train['weights']} there to start from"
    command = f"makes it again{needed}, at the commits and versions listed{again}"
    if any(stage["metrics"].get("changed_on_the_way") for stage in card.stages.values()):
        command = "has the settings that it ended with, and makes another"
    return [
        f"Data: {about}. Trained on {fit['train_count']:,} images, {chosen};"
        f" {card.test_count:,} test images for these figures alone.",
        f"Seed: {card.recipe['seed']}.",
        *(f"{said} {train[key]}." for key, said in ORIGINS.items() if train.get(key)),
        selection_note(summary),
        f"Wall time: {format_duration(took_s)}, all stages together; {machine}.",
        f"The command below {command}.",
    ]


def _stages_table(card: Card) -> Table:
    rows = []
    for name, stage in card.stages.items():
        fit_s = stage["metrics"].get("fit_time_s")
        rows.append(
            (
                name,
                stage["command"],
                stage["started_at"],
                format_duration(stage["wall_time_s"]),
                MISSING if fit_s is None else format_duration(fit_s),
            )
        )
    return Table(
        "As it was run",
        (
            Column("stage", align="left"),
            Column("command", align="left", code=True),
            Column("started", align="left"),
            Column("wall time"),
            Column("epochs"),
        ),
        tuple(rows),
        "Epochs: the time of all of them, however often the stage was resumed.",
    )


def _files_table(card: Card) -> Table:
    return Table(
        "Files",
        (
            Column("file", align="left", code=True),
            Column("bytes"),
            Column("SHA-256", align="left", code=True),
        ),
        tuple(
            (name, f"{record.size_bytes:,}", record.sha256) for name, record in card.files.items()
        ),
    )


def _section(table: Table | None, level: int = 2) -> list[str]:
    if table is None:
        return []
    return [
        f"{'#' * level} {table.title}",
        format_table(table.columns, table.rows, "markdown"),
        table.note,
    ]


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines if line)


def _fenced(code: str, language: str) -> str:
    return f"```{language}\n{code}\n```"


def _percent(share: float | None, decimals: int = 2) -> str:
    return MISSING if share is None else f"{100 * share:.{decimals}f}"


def _join(values: Sequence[int]) -> str:
    return " or ".join(map(str, values))
