"""The names of what a run makes: one grammar, `v1_050_r32_int8_qat`, everywhere."""

from __future__ import annotations

from mobilenet_tf.data.catalog import recipe_dataset
from mobilenet_tf.models.variant import Variant, make_variant
from mobilenet_tf.recipe import IO_TYPES, Recipe


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


def tflite_name(recipe: Recipe, quantization: str) -> str:
    """Return the name of an exported file: v1_050_r32_int8_qat.tflite."""
    return f"{recipe_variant(recipe).name}_{quantization}.tflite"


def edges_name(file: str, io_type: str) -> str:
    """Return the name of an int8 file with other edges: v1_050_r32_int8_qat_uint8.tflite."""
    stem = file.removesuffix(".tflite")
    for other in IO_TYPES:
        stem = stem.removesuffix(f"_{other}")
    return f"{stem}.tflite" if io_type == "int8" else f"{stem}_{io_type}.tflite"


def default_run_name(recipe: Recipe) -> str:
    """Return what a run is called unless it is given a folder: cifar10_v1_050_r32."""
    return f"{recipe.data.name}_{recipe_variant(recipe).name}"
