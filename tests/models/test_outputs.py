from __future__ import annotations

from typing import Any

import pytest

from mobilenet_tf.errors import UsageError
from mobilenet_tf.keras import keras, tf
from mobilenet_tf.models.outputs import check_logits, ends_in_softmax

layers = keras.layers


def model_of(*ends: Any) -> Any:
    image = x = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 8)(x)
    for end in ends:
        x = end(x)
    return keras.Model(image, x)


SOFTMAX = {
    "activation": (layers.Reshape((4,)), layers.Activation("softmax")),
    "layer": (layers.Flatten(), layers.Softmax()),
    "dense": (layers.Flatten(), layers.Dense(3, activation="softmax")),
    "conv, flattened": (layers.Conv2D(3, 1, activation="softmax"), layers.Flatten()),
    "reshaped and cast": (
        layers.Softmax(),
        layers.Reshape((4,)),
        layers.Activation("linear", dtype="float32"),
    ),
    "tf.nn": (layers.Flatten(), tf.nn.softmax),
    "nested": (layers.Flatten(), keras.Sequential([layers.Dense(3), layers.Softmax()])),
}
LOGITS = {
    "flattened": (layers.Flatten(),),
    "relu": (layers.Flatten(), layers.Dense(3, activation="relu")),
    "softmax inside": (layers.Softmax(), layers.Flatten(), layers.Dense(3)),
    "sum": (layers.Flatten(), lambda x: layers.Add()([x, x])),
}


@pytest.mark.parametrize("ends", SOFTMAX.values(), ids=list(SOFTMAX))
def test_a_softmax_at_the_end_is_found(ends: tuple[Any, ...]) -> None:
    model = model_of(*ends)
    assert ends_in_softmax(model)
    with pytest.raises(UsageError, match="classifier_activation=None"):
        check_logits(model, "convert")


@pytest.mark.parametrize("ends", LOGITS.values(), ids=list(LOGITS))
def test_logits_are_taken_for_logits(ends: tuple[Any, ...]) -> None:
    assert not ends_in_softmax(model_of(*ends))
