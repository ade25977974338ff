"""The networks of a run, built again from its recipe and its weights files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.weights import load_weights
from mobilenet_tf.quantization.bias import round_biases
from mobilenet_tf.quantization.qat import quantize_model, set_mode
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.names import recipe_variant, weights_name
from mobilenet_tf.training.precision import layers_under


def build_float_model(
    recipe: Recipe, trained: Path | None = None, *, policy: str = "float32"
) -> Any:
    """Build the float network of a recipe, with the weights of a finished train stage if given.

    `policy` is Keras' dtype policy; weights are float32 under "mixed_bfloat16" too.
    """
    settings = recipe.model
    with layers_under(policy):
        model = build_variant(
            recipe_variant(recipe),
            dropout=None if settings.dropout == "paper" else settings.dropout,
            batch_norm_momentum=settings.batch_norm_momentum,
            seed=recipe.seed,
        )
    if trained is not None:
        load_weights(model, trained / weights_name(recipe, "float32"))
    return model


def build_quantized_model(recipe: Recipe, trained: Path, *, as_trained: bool = False) -> Any:
    """Build the fake-quantized network of a recipe with the weights of a finished qat stage.

    Its biases are rounded as the file's are, unless they are wanted `as_trained`.
    """
    model = quantize_model(build_float_model(recipe))
    load_weights(model, trained / weights_name(recipe, "int8_qat"))
    set_mode(model, "frozen")
    if not as_trained:
        round_biases(model)
    return model
