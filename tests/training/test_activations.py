from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.keras import keras, tf
from mobilenet_tf.models.activations import Scale, Shift
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.quantization.qat import quantize_for_training
from mobilenet_tf.recipe.sections import Options
from mobilenet_tf.training.activations import as_one_kernel, find_calls, hard_swish, silu

pytestmark = pytest.mark.slow

AROUND_THE_CORNERS = [-9.0, -3.001, -3.0, -2.999, -1.5, -1e-6, 0.0, 0.5, 2.999, 3.0, 3.001, 9.0]


def build(name: str, **options: Any) -> Any:
    variant = make_variant(
        name,
        alpha=0.1,
        resolution_px=32,
        classes=10,
        stride_plan="cifar",
        options=Options(**options),
    )
    return build_variant(variant, seed=1)


def run_gradients(model: Any, *, fused: bool) -> list[np.ndarray]:
    """Return the logits and their gradient with respect to every weight."""
    images = tf.constant(np.random.default_rng(1).normal(size=(4, 32, 32, 3)).astype(np.float32))
    kernels = as_one_kernel(model) if fused else contextlib.nullcontext()
    with tf.GradientTape() as tape, kernels:
        logits = model(images, training=False)
        loss = tf.reduce_sum(logits * tf.range(1.0, 11.0))
    return [logits.numpy(), *(g.numpy() for g in tape.gradient(loss, model.trainable_variables))]


@pytest.mark.parametrize(
    ("ours", "published"),
    [
        (silu, lambda x: x * tf.sigmoid(x)),
        (hard_swish, lambda x: x * tf.nn.relu6(x + 3) / 6),
    ],
)
def test_values_and_gradients_are_those_of_the_papers(
    ours: Callable[[Any], Any], published: Callable[[Any], Any]
) -> None:
    x = tf.constant([AROUND_THE_CORNERS])
    upstream = tf.constant([np.linspace(-2, 2, len(AROUND_THE_CORNERS)).astype(np.float32)])
    found = []
    for function in (ours, published):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        found.append((y.numpy(), tape.gradient(y, x, upstream).numpy()))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("mobilenet_v1", {"activation": "hard_swish", "block_count": 3}, 2 * 7),
        ("mobilenet_v1", {"activation": "silu", "block_count": 3}, 7),
        ("mobilenet_v3_small", {}, 2 * 19),  # ReLU in some blocks, hard sigmoids in others
        ("mobilenet_v1", {"block_count": 3}, 0),
    ],
)
def test_a_network_computes_what_its_layers_do(
    name: str, options: dict[str, Any], count: int
) -> None:
    model = build(name, **options)
    assert len(find_calls(model)) == count
    wanted = run_gradients(model, fused=False)
    for a, b in zip(run_gradients(model, fused=True), wanted, strict=True):
        assert np.linalg.norm(a - b) <= 1e-4 * np.linalg.norm(b) + 1e-6
    assert not any("call" in vars(layer) for layer in model.layers)


def test_a_traced_step_leaves_the_other_layers_out() -> None:
    model = build("mobilenet_v1", activation="hard_swish", block_count=2)

    @tf.function
    def step(images: Any) -> Any:
        with as_one_kernel(model):
            return model(images, training=True)

    graph = step.get_concrete_function(tf.TensorSpec((4, 32, 32, 3))).graph
    outputs = [output.op.name for output in graph.outputs]
    run = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), outputs).node
    assert not any(node.op == "Relu6" for node in run)
    assert sum("PartitionedCall" in node.op for node in run) == 5  # the stem's and two a block


def test_what_only_looks_like_one_keeps_its_layers() -> None:
    x = keras.Input((4, 4, 3))
    other = keras.layers.ReLU(6.0)(Shift(3.0)(Shift(1.0)(x)))
    y = Scale(1 / 6)(keras.layers.Multiply()([other, x]))
    y = Scale(1 / 6)(keras.layers.ReLU(6.0)(Shift(3.0)(y)))  # a hard sigmoid
    y = keras.layers.Multiply()([y, keras.layers.Activation("sigmoid")(x)])
    y = keras.layers.Multiply()([y, keras.layers.Activation("tanh")(y)])
    assert find_calls(keras.Model(x, y)) == {}
    product = keras.layers.Multiply()([keras.layers.ReLU(6.0)(Shift(3.0)(x)), x])
    assert len(find_calls(keras.Model(x, Scale(1 / 6)(product)))) == 2
    both = keras.layers.Add()([Scale(1 / 6)(product), product])
    assert find_calls(keras.Model(x, both)) == {}


def test_fake_quantization_between_the_layers_stays() -> None:
    for activation in ("hard_swish", "silu"):
        model = build("mobilenet_v1", activation=activation, block_count=2)
        assert find_calls(model)
        assert find_calls(quantize_for_training(model)) == {}


def test_without_xla_layers_compute_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.test, "is_built_with_xla", lambda: False)
    model = build("mobilenet_v1", activation="silu", block_count=2)
    with as_one_kernel(model):
        assert not any("call" in vars(layer) for layer in model.layers)
