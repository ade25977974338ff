"""SiLU and hard-swish in training: one kernel each, and one for its gradient."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

from mobilenet_tf.keras import keras, tf
from mobilenet_tf.models.activations import Scale, Shift

Function = Callable[[Any], Any]


@contextlib.contextmanager
def as_one_kernel(model: Any) -> Iterator[None]:
    """Let what is traced meanwhile compute each SiLU and hard-swish in one pass over its values.

    Their layers are the ops of the int8 file, up to four passes and eight more for the gradient.
    The last ones take the whole function over; of the others nothing is asked for any more.
    """
    calls = find_calls(model) if tf.test.is_built_with_xla() else {}
    for name, call in calls.items():
        model.get_layer(name).call = call
    try:
        yield
    finally:
        for name in calls:
            del model.get_layer(name).call


def find_calls(model: Any) -> dict[str, Function]:
    """Return what layers compute in place of their own, by name, in every SiLU and hard-swish."""
    calls: dict[str, Function] = {}
    for layer in model.layers:
        if len(layer.inbound_nodes) > 1:
            continue  # it may be called for something else as well
        if _is_silu(layer):
            calls[layer.name] = _applied_to(0, silu)
        elif product := _find_product(layer):
            calls[product.name] = _applied_to(-1, hard_swish)
            calls[layer.name] = tf.identity
    return calls


def _is_silu(layer: Any) -> bool:
    """Tell whether a layer is a SiLU's last: x * sigmoid(x)."""
    match _inputs(layer):
        case [x, gate] if type(layer) is keras.layers.Multiply:
            sigmoid = _maker(gate)
            is_sigmoid = getattr(sigmoid, "activation", None) is keras.activations.sigmoid
            return is_sigmoid and _inputs(sigmoid)[0] is x
    return False


def _find_product(layer: Any) -> Any | None:
    """Return the second last layer of a hard-swish, relu6(x + 3) * x; None if it is not one."""
    if type(layer) is not Scale or not math.isclose(layer.value, 1 / 6):
        return None
    product = _maker(*_inputs(layer))
    match _inputs(product):
        case [gate, x] if type(product) is keras.layers.Multiply and _is_read_once(product):
            relu6 = _maker(gate)
            if type(relu6) is keras.layers.ReLU and relu6.max_value == 6:
                shift = _maker(*_inputs(relu6))
                if type(shift) is Shift and shift.value == 3 and _inputs(shift)[0] is x:
                    return product
    return None


def _inputs(layer: Any) -> list[Any]:
    """Return the tensors that a layer of a functional model takes."""
    return list(layer.inbound_nodes[0].keras_inputs)


def _is_read_once(layer: Any) -> bool:
    """Tell whether one layer takes what a layer gives, and it gives that once."""
    return len(layer.inbound_nodes) == len(layer.outbound_nodes) == 1


def _maker(tensor: Any) -> Any:
    """Return the layer that a tensor of a functional model comes from."""
    return tensor._keras_history.layer


def _applied_to(place: int, function: Function) -> Function:
    """Return a layer's call that computes a function of one of its inputs."""
    return tf.autograph.experimental.do_not_convert(lambda inputs: function(inputs[place]))


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let XLA make one loop over all values of a function."""
    return tf.function(function, autograph=False, jit_compile=True)


_silu = _compile(lambda x: x * tf.sigmoid(x))
_hard_swish = _compile(lambda x: x * tf.nn.relu6(x + 3) / 6)


@_compile
def _silu_gradient(x: Any, upstream: Any) -> Any:
    gate = tf.sigmoid(x)
    return upstream * gate * (1 + x * (1 - gate))


@_compile
def _hard_swish_gradient(x: Any, upstream: Any) -> Any:
    inside = upstream * (2 * x + 3) / 6
    return tf.where(x <= -3, tf.zeros_like(x), tf.where(x < 3, inside, upstream))


@tf.custom_gradient
def silu(x: Any) -> Any:
    """Return x * sigmoid(x) (arXiv 1710.05941, with beta 1)."""
    return _silu(x), lambda upstream: _silu_gradient(x, upstream)


@tf.custom_gradient
def hard_swish(x: Any) -> Any:
    """Return x * relu6(x + 3) / 6 (arXiv 1905.02244, section 5.2)."""
    return _hard_swish(x), lambda upstream: _hard_swish_gradient(x, upstream)
