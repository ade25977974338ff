"""Memory and speed of the way from image files to training batches.

    python benchmarks/own_images.py speed FOLDER
    python benchmarks/own_images.py memory 10000 && python benchmarks/own_images.py memory 200000
    python benchmarks/own_images.py classes
    python benchmarks/own_images.py fold FOLDER --weights FILE --set train.learning_rate=0.003

`speed` compares the input pipeline of the recipe `folder`, reading decoded images from disk, with
its float training step, a round of each in turns; `memory` decodes that many generated JPEGs of
24x18 px into a store and reads 2,000 batches of it. `classes` learns five classes of CIFAR-10 from
100 images each, from the weights of a network that has learned the other five, and from random
ones. `fold` trains the float network of the recipe `transfer` on four fifths of all images of a
folder, whatever their part, and measures it on the rest after the last epoch: five times as many
images as a validation set has tell settings apart.
"""

from __future__ import annotations

import io
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

import mobilenet_tf as mtf
from mobilenet_tf.data.batches import TrainingBatches
from mobilenet_tf.data.folder import index_images
from mobilenet_tf.data.index import TRAIN, ImageIndex
from mobilenet_tf.data.photographs import (
    TRAINING_MARGIN,
    choose_recipe,
    open_photographs,
    settle_source,
)
from mobilenet_tf.data.sources import default_data_dir
from mobilenet_tf.data.splits import Split
from mobilenet_tf.data.stored import CACHE_FOLDER, store_images
from mobilenet_tf.evaluation.metrics import evaluate, make_keras_predict_fn
from mobilenet_tf.models.weights import load_features, save_weights
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.recipe import (
    AugmentationSettings,
    Recipe,
    TrainSettings,
    load_recipe,
    replace_settings,
)
from mobilenet_tf.training.head import fit_head
from mobilenet_tf.training.loop import FitPlan, fit
from mobilenet_tf.training.trainer import Trainer, seed_everything
from train_step import make_timed, make_timed_pipeline, take_turns

MEMORY_BATCHES = 2000
IMAGES_OF_A_CLASS = 100
RANDOM_RATE, PRETRAINED_RATE = 0.05, 0.02  # peaks, for batches of 32


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


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--weights", type=click.Path(path_type=Path), help="None: from scratch.")
@click.option("--number", default=0, show_default=True, help="Of the fold measured on, 0 to 4.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE")
def fold(folder: Path, weights: Path | None, number: int, overrides: tuple[str, ...]) -> None:
    """Measure settings of the recipe `transfer` on a fifth of the images of FOLDER."""
    index = index_images(folder)
    described = {"data.path": str(folder), "data.classes": index.classes}
    recipe = replace_settings(load_recipe("transfer", overrides), described)
    seed_everything(recipe.seed, deterministic=False)
    held_out = _draw_fold(index.labels) == number
    side_px, model = recipe.model.resolution_px, build_float_model(recipe)
    train = _store(index.keep(~held_out), recipe, round(TRAINING_MARGIN * side_px))
    if weights is not None:
        load_features(model, weights, dataset=folder.name)
        fit_head(model, train, seed=recipe.seed)
    with tempfile.TemporaryDirectory() as work:
        plan = FitPlan("train", recipe.train, recipe.augmentation, recipe.seed, Path(work))
        metrics = fit(model, train, None, plan)
    test = _store(index.keep(held_out), recipe, side_px)
    score = evaluate(make_keras_predict_fn(model), test)
    click.echo(f"{score.top1:.2%} of {len(test)} images right, loss {score.loss:.3f},")
    click.echo(f"{recipe.train.epochs} epochs in {metrics.fit_time_s:.0f} s")


def _draw_fold(labels: np.ndarray) -> np.ndarray:
    """Return the fold of each image, 0 to 4, every class spread evenly."""
    folds, random, first = np.zeros(len(labels), int), np.random.RandomState(7), 0
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        folds[rows] = (np.arange(len(rows)) + first) % 5
        first += len(rows)
    return folds


def _store(index: ImageIndex, recipe: Recipe, side_px: int) -> Split:
    images = store_images(
        index,
        resolution_px=side_px,
        rule=recipe.data.resize,
        cache=default_data_dir() / CACHE_FOLDER,
        unreadable_share=recipe.data.unreadable_share,
    )
    return Split(images, images.index.labels)


@main.command()
@click.option("--source-epochs", default=10, show_default=True)
@click.option("--epochs", default=60, show_default=True)
@click.option("--seeds", default=3, show_default=True)
def classes(source_epochs: int, epochs: int, seeds: int) -> None:
    """Compare initial weights on the last five classes of CIFAR-10, 100 training images of each."""
    data = mtf.load_dataset("cifar10", validation_count=0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "source.safetensors"
        source = _create_model(seed=1)
        of_others = partial(_choose, labels=range(5))
        mtf.train(source, _make_dataset(of_others(data.train), data), epochs=source_epochs)
        others = of_others(data.test)
        click.echo(f"the first five classes: {_score(source, others):.2%} of {len(others):,}")
        save_weights(source, file, {"dataset": "the first five classes"})
        test = _choose(data.test, range(5, 10))
        for seed in range(1, seeds + 1):
            few = _make_dataset(_choose(data.train, range(5, 10), IMAGES_OF_A_CLASS, seed), data)
            for pretrained in (False, True):
                model = _create_model(seed)
                if pretrained:
                    load_features(model, file, dataset="the last five classes")
                settings = TrainSettings(head_first=pretrained)
                rate = PRETRAINED_RATE if pretrained else RANDOM_RATE
                mtf.train(
                    model,
                    few,
                    epochs=epochs,
                    learning_rate=rate,
                    batch_size=32,
                    seed=seed,
                    settings=settings,
                )
                weights = "trained" if pretrained else "random"
                click.echo(f"seed {seed}, {weights} weights: {_score(model, test):.2%}")


def _create_model(seed: int) -> Any:
    return mtf.create_model("mobilenet_v1", alpha=0.25, resolution=32, classes=5, seed=seed)


def _make_dataset(train: Split, like: mtf.Dataset) -> mtf.Dataset:
    return mtf.Dataset("five classes", like.classes[:5], train, None, train, flip_safe=True)


def _choose(split: Split, labels: range, count: int | None = None, seed: int = 0) -> Split:
    """Return the images of some labels, or `count` of each, their labels counted from 0."""
    random, rows = np.random.RandomState(seed), []
    for label in labels:
        rows.append(random.permutation(np.flatnonzero(split.labels == label))[:count])
    chosen = split.take(np.sort(np.concatenate(rows)))
    return Split(chosen.images, chosen.labels - labels.start)


def _score(model: Any, split: Split) -> float:
    return evaluate(make_keras_predict_fn(model), split).top1


def _make_batches(
    split: Split, settings: AugmentationSettings, batch_size: int, side_px: int, epochs: int
) -> Any:
    batches = TrainingBatches(
        split=split,
        augmentation=settings,
        resolution_px=side_px,
        batch_size=batch_size,
        class_count=10,
        seed=1,
        epochs=epochs,
    )
    return batches.from_epoch()


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
