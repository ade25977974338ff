"""Predicted sizes against files: the zoo's, and random networks of every model, really exported.

One network a model, of few blocks; MTF_RANDOM_NETWORKS=3 draws three, whole ones among them.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator

import numpy as np
import pytest

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.catalog import model_names
from mobilenet_tf.models.cost import count_costs
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import Variant, make_variant
from mobilenet_tf.models.weights import count_parameters
from mobilenet_tf.quantization.qat import calibrate, quantize_model
from mobilenet_tf.recipe import ACTIVATIONS, Options
from mobilenet_tf.runs.names import recipe_variant
from mobilenet_tf.tflite.convert import convert
from mobilenet_tf.tflite.size import predict_int8_bytes
from mobilenet_tf.zoo.shelf import load_cards

TOLERANCE = 0.01
NETWORKS = int(os.environ.get("MTF_RANDOM_NETWORKS", "1"))
BLOCK_COUNTS = (1, 2, 3) if NETWORKS == 1 else (0, 0, 2, 4)  # 0: all
CLASSES = (("cat", "dog"), tuple("0123456789"), tuple(f"class {i}" for i in range(100)))


def draw_variants(name: str) -> Iterator[tuple[Variant, tuple[str, ...]]]:
    """Yield networks of any width, depth and options that convert within seconds."""
    rng = random.Random(name)  # noqa: S311  # the seed of every model is its name
    while True:
        classes = rng.choice(CLASSES)
        try:
            variant = make_variant(
                name,
                alpha=rng.choice([0.05, 0.1, 0.15, 0.25, 0.3]),
                resolution_px=rng.choice([32, 40, 64]),
                classes=len(classes),
                stride_plan=rng.choice(["cifar", "imagenet"]),
                options=Options(
                    activation=rng.choice(ACTIVATIONS),
                    squeeze_excitation=rng.choice(["paper", "on", "off"]),
                    head_units=rng.choice([0, 0, 24]),
                    block_count=0 if name == "alexnet" else rng.choice(BLOCK_COUNTS),
                ),
            )
            if count_costs(variant).macs < 2e7:
                yield variant, classes
        except UsageError:
            continue


@pytest.mark.parametrize("card", load_cards(), ids=lambda card: card.name)
def test_the_zoos_files(card) -> None:
    variant = recipe_variant(card.recipe)
    predicted = predict_int8_bytes(variant, card.classes, card.dataset)
    assert predicted == pytest.approx(card.int8_row.size_bytes, rel=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(NETWORKS))
@pytest.mark.parametrize("name", model_names())
def test_others_drawn_at_random(name: str, number: int) -> None:
    variant, classes = next(itertools.islice(draw_variants(name), number, None))
    model, rng = build_variant(variant, seed=1), np.random.default_rng(1)
    assert count_parameters(model) == count_costs(variant).parameters
    for variable in model.variables:  # as training does: no two biases are equal
        if "kernel" not in variable.name:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    twin = quantize_model(model)
    calibrate(twin, rng.integers(0, 256, (2, *variant.input_shape), dtype=np.uint8))
    description = f"{variant.name} trained on digits"
    content = convert(twin, quantization="int8_qat", classes=classes, description=description)
    predicted = predict_int8_bytes(variant, classes, "digits")
    assert predicted == pytest.approx(len(content), rel=TOLERANCE), variant.name
