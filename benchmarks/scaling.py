"""What several machines are worth: a step measured here, the network between them on paper.

    python benchmarks/scaling.py
    python benchmarks/scaling.py cifar10 --batch-size 4096 --gbit-per-s 25 --message-us 20

Measured, in turns: the float step by itself and under MultiWorkerMirroredStrategy with one worker
(the strategy's overhead), and the step on the part of the batch that each of several workers gets.

On paper: N workers add up S bytes in a ring in 2 (N - 1) messages of S / N bytes, each of which
takes the stated latency and its bytes at the stated rate (Patarasuk and Yuan 2009,
doi:10.1016/j.jpdc.2008.09.002). A step adds up all gradients once, and, one layer after the other,
the sums of every batch normalisation, forwards and backwards.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from typing import Any

import click

from mobilenet_tf.keras import keras, tf
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.runs.provenance import find_commit
from mobilenet_tf.system.hardware import describe_machine
from mobilenet_tf.training.trainer import Trainer
from mobilenet_tf.training.workers import Workers
from train_step import make_timed, take_turns

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Network:
    """What connects the machines, in a ring."""

    gbit_per_s: float
    message_us: float

    def add_up_ms(self, size_bytes: float, count: int) -> float:
        """Return how long `count` workers take to add up `size_bytes` that each of them has."""
        byte_ms = 8 / (self.gbit_per_s * 1e6)
        return 2 * (count - 1) * (self.message_us / 1e3 + size_bytes / count * byte_ms)


@click.command()
@click.argument("recipe", default="cifar10")
@click.option("--batch-size", default=1024, show_default=True, help="Of all workers together.")
@click.option("--gbit-per-s", default=10.0, show_default=True, help="Rate of the network.")
@click.option("--message-us", default=50.0, show_default=True, help="Latency of one message.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(
    *,
    recipe: str,
    batch_size: int,
    gbit_per_s: float,
    message_us: float,
    overrides: tuple[str, ...],
    rounds: int,
    as_json: bool,
) -> None:
    """Measure the step of RECIPE, and predict it for 1 to 256 workers with one global batch."""
    settings = load_recipe(recipe, (*overrides, f"train.batch_size={batch_size}"))
    model = build_float_model(settings)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    trainer = Trainer(model, settings.train)
    managed = Trainer(model, settings.train, workers=Workers(strategy=strategy))
    counts = [count for count in COUNTS if batch_size % count == 0]
    steps = {
        f"{batch_size // count} images": make_timed(trainer, draw_batch(model, batch_size // count))
        for count in counts
    }
    steps["with the strategy"] = make_timed(managed, draw_batch(model, batch_size))
    turns_ms = take_turns(steps, rounds, settings.model.name)
    alone, under = turns_ms[f"{batch_size} images"], turns_ms["with the strategy"]
    network, rows = Network(gbit_per_s, message_us), []
    for count in counts:
        compute_ms = statistics.median(turns_ms[f"{batch_size // count} images"])
        wait_ms = sum(network.add_up_ms(size, count) for size in added_up_bytes(model))
        rows.append(describe_row(count, batch_size, compute_ms, wait_ms, rows))
    result = {
        "recipe": recipe,
        "set": list(overrides),
        "batch_size": batch_size,
        "gbit_per_s": gbit_per_s,
        "message_us": message_us,
        "gradient_kb": round(max(added_up_bytes(model)) / 1e3, 1),
        "sums_per_step": len(added_up_bytes(model)),
        "strategy_to_alone": round(
            statistics.median(b / a for a, b in zip(alone, under, strict=True)), 3
        ),
        "workers": rows,
        "commit": find_commit(),
        "machine": describe_machine(),
    }
    click.echo(json.dumps(result, indent=2) if as_json else format_table(result))


def draw_batch(model: Any, count: int) -> tuple[Any, Any]:
    """Return noise of the model's size with labels."""
    images = tf.random.uniform((count, *model.input_shape[1:]), -1, 1)
    labels = tf.random.uniform((count,), maxval=model.output_shape[-1], dtype=tf.int32)
    return images, tf.one_hot(labels, model.output_shape[-1])


def added_up_bytes(model: Any) -> list[int]:
    """Return the size of every sum over workers that one step waits for."""
    gradients = sum(int(tf.size(v)) for v in model.trainable_variables) + 2  # loss, share right
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    statistics_of = [2 * int(tf.size(layer.moving_mean)) for layer in norms for _ in range(2)]
    return [FLOAT_BYTES * size for size in (gradients, *statistics_of)]


def describe_row(
    count: int, batch_size: int, compute_ms: float, wait_ms: float, before: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the row of `count` workers; speed-ups are against the first row."""
    step_ms = compute_ms + wait_ms
    alone_ms = before[0]["step_ms"] if before else step_ms
    return {
        "workers": count,
        "images_each": batch_size // count,
        "compute_ms": round(compute_ms, 1),
        "wait_ms": round(wait_ms, 1),
        "step_ms": round(step_ms, 1),
        "times_as_fast": round(alone_ms / step_ms, 1),
    }


def format_table(result: dict[str, Any]) -> str:
    """Return the result as a Markdown table."""
    lines = [
        f"{result['gradient_kb']:,} KB of gradients, {result['sums_per_step']} sums a step,"
        f" {result['gbit_per_s']:g} Gbit/s, {result['message_us']:g} us a message; with the"
        f" strategy and one worker a step takes {result['strategy_to_alone']:.3f} times as long",
        "",
        "| workers | images each | compute ms | network ms | step ms | times as fast |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for row in result["workers"]:
        cells = [f"{value:,}" for value in row.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
