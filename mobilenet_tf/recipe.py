"""A recipe: the whole experiment as frozen, validated settings, read from TOML.

Every key is checked (an unknown one is an error), every number has its range, and units are in
the names. The data folder is not here: it belongs to the machine, not to the experiment.
"""

from __future__ import annotations

import contextlib
import math
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from mobilenet_tf.errors import UsageError, suggest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Count = Annotated[int, Meta(ge=0)]
PositiveCount = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
NonNegative = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of every section: immutable, no unknown key."""


class DataSettings(Settings, frozen=True, kw_only=True):
    """Which images, and how many of the training ones are held out for every choice."""

    name: str = "cifar10"
    validation_count: Count = 5000
    path: Annotated[
        str, Meta(description="Folder of images, or CSV file, to use in place of a named dataset.")
    ] = ""
    resize: Annotated[
        Literal["crop", "pad", "stretch"],
        Meta(description="How photographs become square: centre crop, grey bars or squeezed."),
    ] = "crop"
    holdout_share: Annotated[
        float,
        Meta(
            ge=0,
            lt=0.5,
            description="Share of a folder's images held out for validation, and again for test,"
            " where it has none; 0 follows their number.",
        ),
    ] = 0.0
    unreadable_share: Annotated[
        float, Meta(ge=0, le=1, description="Share of unreadable images above which a run stops.")
    ] = 0.01


ActivationName = Literal["paper", "relu", "relu6", "silu", "hard_swish"]
ACTIVATIONS: tuple[ActivationName, ...] = get_args(ActivationName)
SqueezeExcitation = Literal["paper", "on", "off"]
SQUEEZE_EXCITATIONS: tuple[SqueezeExcitation, ...] = get_args(SqueezeExcitation)
StridePlan = Literal["cifar", "imagenet"]
STRIDE_PLANS: tuple[StridePlan, ...] = get_args(StridePlan)
ALPHA_MAX = 1.5
HEAD_UNITS_MAX = 65_536


class ModelSettings(Settings, frozen=True, kw_only=True):
    """Which network: the width multiplier alpha, the input resolution and where it strides.

    "paper" is what the model's table has.
    """

    name: str = "mobilenet_v1"
    alpha: Annotated[float, Meta(gt=0, le=ALPHA_MAX)] = 0.5
    resolution_px: Annotated[int, Meta(ge=8, le=1024)] = 32
    stride_plan: StridePlan = "cifar"
    activation: ActivationName = "paper"
    squeeze_excitation: SqueezeExcitation = "paper"
    stochastic_depth: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    dropout: Annotated[float, Meta(ge=0, lt=1)] | Literal["paper"] = "paper"
    head_units: Annotated[int, Meta(ge=0, le=HEAD_UNITS_MAX)] = 0
    head_dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    block_count: Count = 0
    batch_norm_momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.9


class AugmentationSettings(Settings, frozen=True, kw_only=True):
    """What is done to whole training batches; 0 or false turns a part off.

    All but crop and flip are strong: they end after `strong_share` of the epochs.
    """

    crop_padding_px: Annotated[int, Meta(ge=0, le=64)] = 4
    flip: bool | Literal["alternating"] = True
    rotation_degrees: Annotated[float, Meta(ge=0, le=180)] = 0.0
    translation_share: Annotated[float, Meta(ge=0, lt=0.5)] = 0.0
    color_jitter: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    cutout_px: Annotated[int, Meta(ge=0, le=512)] = 0
    mixup_alpha: NonNegative = 0.0
    cutmix_alpha: NonNegative = 0.0
    strong_share: Share = 1.0
    random_resized_crop_scale: Annotated[
        float,
        Meta(
            ge=0, le=1, description="Smallest share of the area that a random crop keeps; 0: off."
        ),
    ] = 0.0
    trivial_augment: Annotated[
        bool, Meta(description="One random change of geometry or colour for each image.")
    ] = False
    erasing_probability: Annotated[
        float, Meta(ge=0, le=1, description="Probability that a rectangle is erased; 0: off.")
    ] = 0.0


class FitSettings(Settings, frozen=True, kw_only=True):
    """How weights are fitted; float training and quantization-aware training share it."""

    epochs: PositiveCount = 30
    batch_size: PositiveCount = 128
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Positive = 0.2
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    schedule: Literal["one_cycle", "cosine", "step"] = "one_cycle"
    final_learning_rate: NonNegative = 0.0
    warmup_share: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    step_epochs: PositiveCount = 60
    step_factor: Annotated[float, Meta(gt=0, le=1)] = 0.2
    weight_decay: NonNegative = 0.005
    decay_everything: bool = False
    label_smoothing: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    clip_norm: NonNegative = 0.0
    ema_decay: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    early_stopping_epochs: Count = 0


PrecisionName = Literal["auto", "float32", "bfloat16"]


class TrainSettings(FitSettings, frozen=True, kw_only=True):
    """Float training: what it has beside the fit that it shares with fine-tuning."""

    progressive_px: tuple[PositiveCount, ...] | Literal["auto"] = ()
    progressive_share: Share = 0.6
    recalibrate_batch_norm_count: Count = 0
    teacher: str = ""
    distill_share: Share = 0.5
    distill_temperature: Positive = 2.0
    precision: PrecisionName = "float32"  # fake quantization needs float32: there is no choice
    weights: str = ""


class QatSettings(FitSettings, frozen=True, kw_only=True):
    """Fine-tuning with fake quantization; 0 epochs leaves quantization-aware training out."""

    epochs: Count = 3  # 0 means "no QAT", which float training has not
    learning_rate: Positive = 0.015
    schedule: Literal["one_cycle", "cosine", "step"] = "cosine"
    warmup_share: Annotated[float, Meta(ge=0, lt=1)] = 0.05
    calibration_count: PositiveCount = 512
    freeze_batch_norm_share: Share = 0.5
    freeze_ranges_share: Share = 0.5
    distill_share: Share = 0.0
    distill_temperature: Positive = 2.0


Quantization = Literal["float32", "float16", "dynamic_range", "int8_ptq", "int8_qat"]
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)


class ExportSettings(Settings, frozen=True, kw_only=True):
    """Which `.tflite` files are written, and how their int8 ranges are calibrated."""

    quantizations: tuple[Quantization, ...] = QUANTIZATIONS
    io_type: Literal["int8", "uint8"] = "int8"
    logits: bool = False
    calibration_count: PositiveCount = 512


class BenchmarkSettings(Settings, frozen=True, kw_only=True):
    """How the final figures are measured, on the test split."""

    threads: Annotated[int, Meta(ge=1, le=256)] = 1
    latency_warmup_runs: Count = 10
    latency_runs: PositiveCount = 100
    test_time_augmentation: tuple[str, ...] = ()


class Recipe(Settings, frozen=True, kw_only=True):
    """One experiment, from images to the benchmarked file."""

    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 1
    deterministic: bool = False
    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    train: TrainSettings = TrainSettings()
    qat: QatSettings = QatSettings()
    export: ExportSettings = ExportSettings()
    benchmark: BenchmarkSettings = BenchmarkSettings()


def pipelines_folder() -> Path:
    """Return the folder of the recipes that ship: inside the wheel, or beside the package."""
    package = Path(__file__).parent
    installed = package / "pipelines"
    return installed if installed.is_dir() else package.parent / "pipelines"


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship, sorted."""
    return sorted(path.stem for path in pipelines_folder().glob("*.toml"))


def load_recipe(name_or_path: str, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe by the name of one that ships or by its file, and apply `section.key=value`s.

    Raises:
        UsageError: no such recipe, a folder, not TOML, an unknown key, a value out of its range.
    """
    path = find_recipe(name_or_path)
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} is not a recipe in TOML: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read the recipe {path}: {error.strerror}") from error
    for override in overrides:
        apply_override(content, override)
    return parse_recipe(content, origin=f"recipe {name_or_path}")


def find_recipe(name_or_path: str) -> Path:
    """Return the file of a recipe given by name or by path."""
    shipped = pipelines_folder() / f"{name_or_path}.toml"
    if name_or_path in recipe_names():
        return shipped
    path = Path(name_or_path)
    with contextlib.suppress(OSError):  # a name too long for the file system is no file either
        if name_or_path and path.is_dir():
            raise UsageError(f"the recipe {path} is a folder; give a .toml file or a name")
        if path.is_file():
            return path
    raise UsageError(
        f"no recipe {name_or_path!r}, neither a file nor a name;"
        f" {suggest(name_or_path, recipe_names())}"
    )


def apply_override(content: dict[str, Any], override: str) -> None:
    """Set one `section.key=value` (or `seed=value`) in the content of a recipe.

    The value is read as TOML, and as plain text where it is not TOML (`--set data.name=digits`).
    """
    key, equals, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts) or len(parts) > 2:
        raise UsageError(f"--set {override!r} is not of the form section.key=value")
    section = content
    for part in parts[:-1]:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise UsageError(f"--set {override!r}: {part!r} is not a section of a recipe")
    section[parts[-1]] = parse_value(text.strip())


def parse_value(text: str) -> Any:
    """Return `text` read as a TOML value, or as it stands."""
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return read["value"] if len(read) == 1 else text  # more lines are more keys, not this value


def parse_recipe(content: dict[str, Any], origin: str) -> Recipe:
    """Check the content of a recipe and return it frozen; `origin` names it in errors."""
    check_finite(content, origin, "")
    try:
        return msgspec.convert(content, Recipe)
    except msgspec.ValidationError as error:
        raise UsageError(f"{origin}: {explain(str(error), content)}") from error


def check_finite(value: Any, origin: str, key: str) -> None:
    """Refuse NaN and infinities: TOML has them, comparisons with a range let NaN through."""
    if isinstance(value, dict):
        for name, item in value.items():
            check_finite(item, origin, f"{key}.{name}" if key else name)
    elif isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{origin}: {key} is {value}; give a finite number")


def explain(message: str, content: dict[str, Any]) -> str:
    """Turn msgspec's message into one that names the key, its value and what is allowed."""
    what, _, where = message.partition(" - at `$")
    key = where.rstrip("`").lstrip(".")
    parts = re.findall(r"[^.\[\]]+", key)  # export.quantizations[0] -> export, quantizations, 0
    what = what.replace("`", "")
    if what.startswith("Object contains unknown field"):
        field = what.rsplit(" ", 1)[1]
        section = type(getattr(Recipe(), key)) if key else Recipe  # every section has defaults
        dotted = f"{key}.{field}" if key else field
        return f"unknown key {dotted!r}; {suggest(field, section.__struct_fields__)}"
    value: Any = content
    for part in parts:
        if isinstance(value, list) and part.isdigit():
            value = value[int(part)]
        elif isinstance(value, dict):
            value = value.get(part)
    if len(parts) > 1 and re.match(r"Invalid enum value|Expected .*\bstr\b.*, got", what):
        hints = get_type_hints(type(getattr(Recipe(), parts[0])), include_extras=True)
        choices = list_choices(hints[parts[1]])
        if choices:
            return f"{key} is {value!r}; {suggest(str(value), choices)}"
    return f"{key or 'the recipe'} is {value!r}: {what[0].lower()}{what[1:]}"


def list_choices(hint: Any) -> list[str]:
    """Return what a type hint allows: the words of a Literal, and what else may stand there."""
    if hint is bool:
        return ["true", "false"]
    if hint is float:
        return ["a number"]
    if get_origin(hint) is tuple:
        return list_choices(get_args(hint)[0]) or ["a list"]
    if get_origin(hint) is Literal:
        return [str(choice) for choice in get_args(hint)]
    return [choice for inner in get_args(hint) for choice in list_choices(inner)]


def settings_of(recipe: Recipe, sections: tuple[str, ...]) -> dict[str, Any]:
    """Return the named sections and the seed as plain values, for result.json and comparison."""
    names = ("seed", "deterministic", *sections)
    chosen = {name: getattr(recipe, name) for name in names}
    settings: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(chosen))  # tuples as lists
    return settings


def with_defaults(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings of `settings_of` with what an older version had not yet, at its default.

    A new setting's default is what was done before there was a choice.
    """
    defaults = settings_of(Recipe(), tuple(settings.keys() & set(Recipe.__struct_fields__)))
    return {
        name: {**defaults[name], **value}
        if isinstance(value, dict) and isinstance(defaults.get(name), dict)
        else value
        for name, value in settings.items()
    }


def list_differences(old: dict[str, Any], new: dict[str, Any], key: str = "") -> list[str]:
    """Return one line for every setting that differs: `train.epochs: 30 there, 40 asked`."""
    lines = []
    for name in sorted(old.keys() | new.keys()):
        dotted = f"{key}.{name}" if key else name
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += list_differences(before, after, dotted)
        elif before != after:
            lines.append(f"{dotted}: {before!r} there, {after!r} asked")
    return lines
