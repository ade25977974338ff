"""How much longer a step of quantization-aware training takes than the float step.

    python benchmarks/qat_step.py
    python benchmarks/qat_step.py --alpha 1.0 --rounds 20 --json

The float step, ours with ranges followed and with ranges frozen, and stock
tensorflow-model-optimization, one step each in turns, so that a busy machine slows all alike.
Figures are medians; the ratios to the float step are what to look at.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from typing import Any

import click
import numpy as np

from mobilenet_tf.keras import tf
from mobilenet_tf.models.keras_builder import build_model
from mobilenet_tf.quantization.qat import calibrate, quantize_for_training, set_mode, set_norms
from mobilenet_tf.recipe import QatSettings
from mobilenet_tf.training.fit import Trainer
from stock import quantize_stock

CLASS_COUNT = 10
WARMUP_STEPS = 3


@click.command()
@click.option("--alpha", type=float, default=0.5, show_default=True, help="Width multiplier.")
@click.option("--resolution", type=int, default=32, show_default=True, help="Input side, pixels.")
@click.option("--batch-size", type=int, default=128, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=15, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(*, alpha: float, resolution: int, batch_size: int, rounds: int, as_json: bool) -> None:
    """Measure the steps of float and of quantization-aware training."""
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (batch_size, resolution, resolution, 3)).astype(np.uint8)
    batch = (
        tf.constant((pictures.astype(np.float32) - 128) / 128),
        tf.one_hot(random.integers(0, CLASS_COUNT, batch_size), CLASS_COUNT),
    )
    model = build_model(
        "mobilenet_v1",
        alpha=alpha,
        resolution_px=resolution,
        classes=CLASS_COUNT,
        stride_plan="cifar" if resolution < 96 else "imagenet",
    )
    steps = {"float": Trainer(model, QatSettings()).step}
    for mode in ("observe", "frozen"):
        quantized = quantize_for_training(model)
        calibrate(quantized, pictures)
        set_mode(quantized, mode)
        set_norms(quantized, live=mode == "observe")
        steps[f"qat_{mode}"] = Trainer(quantized, QatSettings()).step
        steps[f"qat_{mode}"](*batch)  # traced now, in this mode
    steps["qat_stock_tfmot"] = Trainer(quantize_stock(model), QatSettings()).step
    times_ms = time_in_turns(steps, batch, rounds)
    float_ms = times_ms["float"]
    result = {
        "alpha": alpha,
        "resolution_px": resolution,
        "batch_size": batch_size,
        "rounds": rounds,
        "cores": os.cpu_count(),
        "tensorflow": tf.__version__,
        "step_ms": {name: round(value, 1) for name, value in times_ms.items()},
        "ratio_to_float": {name: round(value / float_ms, 2) for name, value in times_ms.items()},
    }
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    click.echo(f"alpha {alpha}, {resolution} px, batch {batch_size}, {os.cpu_count()} cores")
    for name, ratio in result["ratio_to_float"].items():
        click.echo(f"{name:<16} {times_ms[name]:>8.1f} ms  {ratio:>5.2f} x float")


def time_in_turns(steps: dict[str, Any], batch: tuple[Any, Any], rounds: int) -> dict[str, float]:
    """Return the median time of each step in ms."""
    for step in steps.values():
        for _ in range(WARMUP_STEPS):
            step(*batch)
    taken_ms: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            started = time.perf_counter()
            loss, _ = step(*batch)
            float(loss)  # wait for the result
            taken_ms[name].append((time.perf_counter() - started) * 1e3)
    return {name: statistics.median(values) for name, values in taken_ms.items()}


if __name__ == "__main__":
    main()
