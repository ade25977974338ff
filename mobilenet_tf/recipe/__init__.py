"""A recipe: the whole experiment as frozen, validated settings, read from TOML.

Every key is checked (an unknown one is an error), every number has its range, and units are in
the names. The data folder is not here: it belongs to the machine, not to the experiment.
"""

from mobilenet_tf.recipe.loading import load_axes as load_axes
from mobilenet_tf.recipe.loading import load_recipe as load_recipe
from mobilenet_tf.recipe.loading import parse_overrides as parse_overrides
from mobilenet_tf.recipe.loading import parse_recipe as parse_recipe
from mobilenet_tf.recipe.loading import parse_value as parse_value
from mobilenet_tf.recipe.loading import recipe_names as recipe_names
from mobilenet_tf.recipe.sections import ACTIVATIONS as ACTIVATIONS
from mobilenet_tf.recipe.sections import IO_TYPES as IO_TYPES
from mobilenet_tf.recipe.sections import QUANTIZATIONS as QUANTIZATIONS
from mobilenet_tf.recipe.sections import RESIZE_RULES as RESIZE_RULES
from mobilenet_tf.recipe.sections import STRIDE_PLANS as STRIDE_PLANS
from mobilenet_tf.recipe.sections import ActivationName as ActivationName
from mobilenet_tf.recipe.sections import AugmentationSettings as AugmentationSettings
from mobilenet_tf.recipe.sections import BenchmarkSettings as BenchmarkSettings
from mobilenet_tf.recipe.sections import DataSettings as DataSettings
from mobilenet_tf.recipe.sections import FitSettings as FitSettings
from mobilenet_tf.recipe.sections import IoType as IoType
from mobilenet_tf.recipe.sections import ModelSettings as ModelSettings
from mobilenet_tf.recipe.sections import Options as Options
from mobilenet_tf.recipe.sections import PrecisionName as PrecisionName
from mobilenet_tf.recipe.sections import QatSettings as QatSettings
from mobilenet_tf.recipe.sections import Quantization as Quantization
from mobilenet_tf.recipe.sections import Recipe as Recipe
from mobilenet_tf.recipe.sections import ResizeRule as ResizeRule
from mobilenet_tf.recipe.sections import StridePlan as StridePlan
from mobilenet_tf.recipe.sections import TrainSettings as TrainSettings
from mobilenet_tf.recipe.settings import Setting as Setting
from mobilenet_tf.recipe.settings import all_settings as all_settings
from mobilenet_tf.recipe.settings import changed_settings as changed_settings
from mobilenet_tf.recipe.settings import check_setting as check_setting
from mobilenet_tf.recipe.settings import format_value as format_value
from mobilenet_tf.recipe.settings import list_differences as list_differences
from mobilenet_tf.recipe.settings import replace_settings as replace_settings
from mobilenet_tf.recipe.settings import settings_of as settings_of
from mobilenet_tf.recipe.settings import with_defaults as with_defaults
