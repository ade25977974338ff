"""A recipe: the whole experiment as frozen, validated settings, read from TOML.

Every key is checked (an unknown one is an error), every number has its range, and units are in
the names. The data folder is not here: it belongs to the machine, not to the experiment.
"""

from mobilenet_tf.recipe.differences import list_differences, settings_of, with_defaults
from mobilenet_tf.recipe.fit import FitSettings, PrecisionName, QatSettings, TrainSettings
from mobilenet_tf.recipe.loading import (
    find_recipe,
    load_recipe,
    parse_overrides,
    parse_recipe,
    parse_value,
    recipe_names,
)
from mobilenet_tf.recipe.sections import (
    ACTIVATIONS,
    QUANTIZATIONS,
    STRIDE_PLANS,
    ActivationName,
    AugmentationSettings,
    BenchmarkSettings,
    DataSettings,
    ExportSettings,
    ModelSettings,
    Options,
    Quantization,
    Recipe,
    StridePlan,
)
from mobilenet_tf.recipe.settings import (
    Setting,
    all_settings,
    check_setting,
    describe_settings,
    format_value,
    replace_settings,
)

__all__ = [
    "ACTIVATIONS",
    "QUANTIZATIONS",
    "STRIDE_PLANS",
    "ActivationName",
    "AugmentationSettings",
    "BenchmarkSettings",
    "DataSettings",
    "ExportSettings",
    "FitSettings",
    "ModelSettings",
    "Options",
    "PrecisionName",
    "QatSettings",
    "Quantization",
    "Recipe",
    "Setting",
    "StridePlan",
    "TrainSettings",
    "all_settings",
    "check_setting",
    "describe_settings",
    "find_recipe",
    "format_value",
    "list_differences",
    "load_recipe",
    "parse_overrides",
    "parse_recipe",
    "parse_value",
    "recipe_names",
    "replace_settings",
    "settings_of",
    "with_defaults",
]
