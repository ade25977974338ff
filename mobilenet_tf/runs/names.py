"""The names of what a run makes: one grammar, `v1_050_r32_int8_qat`, everywhere."""

from __future__ import annotations

from typing import Literal

from mobilenet_tf.data.catalog import recipe_dataset
from mobilenet_tf.models.variant import Variant, make_variant
from mobilenet_tf.recipe import Recipe


def recipe_variant(recipe: Recipe) -> Variant:
    """Return the checked variant of a model that a recipe asks for.

    Raises:
        UsageError: an unknown model or dataset, or a size that the model cannot take.
    """
    return make_variant(
        recipe.model.name,
        alpha=recipe.model.alpha,
        resolution_px=recipe.model.resolution_px,
        classes=recipe_dataset(recipe).class_count,
        stride_plan=recipe.model.stride_plan,
        options=recipe.model.options,
    )


def weights_name(recipe: Recipe, quantization: str) -> str:
    """Return the file name of trained weights: v1_050_r32_float32.safetensors."""
    return f"{recipe_variant(recipe).name}_{quantization}.safetensors"


def tflite_io_type(recipe: Recipe, quantization: str) -> Literal["float32", "int8", "uint8"]:
    """Return the type of input and output of an exported file."""
    return recipe.export.io_type if quantization.startswith("int8") else "float32"


def tflite_name(recipe: Recipe, quantization: str) -> str:
    """Return the name of an exported file: v1_050_r32_int8_qat.tflite, …_uint8.tflite."""
    suffix = "_uint8" if tflite_io_type(recipe, quantization) == "uint8" else ""
    return f"{recipe_variant(recipe).name}_{quantization}{suffix}.tflite"


def default_run_name(recipe: Recipe) -> str:
    """Return what a run is called unless it is given a folder: cifar10_v1_050_r32."""
    return f"{recipe.data.name}_{recipe_variant(recipe).name}"
