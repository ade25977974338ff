"""Images a second of a training step, ours and PyTorch's, and of the input pipeline alone.

    python benchmarks/train_step.py
    python benchmarks/train_step.py --alpha 0.25 --set augmentation.cutout_px=8 --json
    python benchmarks/train_step.py --torch-python ~/torch/bin/python

For every alpha, on images in the recipe's size and number that are noise:

    float32, auto         our float step in both precisions of `mtf train --precision`
    ghost                 float32 with two ghost batches, computed side by side
    keras                 float32 layer by layer: 1x1 convolutions instead of matrix products, SiLU
                          and hard-swish in several ops instead of one kernel
    qat_live, qat_frozen  quantization-aware training: first and second part of its epochs
    qat_stock_tfmot       the same by stock tensorflow-model-optimization; left out where it refuses
                          a layer, as it does those of SiLU and hard-swish
    torch_MODE            the same network, loss and optimizer in PyTorch, channels last: eager and
                          compiled, float32 and with bfloat16 autocast; left out, with the reason,
                          where there is no torch (pip install torch==2.13.0)
    pipeline              the input pipeline with the recipe's augmentation, a batch

Blocks of steps in turns, so that a busy machine slows all alike. Each mode of PyTorch has a process
of its own, which runs alone and is stopped while others run; the first step of a block is not
timed. Times are medians; the speed-ups, medians of what a turn's float32 step (the fastest mode of
PyTorch, where the name says so) took by what it took.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import click
import numpy as np
from msgspec.structs import replace

from mobilenet_tf.data.batches import TrainingBatches
from mobilenet_tf.data.catalog import dataset_info
from mobilenet_tf.data.splits import Split
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.quantization.qat import calibrate, quantize_for_training, set_mode, set_norms
from mobilenet_tf.recipe import Recipe, load_recipe
from mobilenet_tf.runs.names import recipe_variant
from mobilenet_tf.runs.provenance import describe_versions, find_commit
from mobilenet_tf.system import terminal
from mobilenet_tf.system.hardware import describe_machine
from mobilenet_tf.training import trainer
from mobilenet_tf.training.precision import choose_precision, describe_precision
from mobilenet_tf.training.trainer import Trainer
from stock import quantize_stock
from torch_step import MODES, UnknownLayerError, find_obstacle, start_torch

WARMUP_STEPS = 3
BLOCK_STEPS = 4  # timed ones of a turn
PIPELINE_BATCHES = 20  # a turn
ENDLESS_EPOCHS = 1_000_000
COMPARED = {  # name -> (what, against what): how many times as fast
    "auto": ("auto", "float32"),
    "ghost": ("ghost", "float32"),
    "keras": ("keras", "float32"),
    "qat_live": ("qat_live", "float32"),
    "qat_frozen": ("qat_frozen", "float32"),
    "qat_stock_tfmot": ("qat_stock_tfmot", "float32"),
    "pipeline": ("pipeline", "float32"),
    "float32 to torch": ("float32", "torch"),
    "auto to torch": ("auto", "torch"),
    "ghost to torch": ("ghost", "torch"),
}
Step = Callable[[], float]  # takes a step, returns ms


@click.command()
@click.argument("recipe", default="cifar10")
@click.option("--alpha", "alphas", type=float, multiple=True, help="[default: 1.0, 0.5 and 0.25]")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE")
@click.option("--rounds", type=click.IntRange(min=1), default=12, show_default=True)
@click.option("--torch-python", default=sys.executable, help="Interpreter with torch.  [this one]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(
    *,
    recipe: str,
    alphas: tuple[float, ...],
    overrides: tuple[str, ...],
    rounds: int,
    torch_python: str,
    as_json: bool,
) -> None:
    """Measure training steps and the input pipeline of RECIPE, in turns."""
    obstacle = find_obstacle(torch_python)
    found = []
    for alpha in alphas or (1.0, 0.5, 0.25):
        settings = load_recipe(recipe, (*overrides, f"model.alpha={alpha}"))
        found.append(measure(settings, rounds, torch_python, obstacle))
        if not as_json:
            click.echo(format_alpha(found[-1]))
    result = {
        "recipe": recipe,
        "set": list(overrides),
        "rounds": rounds,
        "commit": find_commit(),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "alphas": found,
    }
    if as_json:
        click.echo(json.dumps(result, indent=2))


def measure(recipe: Recipe, rounds: int, torch_python: str, obstacle: str | None) -> dict[str, Any]:
    """Return what all of them take at the recipe's alpha."""
    variant = recipe_variant(recipe)
    with contextlib.ExitStack() as stack:
        steps, precision = build_steps(recipe)
        torch: dict[str, Any] = {"left_out": obstacle}
        if obstacle is None:
            try:
                for mode in MODES:
                    started = start_torch(torch_python, variant, recipe, mode)
                    steps[f"torch_{mode}"] = stack.enter_context(started)
                    torch = steps[f"torch_{mode}"].about
            except UnknownLayerError as error:
                torch = {"left_out": f"no counterpart for {error}"}
        turns_ms = take_turns(steps, rounds, variant.name)
    medians_ms = {name: statistics.median(times) for name, times in turns_ms.items()}
    theirs_by_mode = [name for name in medians_ms if name.startswith("torch_")]
    if theirs_by_mode:
        torch["best"] = min(theirs_by_mode, key=medians_ms.__getitem__)
        turns_ms["torch"] = turns_ms[torch["best"]]
    return {
        "alpha": recipe.model.alpha,
        "resolution_px": recipe.model.resolution_px,
        "batch_size": recipe.train.batch_size,
        "auto": precision,
        "torch": torch,
        "ms": {name: round(value, 2) for name, value in medians_ms.items()},
        "images_per_s": {
            name: round(recipe.train.batch_size / value * 1e3) for name, value in medians_ms.items()
        },
        "times_as_fast": {
            title: round(
                statistics.median(
                    theirs / ours
                    for ours, theirs in zip(turns_ms[what], turns_ms[against], strict=True)
                ),
                2,
            )
            for title, (what, against) in COMPARED.items()
            if {what, against} <= turns_ms.keys()
        },
    }


def build_steps(recipe: Recipe) -> tuple[dict[str, Any], str]:
    """Return our steps, ready to be called, and what "auto" chose."""
    batch_size, resolution_px = recipe.train.batch_size, recipe.model.resolution_px
    split = make_noise(recipe)
    batches = TrainingBatches(
        split=split,
        augmentation=recipe.augmentation,
        resolution_px=resolution_px,
        batch_size=batch_size,
        class_count=dataset_info(recipe.data.name).class_count,
        seed=0,
        epochs=ENDLESS_EPOCHS,
    )
    pipeline = iter(batches.from_epoch())
    batch = next(pipeline)
    model = build_float_model(recipe)
    chosen = choose_precision(model, "auto", batch_size=batch_size, deterministic=False)
    trainers = {
        "float32": Trainer(model, recipe.train),
        "auto": Trainer(
            build_float_model(recipe, policy=chosen.policy),
            recipe.train,
            bfloat16_layers=chosen.bfloat16_layers,
        ),
        "ghost": Trainer(model, replace(recipe.train, ghost_batches=2)),
        "keras": Trainer(model, recipe.train),
    }
    unchanged = mock.Mock(return_value=contextlib.nullcontext())
    with mock.patch.multiple(trainer, as_products=unchanged, as_one_kernel=unchanged):
        trainers["keras"].step(*batch)  # traced now
    for part in ("live", "frozen"):
        quantized = quantize_for_training(model)
        calibrate(quantized, split.images[:batch_size])
        set_mode(quantized, "observe" if part == "live" else "frozen")
        set_norms(quantized, live=part == "live")
        trainers[f"qat_{part}"] = Trainer(quantized, recipe.qat)
    with contextlib.suppress(RuntimeError):  # tfmot's, of a layer that it does not know
        trainers["qat_stock_tfmot"] = Trainer(quantize_stock(model), recipe.qat)
    steps: dict[str, Any] = {name: make_timed(trainer, batch) for name, trainer in trainers.items()}
    return steps | {"pipeline": make_timed_pipeline(pipeline)}, describe_precision(chosen, model)


def make_noise(recipe: Recipe) -> Split:
    """Return as many images as the recipe trains on, of the dataset's size."""
    info = dataset_info(recipe.data.name)
    count = info.train_count - recipe.data.validation_count
    random = np.random.default_rng(0)
    side_px = recipe.model.resolution_px
    return Split(
        random.integers(0, 256, (count, side_px, side_px, 3), dtype=np.uint8),
        random.integers(0, info.class_count, count),
    )


def make_timed(trainer: Trainer, batch: tuple[Any, Any]) -> Step:
    """Return what takes one step of a trainer."""

    def step() -> float:
        started = time.perf_counter()
        loss, _ = trainer.step(*batch)
        float(loss)  # wait for the result
        return (time.perf_counter() - started) * 1e3

    return step


def make_timed_pipeline(batches: Iterator[Any]) -> Step:
    """Return what takes batches of the pipeline, in ms a batch, past those prefetched."""

    def step() -> float:
        for _ in range(8):
            next(batches)
        started = time.perf_counter()
        for _ in range(PIPELINE_BATCHES):
            images, _ = next(batches)
            images.numpy()
        return (time.perf_counter() - started) * 1e3 / PIPELINE_BATCHES

    return step


def take_turns(steps: dict[str, Step], rounds: int, title: str) -> dict[str, list[float]]:
    """Return the times of every step in ms, one of each a round."""
    times_ms: dict[str, list[float]] = {name: [] for name in steps}
    with terminal.set_up():
        for step in terminal.track(steps.values(), f"{title} warm-up"):
            for _ in range(WARMUP_STEPS):
                step()
        for _ in terminal.track(range(rounds), f"{title} rounds"):
            for name, step in steps.items():
                step()  # the caches are its own again, and other processes' threads are asleep
                times_ms[name].append(statistics.median(step() for _ in range(BLOCK_STEPS)))
    return times_ms


def format_alpha(found: dict[str, Any]) -> str:
    """Return the figures of one alpha as a table."""
    lines = [
        f"alpha {found['alpha']:g}, {found['resolution_px']} px, batch {found['batch_size']};"
        f" auto: {found['auto']}"
    ]
    for name, ms in found["ms"].items():
        lines.append(f"  {name:<16} {ms:>9.2f} ms  {found['images_per_s'][name]:>9,} images/s")
    if found["torch"].get("left_out"):
        lines.append(f"  torch left out: {found['torch']['left_out']}")
    for title, times in found["times_as_fast"].items():
        what, against = COMPARED[title]
        against = found["torch"].get("best", against) if against == "torch" else against
        lines.append(f"  {what:<16} {times:>9.2f} times as fast as {against}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
