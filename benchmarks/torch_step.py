"""PyTorch's side of `train_step.py`: our table as plain layers, and the process that runs them."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from mobilenet_tf.models.assembly import Assembler
from mobilenet_tf.models.cost import count_costs
from mobilenet_tf.models.keras_builder import BATCH_NORM_EPSILON
from mobilenet_tf.models.variant import Variant
from mobilenet_tf.recipe import Recipe

MODES = ("eager", "eager_bfloat16", "compile", "compile_bfloat16")
WORKER = Path(__file__).with_name("torch_worker.py")
Shape = tuple[int, int, int]  # height, width, channels


class UnknownLayerError(Exception):
    """A layer that the worker has no counterpart for."""


class Describer:
    """`assembly.Ops` on shapes: writes down the layers of a network without branches."""

    def __init__(self) -> None:
        self.layers: list[dict[str, Any]] = []

    def channels(self, x: Shape) -> int:
        return x[2]

    def conv(self, x: Shape, name: str, filters: int, kernel_px: int, stride: int) -> Shape:
        return self._convolve(x, filters, kernel_px, stride, groups=1)

    def depthwise(self, x: Shape, name: str, kernel_px: int, stride: int) -> Shape:
        return self._convolve(x, x[2], kernel_px, stride, groups=x[2])

    def dense(self, x: Shape, name: str, units: int) -> Shape:
        self.layers.append({"kind": "dense", "inputs": math.prod(x), "outputs": units})
        return (1, 1, units)

    def norm(self, x: Shape, name: str) -> Shape:
        self.layers.append({"kind": "norm", "inputs": x[2]})
        return x

    def activate(self, x: Shape, name: str, activation: str) -> Shape:
        if activation not in ("relu", "relu6"):
            raise UnknownLayerError(f"the activation {activation} ({name})")
        self.layers.append({"kind": activation})
        return x

    def global_pool(self, x: Shape, name: str) -> Shape:
        self.layers.append({"kind": "pool"})
        return (1, 1, x[2])

    def dropout(self, x: Shape, name: str, rate: float) -> Shape:
        self.layers.append({"kind": "dropout", "rate": rate})
        return x

    def flatten(self, x: Shape, name: str) -> Shape:
        return x

    def add(self, x: Shape, other: Shape, name: str) -> Shape:
        raise UnknownLayerError(f"a residual connection ({name})")

    def multiply(self, x: Shape, gate: Shape, name: str) -> Shape:
        raise UnknownLayerError(f"squeeze-and-excitation ({name})")

    def drop_path(self, x: Shape, name: str, rate: float) -> Shape:
        raise UnknownLayerError(f"stochastic depth ({name})")

    def max_pool(self, x: Shape, name: str, size_px: int, stride: int) -> Shape:
        raise UnknownLayerError(f"max pooling ({name})")

    def _convolve(self, x: Shape, filters: int, kernel_px: int, stride: int, groups: int) -> Shape:
        self.layers.append(
            {
                "kind": "conv",
                "inputs": x[2],
                "outputs": filters,
                "kernel_px": kernel_px,
                "stride": stride,
                "groups": groups,
            }
        )
        return (math.ceil(x[0] / stride), math.ceil(x[1] / stride), filters)


class TorchStep:
    """A worker at the other end of a pipe; call it for one step, in ms.

    Between calls it is stopped, so that its threads, which spin after a step, slow nobody.
    """

    def __init__(self, process: subprocess.Popen[str], request: dict[str, Any]) -> None:
        self.process = process
        self.about = self._ask(request)

    def __call__(self) -> float:
        self.process.send_signal(signal.SIGCONT)
        elapsed_ms = float(self._ask("step"))
        self.process.send_signal(signal.SIGSTOP)
        return elapsed_ms

    def _ask(self, question: Any) -> Any:
        assert self.process.stdin is not None  # noqa: S101  # both are pipes
        assert self.process.stdout is not None  # noqa: S101
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise click.ClickException(f"{WORKER.name} ended early; its words are above")
        return json.loads(answer)


def find_obstacle(python: str) -> str | None:
    """Return why there can be no PyTorch step with this interpreter; None if there can."""
    try:
        done = subprocess.run(  # noqa: S603  # the interpreter that the user names
            [python, "-c", "import torch"], capture_output=True, text=True, check=False
        )
    except OSError as error:
        return f"{python} cannot be run ({error.strerror})"
    if done.returncode == 0:
        return None
    last = (done.stderr.strip().splitlines() or ["it ended early"])[-1]
    return f"{python} has no torch ({last}); pip install torch==2.13.0 there, or --torch-python"


@contextlib.contextmanager
def start_torch(python: str, variant: Variant, recipe: Recipe, mode: str) -> Iterator[TorchStep]:
    """Start PyTorch's step of the same network, batch, normalisation, loss and optimizer.

    `mode` is one of `MODES`.

    Raises:
        UnknownLayerError: the network has a layer for which there is no counterpart.
        ClickException: the parameters are not as many as the table has, or the worker failed.
    """
    describer = Describer()
    dropout = recipe.model.dropout
    rate = variant.table.dropout if dropout == "paper" else dropout
    Assembler(variant, describer, rate).run(variant.input_shape)
    momentum = recipe.train.momentum
    request = {
        "layers": describer.layers,
        "resolution_px": variant.height_px,
        "batch_size": recipe.train.batch_size,
        "epsilon": BATCH_NORM_EPSILON,
        "norm_momentum": recipe.model.batch_norm_momentum,
        "momentum": momentum,
        "weight_decay": recipe.train.weight_decay * (1 - momentum),
        "label_smoothing": recipe.train.label_smoothing,
        "compile": mode.startswith("compile"),
        "bfloat16": mode.endswith("bfloat16"),
    }
    process = subprocess.Popen(  # noqa: S603  # the interpreter that the user names
        [python, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            step = TorchStep(process, request)
            ours = count_costs(variant).trainable_parameters
            if step.about["parameters"] != ours:
                raise click.ClickException(
                    f"PyTorch's network has {step.about['parameters']:,} parameters, ours {ours:,}"
                )
            yield step
        finally:
            process.kill()
