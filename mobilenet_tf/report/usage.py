"""How an app feeds the file and reads its answer."""

from __future__ import annotations

from mobilenet_tf.report.summary import Summary
from mobilenet_tf.report.tables import Column, Table
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
LOGIT_RULE = ("(value - zero point) * scale", "stored in the file's output tensor")
PYTHON_INPUTS = {
    "int8": "(pixels.astype(np.int16) - 128).astype(np.int8)",
    "uint8": "pixels",
    "float32": "(pixels.astype(np.float32) - 128) / 128",
}
PYTHON_PROBABILITIES = {
    "int8": "(values.astype(np.float32) + 128) / 256",
    "uint8": "values.astype(np.float32) / 256",
    "float32": "values",
}
INLINE_CLASSES = 20


def shown_file(summary: Summary) -> BenchmarkRow | None:
    """Return the file the report explains: the int8 one, else the first `.tflite` there is."""
    files = [artifact.row for artifact in summary.artifacts if artifact.row.format == "tflite"]
    return summary.headline.row if summary.headline else next(iter(files), None)


def mapping_table(summary: Summary) -> Table | None:
    """Return how bytes become the input and how the output becomes scores."""
    row = shown_file(summary)
    if row is None:
        return None
    side = summary.record.recipe.model.resolution_px
    shape, scores = f"1 x {side} x {side} x 3", f"1 x {len(row.per_class)}"
    rule = _output_rule(summary, row)
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
            ("image", shape, row.io_type, *INPUT_RULES[row.io_type]),
            (_output_name(summary), scores, row.io_type, *rule),
        ),
        "byte: a channel of an RGB pixel, 0 to 255. Signature: serving_default.",
    )


def python_example(summary: Summary) -> str:
    """Return a Python program that classifies one image with the file; empty without a file."""
    row = shown_file(summary)
    if row is None:
        return ""
    side = summary.record.recipe.model.resolution_px
    if 0 < len(summary.classes) <= INLINE_CLASSES:
        classes = f"classes = {list(summary.classes)!r}"
        imports = ["import numpy as np"]
    else:
        classes = 'classes = json.loads(Path("report.json").read_text("utf-8"))["classes"]'
        imports = ["import json", "from pathlib import Path", "", "import numpy as np"]
    name = _output_name(summary)
    lines = [
        *imports,
        "from ai_edge_litert.interpreter import Interpreter",
        "from PIL import Image",
        "",
        classes,
        f"interpreter = Interpreter({row.file!r})",
        'image = Image.open("image.png").convert("RGB")',
        f"pixels = np.asarray(image.resize(({side}, {side}), Image.Resampling.BILINEAR))[None]",
        'classify = interpreter.get_signature_runner("serving_default")',
        f'values = classify(image={PYTHON_INPUTS[row.io_type]})["{name}"][0]',
        *_python_scores(summary, row, name),
        f"best = int({name}.argmax())",
        f"print(classes[best], float({name}[best]))",
    ]
    return "\n".join(lines)


def _python_scores(summary: Summary, row: BenchmarkRow, name: str) -> list[str]:
    if not _logits(summary):
        return [f"probabilities = {PYTHON_PROBABILITIES[row.io_type]}"]
    if row.io_type == "float32":
        return ["logits = values"]
    return [
        'scale, zero_point = interpreter.get_output_details()[0]["quantization"]',
        f"{name} = (values.astype(np.float32) - zero_point) * scale",
    ]


def _output_rule(summary: Summary, row: BenchmarkRow) -> tuple[str, str]:
    if _logits(summary) and row.io_type != "float32":
        return LOGIT_RULE
    return PROBABILITY_RULES[row.io_type]


def _output_name(summary: Summary) -> str:
    return "logits" if _logits(summary) else "probabilities"


def _logits(summary: Summary) -> bool:
    return summary.record.recipe.export.logits
