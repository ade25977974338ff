"""Pictures a second of the input pipeline by itself, against the training step that eats them.

    python benchmarks/input_pipeline.py
    python benchmarks/input_pipeline.py --alpha 0.25 --cutout 8 --mixup 0.2 --json

The two are measured in turns, so that a busy machine slows both; each figure is the median of
its rounds. The pipeline should deliver at least ten times what the step takes.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import click
import numpy as np

from mobilenet_tf.data.pipeline import make_training_batches
from mobilenet_tf.data.splits import Split
from mobilenet_tf.keras import tf
from mobilenet_tf.models.keras_builder import build_model
from mobilenet_tf.recipe import AugmentationSettings, FitSettings
from mobilenet_tf.training.fit import Trainer

CLASS_COUNT = 10
ENDLESS_EPOCHS = 1_000_000


@click.command()
@click.option("--alpha", type=float, default=0.5, show_default=True, help="Width multiplier.")
@click.option("--resolution", type=int, default=32, show_default=True, help="Input side, pixels.")
@click.option("--batch-size", type=int, default=128, show_default=True)
@click.option("--count", type=int, default=45_000, show_default=True, help="Training pictures.")
@click.option("--crop-padding", type=int, default=4, show_default=True, help="Pixels; 0: no crop.")
@click.option("--flip/--no-flip", default=True, show_default=True)
@click.option("--cutout", type=int, default=8, show_default=True, help="Pixels; 0: none.")
@click.option("--mixup", type=float, default=0.0, show_default=True, help="Alpha; 0: none.")
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True)
@click.option("--round-s", type=float, default=1.5, show_default=True, help="Seconds a turn.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(  # noqa: PLR0917  # click passes them by name
    alpha: float,
    resolution: int,
    batch_size: int,
    count: int,
    crop_padding: int,
    flip: bool,
    cutout: int,
    mixup: float,
    rounds: int,
    round_s: float,
    as_json: bool,
) -> None:
    """Measure the input pipeline and the training step, in pictures a second."""
    augmentation = AugmentationSettings(
        crop_padding_px=crop_padding, flip=flip, cutout_px=cutout, mixup_alpha=mixup
    )
    random = np.random.default_rng(0)
    split = Split(
        random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8),
        random.integers(0, CLASS_COUNT, count),
    )
    dataset = make_training_batches(
        split,
        augmentation,
        resolution_px=resolution,
        batch_size=batch_size,
        class_count=CLASS_COUNT,
        seed=0,
        epochs=ENDLESS_EPOCHS,
    )
    model = build_model(
        "mobilenet_v1",
        alpha=alpha,
        resolution_px=resolution,
        classes=CLASS_COUNT,
        stride_plan="cifar" if resolution < 96 else "imagenet",
    )
    trainer = Trainer(model, FitSettings())
    batch = next(iter(dataset))
    turns = {
        "pipeline": lambda: measure_pipeline(dataset, batch_size, round_s),
        "step": lambda: measure(lambda: trainer.step(*batch), batch_size, round_s),
    }
    figures: dict[str, list[float]] = {name: [] for name in turns}
    for turn in turns.values():  # compile and warm up
        turn()
    for _ in range(rounds):
        for name, turn in turns.items():
            figures[name].append(turn())
    medians = {name: statistics.median(values) for name, values in figures.items()}
    report(
        {
            "alpha": alpha,
            "resolution_px": resolution,
            "batch_size": batch_size,
            "crop_padding_px": crop_padding,
            "flip": flip,
            "cutout_px": cutout,
            "mixup_alpha": mixup,
            "rounds": rounds,
            "pipeline_images_per_s": round(medians["pipeline"]),
            "step_images_per_s": round(medians["step"]),
            "ratio": round(medians["pipeline"] / medians["step"], 1),
            "cores": os.cpu_count(),
            "tensorflow": tf.__version__,
            "python": platform.python_version(),
        },
        as_json=as_json,
    )


def measure_pipeline(dataset: tf.data.Dataset, batch_size: int, duration_s: float) -> float:
    """Return pictures a second of a fresh iterator, not counting its start."""
    batches: Iterator[Any] = iter(dataset)
    for _ in range(8):  # past what was prefetched while nobody waited
        next(batches)
    return measure(lambda: next(batches), batch_size, duration_s)


def measure(work: Callable[[], Any], batch_size: int, duration_s: float) -> float:
    """Return pictures a second of `work`, one batch a call, repeated for `duration_s`."""
    started = time.perf_counter()
    calls = 0
    while (elapsed := time.perf_counter() - started) < duration_s or calls < 2:
        outputs = work()
        np.asarray(outputs[0])  # wait for the result
        calls += 1
    return calls * batch_size / elapsed


def report(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    click.echo(
        f"alpha {result['alpha']}, {result['resolution_px']} px, batch {result['batch_size']},"
        f" {result['cores']} cores, median of {result['rounds']} rounds"
    )
    click.echo(f"input pipeline  {result['pipeline_images_per_s']:>9,} images/s")
    click.echo(f"training step   {result['step_images_per_s']:>9,} images/s")
    click.echo(f"ratio           {result['ratio']:>9}")


if __name__ == "__main__":
    main()
