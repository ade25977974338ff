"""How an app feeds the file and reads its answer."""

from __future__ import annotations

from mobilenet_tf.report.summary import Summary
from mobilenet_tf.report.tables import Column, Table
from mobilenet_tf.report.templates import TEMPLATES, render
from mobilenet_tf.runs.results import BenchmarkRow

INPUT_RULES = {
    "int8": ("byte - 128", "scale 1/128, zero point 0"),
    "uint8": ("the byte itself", "scale 1/128, zero point 128"),
    "float32": ("(byte - 128) / 128", "not quantized"),
}
PROBABILITY_RULES = {
    "int8": ("(value + 128) / 256", "scale 1/256, zero point -128"),
    "uint8": ("value / 256", "scale 1/256, zero point 0"),
    "float32": ("the value itself", "not quantized"),
}
RUNTIMES = {  # what takes which type of input and output
    "int8": "LiteRT on Android, in C++ and in Python; TensorFlow Lite Micro",
    "uint8": "MediaPipe, LiteRT.js, TensorFlowLiteSwift",
    "float32": "GPUs in the browser",
}
SQUARES = {
    "crop": "cut to the largest centred square",
    "pad": "whole, between grey bars (128)",
    "stretch": "squeezed to a square",
}
LOGIT_RULE = ("(value - zero point) * scale", "stored in the file's output tensor")
INLINE_CLASSES = 20
SNIPPETS = (  # of a project of `mtf app`: what it is for, and the file below `templates/code`
    ("Kotlin", "usage.kt", "kotlin"),
    ("Swift", "usage.swift", "swift"),
    ("JavaScript", "usage.mjs", "js"),
)


def shown_file(summary: Summary) -> BenchmarkRow | None:
    """Return the file the report explains: the int8 one, else the first `.tflite` there is."""
    files = [artifact.row for artifact in summary.artifacts if artifact.row.format == "tflite"]
    return summary.headline.row if summary.headline else next(iter(files), None)


def mapping_table(summary: Summary) -> Table | None:
    """Return how bytes become the input and how the output becomes scores."""
    row, recipe = shown_file(summary), summary.record.recipe
    if row is None:
        return None
    side, logits = recipe.model.resolution_px, recipe.export.logits
    scaled = logits and row.io_type != "float32"
    rule = LOGIT_RULE if scaled else PROBABILITY_RULES[row.io_type]
    output = "logits" if logits else "probabilities"
    return Table(
        "Input and output",
        (
            Column("tensor", align="left", code=True),
            Column("shape", align="left"),
            Column("type", align="left", code=True),
            Column("value", align="left", code=True),
            Column("quantization", align="left"),
        ),
        (
            ("image", f"1 x {side} x {side} x 3", row.io_type, *INPUT_RULES[row.io_type]),
            (output, f"1 x {len(row.per_class)}", row.io_type, *rule),
        ),
        f"The image: turned upright as EXIF says, in RGB, {SQUARES[recipe.data.resize]}, resized to"
        f" {side} x {side} with antialiasing. byte: a channel of a pixel, 0 to 255. Signature:"
        " serving_default.",
    )


def runtimes_table(summary: Summary) -> Table | None:
    """Return which file is for which runtime: the int8 one and its twins."""
    row, export = shown_file(summary), summary.record.stages.export
    files = (
        [f for f in export.metrics.files if f.quantization == row.quantization]
        if (row and export)
        else []
    )
    if not files or not files[0].quantization.startswith("int8"):
        return None
    return Table(
        "Which file for which runtime",
        (
            Column("file", align="left", code=True),
            Column("input and output", align="left", code=True),
            Column("for", align="left"),
        ),
        tuple((f.file, f.io_type, RUNTIMES[f.io_type]) for f in (files[0], *files[0].twins)),
        "The same scores, byte for byte; the classes are in each. For GPUs in the browser: mtf"
        f" convert {files[0].file} --io-type float32.",
    )


def python_example(summary: Summary) -> str:
    """Return a Python program that classifies one image with the file; empty without a file."""
    row, recipe = shown_file(summary), summary.record.recipe
    if row is None:
        return ""
    classes = list(summary.classes)
    return render(
        "example.py.jinja",
        row=row,
        classes=classes if 0 < len(classes) <= INLINE_CLASSES else None,
        side=recipe.model.resolution_px,
        logits=recipe.export.logits,
        rule=recipe.data.resize,
    ).strip()


def app_snippets() -> tuple[tuple[str, str, str], ...]:
    """Return how code of an app's own calls a project of `mtf app`: title, code, its language."""
    code = TEMPLATES / "code"
    return tuple(
        (title, (code / file).read_text("utf-8").strip(), language)
        for title, file, language in SNIPPETS
    )
