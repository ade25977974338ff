"""What activations and squeeze-and-excitation cost in int8, and which ops XNNPACK leaves out.

    python benchmarks/activations.py
    python benchmarks/activations.py --resolution 224 --rounds 20 --json

Untrained networks of alpha 1.0, quantized after calibration on noise, which batch normalisation
makes as lively as trained ones: weights change no latency, scales may.
All int8 files run one image in turns, so that a busy machine slows all alike; figures are
medians, and the ratio to the first row of the same model is what to look at. An op that XNNPACK
leaves out runs in LiteRT's own kernel, and cuts the graph in two there. The reference kernels are
there to compare with: what runs without XNNPACK's.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import click
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.models.blocks import SMALL_SIDE_PX
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.recipe import Options
from mobilenet_tf.system import terminal
from mobilenet_tf.tflite.convert import convert
from mobilenet_tf.tflite.interpreter import Classifier

V3, V4, MINIMALISTIC = "mobilenet_v3_small", "mobilenet_v4_conv_small", "_minimalistic"
ROWS = (  # the first of a model is what the others are compared with
    (V3, Options(activation="relu6", squeeze_excitation="off")),
    (V3, Options(activation="relu6")),
    (V3, Options(activation="silu", squeeze_excitation="off")),
    (V3, Options(squeeze_excitation="off")),
    (V3, Options()),
    (V3 + MINIMALISTIC, Options()),
    (V4, Options()),
    (V4, Options(squeeze_excitation="on")),
    (V4, Options(activation="silu")),
    (V4, Options(activation="silu", squeeze_excitation="on")),
    (V4, Options(activation="hard_swish")),
)
CLASS_COUNT = 10
WARMUP_RUNS = 5
BLOCK_RUNS = 10  # consecutive runs of one file before the next has its turn
REFERENCE_RUNS = 5


@click.command()
@click.option("--resolution", type=int, default=32, show_default=True, help="Input side, pixels.")
@click.option("--rounds", type=click.IntRange(min=1), default=30, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(*, resolution: int, rounds: int, as_json: bool) -> None:
    """Measure the int8 latency of models with and without the options that cost something."""
    noise = np.random.default_rng(0).integers(0, 256, (4, resolution, resolution, 3))
    images = noise.astype(np.uint8)
    plan = "cifar" if resolution < SMALL_SIDE_PX else "imagenet"
    with terminal.set_up():
        files = [make_file(*row, images, plan) for row in terminal.track(ROWS, "converting")]
    xnnpack_ms = time_in_turns([make_run(file, images[0]) for file in files], rounds, BLOCK_RUNS)
    reference = [make_run(file, images[0], reference_kernels=True) for file in files]
    reference_ms = time_in_turns(reference, REFERENCE_RUNS, 1)
    rows = []
    base_ms: dict[str, float] = {}
    for (name, options), file, one_ms, other_ms in zip(
        ROWS, files, xnnpack_ms, reference_ms, strict=True
    ):
        base = base_ms.setdefault(name.removesuffix(MINIMALISTIC), one_ms)
        rows.append(
            {
                "model": name,
                "activation": options.activation,
                "squeeze_excitation": options.squeeze_excitation,
                "xnnpack_ms": one_ms,
                "ratio": round(one_ms / base, 2),
                "reference_ms": other_ms,
                "left_out": dict(Counter(find_left_out(file))),
            }
        )
    if as_json:
        result = {"resolution_px": resolution, "stride_plan": plan, "rounds": rounds, "rows": rows}
        click.echo(json.dumps(result, indent=2))
        return
    click.echo(f"{resolution} px, {plan} strides, int8, one image, one thread")
    for row in rows:
        left_out = ", ".join(f"{count} {op}" for op, count in row["left_out"].items())
        click.echo(
            f"{row['model']:<31} {row['activation']:<10} SE {row['squeeze_excitation']:<5}"
            f" {row['xnnpack_ms']:>8.3f} ms {row['ratio']:>5.2f} x"
            f"  reference {row['reference_ms']:>8.1f} ms  not XNNPACK's: {left_out or 'none'}"
        )


def make_file(name: str, options: Options, images: np.ndarray, plan: str) -> bytes:
    """Return the int8 file of an untrained network."""
    model = build_variant(
        make_variant(
            name,
            alpha=1.0,
            resolution_px=images.shape[1],
            classes=CLASS_COUNT,
            stride_plan=plan,
            options=options,
        ),
        seed=1,
        batch_norm_momentum=0.0,
    )
    model(normalise(images), training=True)
    return convert(
        model,
        quantization="int8_ptq",
        classes=tuple(map(str, range(CLASS_COUNT))),
        description="a candidate of benchmarks/activations.py",
        calibration_images=images,
    )


def make_run(
    file: bytes, image: np.ndarray, *, reference_kernels: bool = False
) -> Callable[[], None]:
    """Return what runs a file once."""
    classifier = Classifier.load(file, reference_kernels=reference_kernels)
    classifier.load_image(image)
    return classifier.invoke


def time_in_turns(runs: list[Callable[[], None]], rounds: int, block_runs: int) -> list[float]:
    """Return the median time of each in ms."""
    for run in runs:
        for _ in range(WARMUP_RUNS if block_runs > 1 else 0):
            run()
    taken_ms: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, taken in zip(runs, taken_ms, strict=True):
            run()  # brings its weights back into the cache
            for _ in range(block_runs):
                started = time.perf_counter()
                run()
                taken.append((time.perf_counter() - started) * 1e3)
    return [round(statistics.median(taken), 4) for taken in taken_ms]


def find_left_out(file: bytes) -> Iterator[str]:
    """Yield the name of every op that XNNPACK leaves to LiteRT's own kernels.

    The interpreter lists the ops of the file, then the parts that its delegate took over, which
    hide them: what runs is found from the output backwards.
    """
    interpreter = Interpreter(model_content=file, num_threads=1)
    interpreter.allocate_tensors()
    makers: dict[int, dict[str, Any]] = {}
    for op in interpreter._get_ops_details():  # there is no public list of them
        makers |= dict.fromkeys(map(int, op["outputs"]), op)
    tensors = [output["index"] for output in interpreter.get_output_details()]
    seen: set[int] = set()
    while tensors:
        op = makers.get(int(tensors.pop()))
        if op is None or op["index"] in seen:
            continue
        seen.add(op["index"])
        tensors += list(op["inputs"])
        if op["op_name"] != "DELEGATE":
            yield op["op_name"]


if __name__ == "__main__":
    main()
