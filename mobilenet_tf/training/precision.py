"""How a training step multiplies: as matrix products, in float32 or, where it pays, in bfloat16.

On a processor only the traced step computes so; validation is float32. On a GPU Keras' mixed
precision takes its place. Weights and checkpoints are float32 in any case.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from mobilenet_tf.keras import keras, tf, unwrap
from mobilenet_tf.recipe import PrecisionName
from mobilenet_tf.runs.folder import PRECISION_FILE, read_note
from mobilenet_tf.runs.results import Precision, Product, Timing
from mobilenet_tf.system import hardware, terminal

CLEARLY_FASTER = 1.2  # how many times as fast bfloat16 must be, above what noise can do
MEASURED_WEIGHTS = 64 * 64  # of a product; smaller ones were never clearly faster
MEASURED_ROWS = 16_384  # of a product; more rows change both times alike
MEASURED_ROUNDS = 5
GPU_CAPABILITY = (8, 0)  # the first of NVIDIA's compute capabilities with bfloat16 (Ampere)


def choose_precision(
    model: Any, asked: PrecisionName, *, batch_size: int, deterministic: bool
) -> Precision:
    """Return what `asked` means for this model on this machine.

    "auto" takes bfloat16 for the layers that it makes clearly faster here, as measured now. On a
    GPU that multiplies in it, both take Keras' mixed precision, and nothing is measured.
    """
    on_gpu, products = bool(find_gpus()), tuple(find_products(model))
    layers: tuple[str, ...] = ()
    timings: list[Timing] = []
    policy, reason = "float32", "as asked"
    if asked == "auto" and deterministic:
        reason = "a deterministic result cannot depend on how fast the machine was"
    elif asked == "auto" and not has_bfloat16():
        reason = f"this {'GPU' if on_gpu else 'processor'} does not multiply in bfloat16"
    elif asked != "float32" and on_gpu:
        policy = "mixed_bfloat16"
        reason = "as asked" if asked == "bfloat16" else "as GPUs are fastest with"
    elif asked == "bfloat16":
        layers = products
    elif asked == "auto":
        timings = measure_products(model, batch_size)
        chosen = {name for t in timings if t.ratio > CLEARLY_FASTER for name in t.layers}
        layers = tuple(name for name in products if name in chosen)
        reason = "where it is clearly faster" if chosen else "bfloat16 is nowhere clearly faster"
    return Precision(
        asked=asked, bfloat16_layers=layers, reason=reason, timings=tuple(timings), policy=policy
    )


def has_bfloat16() -> bool:
    """Tell whether what would train here, a GPU or else the processor, multiplies in bfloat16."""
    gpus = find_gpus()
    return min(gpus) >= GPU_CAPABILITY if gpus else hardware.has_bfloat16()


def find_gpus() -> list[tuple[int, ...]]:
    """Return the compute capability of every GPU that TensorFlow sees; () where it has none."""
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return [tuple(of_gpu.get("compute_capability", ())) for of_gpu in details]


@contextlib.contextmanager
def layers_under(policy: str) -> Iterator[None]:
    """Let layers made meanwhile have one of Keras' dtype policies."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def load_precision(folder: Path, asked: PrecisionName) -> Precision | None:
    """Return the choice that the training in `folder` was begun with, if it still stands.

    It does not where something else is asked by now, or this machine could only emulate it.
    """
    path = folder / PRECISION_FILE
    noted = read_note(path, Precision) if path.is_file() else None
    if noted is None or noted.asked != asked:
        return None
    mixed = noted.policy != "float32"
    usable = has_bfloat16() and (not mixed or find_gpus())
    return noted if usable or not (mixed or noted.bfloat16_layers) else None


def describe_precision(precision: Precision, model: Any) -> str:
    """Return the choice as one sentence."""
    if precision.policy != "float32":
        return f"mixed precision in bfloat16 throughout ({precision.reason})"
    count, total = len(precision.bfloat16_layers), len(find_products(model))
    if not count:
        return f"float32 throughout ({precision.reason})"
    return f"bfloat16 in {count} of {total} matrix products ({precision.reason}), else float32"


def find_products(model: Any) -> dict[str, Product]:
    """Return the convolutions that are matrix products: kernels of one pixel, or of the image."""
    products = {}
    for layer in model.layers:
        convolution = unwrap(layer)
        if type(convolution) is not keras.layers.Conv2D or max(convolution.strides) > 1:
            continue
        if convolution.groups > 1 or convolution.data_format != "channels_last":
            continue
        *sides, channels = layer.input_shape[1:]
        whole = convolution.kernel_size == tuple(sides) and convolution.padding == "valid"
        if whole or convolution.kernel_size == (1, 1):
            size = math.prod(convolution.kernel_size)
            pixels = 1 if whole else math.prod(side or 1 for side in sides)
            products[layer.name] = Product(pixels, size * channels, convolution.filters)
    return products


@contextlib.contextmanager
def as_products(model: Any, bfloat16_layers: Collection[str] = ()) -> Iterator[None]:
    """Let what is traced meanwhile compute the model's matrix products as such, not as Conv2D.

    oneDNN's bfloat16 gradient of a kernel is slower as a convolution than as a product.
    """
    layers = [(model.get_layer(name), name in bfloat16_layers) for name in find_products(model)]
    convolutions = [unwrap(layer) for layer, _ in layers]
    for convolution, (_, low) in zip(convolutions, layers, strict=True):
        convolution.convolution_op = _make_product_op(tf.bfloat16 if low else tf.float32)
    try:
        yield
    finally:
        for convolution in convolutions:
            del convolution.convolution_op


def _make_product_op(dtype: Any) -> Callable[[Any, Any], Any]:
    """Return what stands for a layer's `convolution_op`: images (B, H, W, C), kernel -> outputs."""

    @tf.autograph.experimental.do_not_convert
    def convolve(images: Any, kernel: Any) -> Any:
        height, width, _, outputs = kernel.shape
        matrix = tf.reshape(kernel, (-1, outputs))
        product = multiply(tf.reshape(images, (-1, matrix.shape[0])), matrix, dtype)
        if (height, width) != (1, 1):
            return tf.reshape(product, (-1, 1, 1, outputs))
        static, dynamic = images.shape[:3], tf.shape(images)
        sides = [dynamic[i] if side is None else side for i, side in enumerate(static)]
        return tf.reshape(product, (*sides, outputs))

    return convolve


def multiply(rows: Any, matrix: Any, dtype: Any) -> Any:
    """Return a float32 product computed in `dtype`, in which its two gradients are computed too."""
    if dtype == tf.float32:
        return tf.matmul(rows, matrix)
    return tf.cast(tf.matmul(tf.cast(rows, dtype), tf.cast(matrix, dtype)), tf.float32)


def measure_products(model: Any, batch_size: int) -> list[Timing]:
    """Time every different product of a model in both precisions, in turns, but small ones."""
    layers = defaultdict(list)
    for name, product in find_products(model).items():
        if product.inputs * product.outputs >= MEASURED_WEIGHTS:
            layers[product].append(name)
    timings = []
    for product, names in terminal.track(layers.items(), "measuring precision"):
        steps = [_make_step(product, batch_size, dtype) for dtype in (tf.float32, tf.bfloat16)]
        for step in steps:
            step()  # traced and warm
        turns = [[_time_once(step) for step in steps] for _ in range(MEASURED_ROUNDS)]
        exact_ms, low_ms = (round(min(times), 3) for times in zip(*turns, strict=True))
        timing = Timing(
            product=product, layers=tuple(names), float32_ms=exact_ms, bfloat16_ms=low_ms
        )
        timings.append(timing)
    return timings


def _make_step(product: Product, batch_size: int, dtype: Any) -> Callable[[], Any]:
    """Return a compiled function that computes a product and both its gradients."""
    count = min(product.pixels * batch_size, MEASURED_ROWS)
    rows = tf.ones((count, product.inputs))
    matrix = tf.ones((product.inputs, product.outputs))
    gradient = tf.ones((count, product.outputs))

    @tf.function(autograph=False)
    def step() -> Any:
        with tf.GradientTape() as tape:
            tape.watch((rows, matrix))
            outputs = multiply(rows, matrix, dtype)
        return outputs, tape.gradient(outputs, (rows, matrix), gradient)

    return step


def _time_once(step: Callable[[], Any]) -> float:
    started = time.perf_counter()
    outputs, _ = step()
    outputs.numpy()  # wait for the result
    return (time.perf_counter() - started) * 1e3
