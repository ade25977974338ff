"""The training step of one of our networks in PyTorch, in a process of its own.

`train_step.py` starts it: PyTorch's threads spin after a step, which in one process would slow
TensorFlow's. It needs torch and nothing of this project. A line of JSON with the network comes
in, one with its parameters goes out; then every line is a request for a step, answered with ms.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

CLASS_COUNT = 10  # of the labels; the network may have more


def build_network(layers: list[dict[str, Any]], epsilon: float, momentum: float) -> nn.Module:
    """Return the network of a list of layers, channels last."""
    builders: dict[str, Callable[[dict[str, Any]], nn.Module]] = {
        "conv": lambda row: nn.Conv2d(
            row["inputs"],
            row["outputs"],
            row["kernel_px"],
            row["stride"],
            padding=row["kernel_px"] // 2,
            groups=row["groups"],
            bias=False,
        ),
        "norm": lambda row: nn.BatchNorm2d(row["inputs"], eps=epsilon, momentum=1 - momentum),
        "relu": lambda row: nn.ReLU(inplace=True),
        "relu6": lambda row: nn.ReLU6(inplace=True),
        "pool": lambda row: nn.AdaptiveAvgPool2d(1),
        "dropout": lambda row: nn.Dropout(row["rate"]),
        "dense": lambda row: nn.Sequential(nn.Flatten(), nn.Linear(row["inputs"], row["outputs"])),
    }
    network = nn.Sequential(*(builders[row["kind"]](row) for row in layers))
    return network.to(memory_format=torch.channels_last).train()


def make_step(network: nn.Module, request: dict[str, Any]) -> Callable[[], float]:
    """Return a step of SGD with Nesterov momentum on images that are always the same."""
    kernels = [p for p in network.parameters() if p.dim() > 1 and p.shape[1] > 1]
    others = [p for p in network.parameters() if p.dim() <= 1 or p.shape[1] == 1]
    optimizer = torch.optim.SGD(
        [{"params": kernels, "weight_decay": request["weight_decay"]}, {"params": others}],
        lr=0.01,
        momentum=request["momentum"],
        nesterov=True,
    )
    side_px = request["resolution_px"]
    images = torch.randn(request["batch_size"], 3, side_px, side_px)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASS_COUNT, (request["batch_size"],))
    loss_of = nn.CrossEntropyLoss(label_smoothing=request["label_smoothing"])
    forward = torch.compile(network) if request["compile"] else network

    def step() -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=request["bfloat16"]):
            loss = loss_of(forward(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def main() -> None:
    request = json.loads(sys.stdin.readline())
    network = build_network(request["layers"], request["epsilon"], request["norm_momentum"])
    step = make_step(network, request)
    trainable = sum(parameter.numel() for parameter in network.parameters())
    answer = {
        "parameters": trainable,
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(answer), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        loss = step()
        elapsed_ms = (time.perf_counter() - started) * 1e3
        if not math.isfinite(loss):
            raise SystemExit("the loss of PyTorch's network is not finite")
        print(json.dumps(elapsed_ms), flush=True)


if __name__ == "__main__":
    main()
