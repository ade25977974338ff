"""Cards of the zoo as people read them: the table of all, the page and the short card of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from mobilenet_tf.data.catalog import recipe_dataset
from mobilenet_tf.models.catalog import model_table
from mobilenet_tf.recipe import ModelSettings, Recipe
from mobilenet_tf.report.page import PARTS
from mobilenet_tf.report.provenance import format_toml
from mobilenet_tf.report.summary import summarise
from mobilenet_tf.report.tables import Column, format_table, make_table
from mobilenet_tf.report.templates import render
from mobilenet_tf.report.units import fixed
from mobilenet_tf.runs.results import FitMetrics, RunRecord
from mobilenet_tf.system.hardware import name_machines
from mobilenet_tf.zoo.shelf import PAGE_FILE, RECIPE_FILE, START_FILE, Card

TEMPLATES = Path(__file__).parent / "templates"
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

    Size and latency (one image, median) are those of the int8 file that ships.
    """
    int8 = card.int8_row
    ptq, qat = (card.benchmark.find("tflite", kind) for kind in ("int8_ptq", "int8_qat"))
    return {
        "name": card.name,
        "model": card.model,
        "variant": card.variant,
        "alpha": card.recipe.model.alpha,
        "resolution_px": card.recipe.model.resolution_px,
        "stride_plan": card.stride_plan,
        "dataset": card.dataset,
        "classes": list(card.classes),
        "parameters": int8.parameters,
        "macs": int8.macs,
        "float_top1": card.float_row.top1,
        "int8_ptq_top1": ptq and ptq.top1,
        "int8_qat_top1": qat and qat.top1,
        "int8_quantization": int8.quantization,
        "int8_top1": int8.top1,
        "test_count": card.benchmark.test_count,
        "int8_size_bytes": int8.size_bytes,
        "int8_latency_median_ms": int8.latency_median_ms,
        "threads": int8.threads,
        "machine": _machine(card),
    }


def format_cards(cards: Sequence[Card], style: Literal["text", "markdown"] = "text") -> str:
    """Return the table of the zoo, the smallest file first, and what its figures are of.

    A model that another one beats in accuracy, size and arithmetic is only named.
    """
    described = sorted(map(describe_card, cards), key=lambda row: row["int8_size_bytes"])
    rows = [row for row in described if not _is_beaten(row, described)]
    columns = (
        (Column("model", align="left", code=True), [row["name"] for row in rows]),
        (Column("parameters", "params"), [f"{row['parameters']:,}" for row in rows]),
        (Column("M MACs"), [fixed(row["macs"], 1e-6, 1) for row in rows]),
        (Column("float %"), [fixed(row["float_top1"], 100, 2) for row in rows]),
        (Column("int8 PTQ %", "PTQ %"), [fixed(row["int8_ptq_top1"], 100, 2) for row in rows]),
        (Column("int8 QAT %", "QAT %"), [fixed(row["int8_qat_top1"], 100, 2) for row in rows]),
        (Column("file"), [row["int8_quantization"][-3:].upper() for row in rows]),
        (Column("int8 KB"), [fixed(row["int8_size_bytes"], 1e-3, 1) for row in rows]),
        (Column("int8 ms"), [fixed(row["int8_latency_median_ms"], 1, 3) for row in rows]),
    )
    table = make_table("", columns)
    tests = sorted({f"{row['test_count']:,} test images of {row['dataset']}" for row in rows})
    threads = sorted({row["threads"] for row in rows})
    machines = name_machines(row["machine"] for row in rows)
    note = (
        f"Top-1 on {', '.join(tests)}. Latency of one image, {' or '.join(map(str, threads))}"
        f" {'thread' if threads == [1] else 'threads'}, on {machines}."
    )
    if beaten := [row["name"] for row in described if row not in rows]:
        note += f" Left out, because another is better, smaller and cheaper: {', '.join(beaten)}."
    return f"{format_table(table.columns, table.rows, style)}\n\n{note}"


def _is_beaten(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> bool:
    """Tell whether a model of the same data is at least as good in every way, and is another."""
    costs = ("int8_size_bytes", "macs")  # latencies are of several machines
    return any(
        other["dataset"] == row["dataset"]
        and other["int8_top1"] > row["int8_top1"]
        and all(other[cost] <= row[cost] for cost in costs)
        for other in rows
    )


def format_recipe(name: str, recipe: Recipe) -> str:
    """Return the recipe of a model as a file that `mtf run` takes."""
    head = f"# Every setting that {name} was made with.\n#\n#   {_make_again(name)}\n"
    return f"{head}{format_toml(recipe)}\n"


def _make_again(name: str) -> str:
    return f"mtf run artifacts/zoo/{name}/{RECIPE_FILE} --out artifacts/{name}"


def format_page(card: Card) -> str:
    """Return a card as a Markdown page; it is a function of the card alone."""
    shares = zip(card.int8_row.per_class, card.classes, strict=True)
    return _render(
        "card.md.j2",
        card,
        fine_tuning=_fine_tuning(card),
        weakest=min((share, name) for share, name in shares if share is not None),
        data_notes=DATA_NOTES.get(card.dataset, (recipe_dataset(card.recipe).description + ".",)),
        fits=[m for _, s in card.stages.items() if isinstance(m := s.metrics, FitMetrics)],
        needs=_needs(card),
        make_again=_make_again(card.name),
    )


def format_short_card(card: Card, folder: Path) -> str:
    """Return what a model is, what it scores and how to use it, for a terminal.

    `folder` is the folder of the model's files.
    """
    return _render("card.txt.j2", card, folder=folder, page_file=PAGE_FILE).rstrip()


def _render(template: str, card: Card, **values: Any) -> str:
    summary = summarise(RunRecord(name=card.name, recipe=card.recipe, stages=card.stages))
    title, machine = model_table(card.model).title, name_machines([_machine(card)])
    values |= {"card": card, "summary": summary, "title": title, "machine": machine, **PARTS}
    return render(template, TEMPLATES, **values)


def _machine(card: Card) -> Any:
    return msgspec.to_builtins(card.stages.benchmark)["machine"]


def _fine_tuning(card: Card) -> str:
    """Return the command that fine-tunes a model on another dataset."""
    model, paper = card.recipe.model, ModelSettings()
    other = "cifar10" if card.dataset == "cifar100" else "cifar100"
    named = ("name", "alpha", "resolution_px", "stride_plan", "dropout", "batch_norm_momentum")
    options = [
        f" --set model.{name}={getattr(model, name)}"
        for name in model.__struct_fields__
        if name not in named and getattr(model, name) != getattr(paper, name)
    ]
    return (
        f"mtf train --dataset {other} --model {card.model} --alpha {model.alpha:g}"
        f" --resolution {model.resolution_px} --stride-plan {card.stride_plan}"
        f" --weights {card.name}{''.join(options)}"
    )


def _needs(card: Card) -> list[str]:
    """Return what the command that makes a model again needs beside its recipe."""
    train = card.recipe.train
    needs = [f"the teacher {train.teacher}"] if train.teacher else []
    if Path(train.weights).suffix and START_FILE not in card.files:
        needs.append(f"the initial weights {train.weights}")
    return needs
