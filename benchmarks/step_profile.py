"""Where a float training step spends its time: TensorFlow's own profile, summed by kind of op.

    python benchmarks/step_profile.py
    python benchmarks/step_profile.py --alpha 1.0 --set train.precision=bfloat16

Ops of both threads count in full, so the shares are of the work, not of the wall clock.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import click
import numpy as np

from mobilenet_tf.data.catalog import dataset_info
from mobilenet_tf.keras import tf
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.training.precision import choose_precision
from mobilenet_tf.training.trainer import Trainer

WARMUP_STEPS = 3
KINDS = {  # op, without oneDNN's prefixes -> what it belongs to
    "MatMul": "matrix products with their gradients",
    "Conv2D": "first convolution with its gradient",
    "Conv2DBackpropFilter": "first convolution with its gradient",
    "DepthwiseConv2dNative": "depthwise convolutions",
    "DepthwiseConv2dNativeBackpropInput": "depthwise convolutions, gradients",
    "DepthwiseConv2dNativeBackpropFilter": "depthwise convolutions, gradients",
    "FusedBatchNormV3": "batch normalisation",
    "FusedBatchNormGradV3": "batch normalisation, gradient",
    "Relu6": "ReLU6",
    "Relu6Grad": "ReLU6, gradient",
    "Cast": "casts to and from bfloat16",
    "ResourceApplyKerasMomentum": "optimizer and weight decay",
    "AssignSubVariableOp": "optimizer and weight decay",
}


@click.command()
@click.argument("recipe", default="cifar10")
@click.option("--alpha", type=float, default=0.5, show_default=True)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE")
@click.option("--steps", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(
    *, recipe: str, alpha: float, overrides: tuple[str, ...], steps: int, as_json: bool
) -> None:
    """Profile the float step of RECIPE on images that are noise."""
    settings = load_recipe(recipe, (*overrides, f"model.alpha={alpha}"))
    model = build_float_model(settings)
    precision = choose_precision(
        model,
        settings.train.precision,
        batch_size=settings.train.batch_size,
        deterministic=settings.deterministic,
    )
    learner = build_float_model(settings, policy=precision.policy)
    trainer = Trainer(learner, settings.train, bfloat16_layers=precision.bfloat16_layers)
    classes = dataset_info(settings.data.name).class_count
    count = settings.train.batch_size
    random = np.random.default_rng(0)
    batch = (
        tf.constant(random.normal(size=(count, *model.input_shape[1:])).astype(np.float32)),
        tf.one_hot(random.integers(0, classes, count), classes),
    )
    totals_ms = profile(trainer, batch, steps)
    whole = totals_ms.total()
    shares = {kind: round(ms / whole, 3) for kind, ms in totals_ms.most_common()}
    if as_json:
        click.echo(json.dumps({"alpha": alpha, "steps": steps, "share": shares}, indent=2))
        return
    for kind, share in shares.items():
        click.echo(f"{share:>6.1%}  {kind}")


def profile(trainer: Trainer, batch: tuple[Any, Any], steps: int) -> Counter[str]:
    """Return the time that each kind of op took in all, in ms."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2  # quiet once mobilenet_tf.keras is in

    for _ in range(WARMUP_STEPS):
        trainer.step(*batch)
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(steps):
                loss, _ = trainer.step(*batch)
                float(loss)  # wait for the result
        (file,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    totals_ms: Counter[str] = Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                if line.name.startswith("tf_Compute") and "::" not in name and ":" in name:
                    totals_ms[find_kind(name.rpartition(":")[2])] += event.duration_ps / 1e9
    return totals_ms


def find_kind(op: str) -> str:
    """Return what an op belongs to."""
    return KINDS.get(re.sub("^_Mkl(Native)?", "", op), "the rest")


if __name__ == "__main__":
    main()
