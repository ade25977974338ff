"""Int8 after training: the TFLite converter's against ai-edge-quantizer's.

    pip install ai-edge-quantizer==0.10.0
    python benchmarks/ptq.py artifacts/cifar10

Both quantize the float network of a finished run, calibrated on the same training images, three
draws of them; accuracy is that on the run's validation images.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import quantizer, recipe

from mobilenet_tf.data.catalog import dataset_info
from mobilenet_tf.data.pipeline import normalise, resize_bytes
from mobilenet_tf.data.sources import Split
from mobilenet_tf.data.training import choose_calibration, load_training_data
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.tflite.audit import audit
from mobilenet_tf.tflite.convert import convert

SEEDS = (1, 2, 3)
BATCH_SIZE = 100


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--count", default=512, show_default=True, help="Calibration images.")
@click.option("--data-dir", type=click.Path(path_type=Path))
def main(*, run: Path, count: int, data_dir: Path | None) -> None:
    """Compare the two on a finished RUN; prints JSON."""
    folder = RunFolder(run)
    settings = folder.load_recipe()
    data = load_training_data(settings, data_dir)
    if data.validation is None:
        raise click.UsageError(f"{run} holds out no validation images; there is nothing to score")
    model = build_float_model(settings, folder.stage("train"))
    about: dict[str, Any] = {
        "classes": dataset_info(settings.data.name).classes,
        "description": "a candidate of benchmarks/ptq.py",
    }
    side = settings.model.resolution_px
    source = convert(model, quantization="float32", **about)
    float_top1 = measure(source, data.validation, side)["top1"]
    rows = []
    for seed in SEEDS:
        images = choose_calibration(data.train, count, side, seed)
        files = {
            "converter": convert(
                model, quantization="int8_ptq", calibration_images=images, **about
            ),
            "ai_edge_quantizer": quantize(source, images),
        }
        rows += [
            {"by": name, "seed": seed} | measure(content, data.validation, side)
            for name, content in files.items()
        ]
    means = {
        name: float(np.mean([row["top1"] for row in rows if row["by"] == name]))
        for name in ("converter", "ai_edge_quantizer")
    }
    click.echo(json.dumps({"float_top1": float_top1, "mean_top1": means, "rows": rows}, indent=2))


def quantize(source: bytes, images: np.ndarray) -> bytes:
    """Return ai-edge-quantizer's full-integer file of a float one."""
    (signature,) = Interpreter(model_content=source).get_signature_list()
    worker = quantizer.Quantizer(source, recipe.static_wi8_ai8())
    batches = [{"image": normalise(image[np.newaxis])} for image in images]
    calibrated = worker.calibrate({signature: batches}, num_threads=2)
    quantized = worker.quantize(calibrated, enable_progress_report=False).quantized_model
    return bytes(quantized)


def measure(content: bytes, split: Split, resolution_px: int) -> dict[str, Any]:
    """Return accuracy, size and types of a file; the input's own scale maps bytes to levels."""
    interpreter = Interpreter(model_content=content, num_threads=2)
    (given,) = interpreter.get_input_details()
    (scores,) = interpreter.get_output_details()
    shape = [BATCH_SIZE, resolution_px, resolution_px, 3]
    interpreter.resize_tensor_input(given["index"], shape)
    interpreter.allocate_tensors()
    scale, zero_point = given["quantization"]
    right = 0
    for start in range(0, len(split.labels), BATCH_SIZE):
        images = resize_bytes(split.images[start : start + BATCH_SIZE], resolution_px)
        labels = split.labels[start : start + BATCH_SIZE]
        values = normalise(np.resize(images, shape))  # the last batch is filled up with repeats
        if scale:
            values = np.clip(np.rint(values / scale) + zero_point, -128, 127).astype(np.int8)
        interpreter.set_tensor(given["index"], values)
        interpreter.invoke()
        first = interpreter.get_tensor(scores["index"]).argmax(-1)[: len(labels)]
        right += int((first == labels).sum())
    found = audit(content)
    return {
        "top1": right / len(split.labels),
        "size_bytes": len(content),
        "input": [np.dtype(given["dtype"]).name, float(scale), int(zero_point)],
        "output": [np.dtype(scores["dtype"]).name, *map(float, scores["quantization"])],
        "float_tensors": len(found.float_tensors),
        "ops": len(found.ops),
        "conversion_ops": len(found.conversion_ops),
    }


if __name__ == "__main__":
    main()
