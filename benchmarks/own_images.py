"""Memory and speed of the way from image files to training batches.

    python benchmarks/own_images.py speed FOLDER
    python benchmarks/own_images.py memory 10000 && python benchmarks/own_images.py memory 200000

`speed` compares the input pipeline of the recipe `folder`, reading decoded images from disk, with
its float training step, a round of each in turns; `memory` decodes that many generated JPEGs of
24x18 px into a store and reads 2,000 batches of it.
"""

from __future__ import annotations

import io
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from mobilenet_tf.data.folder import index_images
from mobilenet_tf.data.index import TRAIN
from mobilenet_tf.data.photographs import choose_recipe, open_photographs, settle_source
from mobilenet_tf.data.pipeline import make_training_batches
from mobilenet_tf.data.splits import Split
from mobilenet_tf.data.stored import store_images
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.recipe import AugmentationSettings, replace_settings
from mobilenet_tf.training.trainer import Trainer
from train_step import make_timed, make_timed_pipeline, take_turns

MEMORY_BATCHES = 2000


@click.group()
def main() -> None:
    """Measure the way from image files to training batches."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--rounds", default=12, show_default=True)
def speed(folder: Path, rounds: int) -> None:
    """Compare the input pipeline of FOLDER with a training step."""
    recipe = choose_recipe(index_images(folder), transfer=False)
    recipe = settle_source(replace_settings(recipe, {"data.path": str(folder)}), None)
    split, _ = open_photographs(recipe, None).split(TRAIN)
    batches = iter(_make_batches(split, recipe.augmentation, 64, recipe.model.resolution_px, 1000))
    trainer = Trainer(build_float_model(recipe), recipe.train)
    steps = {"step": make_timed(trainer, next(batches)), "pipeline": make_timed_pipeline(batches)}
    turns_ms = take_turns(steps, rounds, folder.name)
    for name, times in turns_ms.items():
        click.echo(f"{name}: {64 / statistics.median(times) * 1e3:,.0f} images a second")
    pairs = zip(turns_ms["step"], turns_ms["pipeline"], strict=True)
    click.echo(f"pipeline: {statistics.median(s / p for s, p in pairs):.1f} times as fast")


@main.command()
@click.argument("count", type=int)
def memory(count: int) -> None:
    """Say what COUNT images take in memory, from the index to batches."""
    with tempfile.TemporaryDirectory() as name:
        _say("before", None)
        root = _generate(Path(name) / "images", count)
        index = _say("index", lambda: index_images(root))
        images = _say(
            "store",
            lambda: store_images(
                index, resolution_px=32, rule="crop", cache=Path(name), unreadable_share=0.0
            ),
        )
        split = Split(images, images.index.labels)
        settings = AugmentationSettings(crop_padding_px=0)
        batches = _make_batches(split, settings, 64, 28, 1000)
        _say("batches", lambda: sum(1 for _ in batches.take(MEMORY_BATCHES)))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    click.echo(f"{count:,} images: peak {peak_mb:.0f} MB")


def _make_batches(
    split: Split, settings: AugmentationSettings, batch_size: int, side_px: int, epochs: int
) -> Any:
    return make_training_batches(
        split,
        settings,
        resolution_px=side_px,
        batch_size=batch_size,
        class_count=10,
        seed=1,
        epochs=epochs,
    )


def _generate(root: Path, count: int) -> Path:
    """Write `count` small JPEGs of ten classes, of which 200 differ."""
    random, files = np.random.RandomState(0), []
    for _ in range(200):
        content = io.BytesIO()
        coarse = random.randint(0, 256, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(coarse).resize((24, 18)).save(content, "JPEG")
        files.append(content.getvalue())
    for label in range(10):
        (root / f"class{label}").mkdir(parents=True)
    for number in range(count):
        (root / f"class{number % 10}/{number}.jpg").write_bytes(files[number % 200])
    return root


def _say(what: str, work: Callable[[], Any] | None) -> Any:
    """Do something, and say how long it took and what memory the process holds after it."""
    started = time.perf_counter()
    result = work() if work else None
    status = Path("/proc/self/status").read_text("utf-8")
    held_kb = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    click.echo(f"{what}: {time.perf_counter() - started:.1f} s, {held_kb / 1024:.0f} MB held")
    return result


if __name__ == "__main__":
    main()
