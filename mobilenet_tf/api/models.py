"""Models by name, with trained weights where they are wanted."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

from mobilenet_tf.data.catalog import recipe_dataset
from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.catalog import MODELS, model_table
from mobilenet_tf.models.published import IMAGENET_CLASSES
from mobilenet_tf.models.variant import IMAGE_CHANNELS, make_variant
from mobilenet_tf.recipe import ModelSettings, Options, Recipe
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.zoo.shelf import find_weights, load_card, load_cards

IMAGENET_PX = 224  # what Keras' applications build by default


def list_models(pattern: str = "*", *, pretrained: bool = False) -> list[str]:
    """Return the names that `create_model` takes, those that match a pattern with `*` and `?`.

    With `pretrained`, the names of the trained models that ship (`mtf zoo`).

    Examples:
        >>> import mobilenet_tf as mtf
        >>> mtf.list_models("*v3*")
    """
    names = [card.name for card in load_cards()] if pretrained else list(MODELS)
    return fnmatch.filter(names, pattern)


def create_model(
    name: str,
    *,
    alpha: float | None = None,
    resolution: int | tuple[int, int] | None = None,
    classes: int | None = None,
    weights: str | Path | None = None,
    stride_plan: str | None = None,
    dropout: float | None = None,
    classifier_activation: str | None = None,
    seed: int | None = None,
    options: Options | None = None,
) -> Any:
    """Build a Keras model by name, with trained weights if asked for.

    Input (batch, height, width, 3) float32, normalised as (byte - 128) / 128; output
    (batch, classes), logits unless `classifier_activation` is given.

    Args:
        name: a model or its alias (`list_models()`: "mobilenet_v3_small", "v3s"), or a trained
            model that ships (`list_models(pretrained=True)`), which brings its weights along.
        alpha: width multiplier, in (0, 1.5]; the default is that of the weights, else 1.
        resolution: side of the input in pixels, or (height, width); as the weights, else 224.
        classes: number of outputs; as the weights, else 1000. With another number than the
            weights have, the classifier starts at random and everything else is loaded.
        weights: "imagenet" (Keras' published weights, downloaded the first time), a trained model
            that ships, a dataset that it was trained on ("cifar10", for this very network), the
            folder of a run, or a file: `.safetensors`, or Keras' `.h5` or `.keras`, whose input
            scale is folded into the first layer. None: random weights.
        stride_plan: "cifar" or "imagenet"; as the weights, else "cifar" below 96 pixels.
        dropout: rate before the classifier, in [0, 1); None is the paper's.
        classifier_activation: name of a Keras activation such as "softmax"; None gives logits,
            which `train`, `quantize` and `export` need.
        seed: makes random weights repeatable.
        options: departures from the paper's network; as the weights, else none.

    Raises:
        UsageError: an unknown name, or an argument out of its range.
        MtfError: the weights are missing, damaged, or of another network.

    Examples:
        >>> import mobilenet_tf as mtf
        >>> model = mtf.create_model("mobilenet_v2", alpha=0.5, resolution=32, classes=5)
        >>> trained = mtf.create_model("cifar10_v1_025_r32")
        >>> start = mtf.create_model("mobilenet_v1", weights="cifar10_v1_025_r32", classes=5)
        >>> pretrained = mtf.create_model("mobilenet_v2", weights="imagenet", classes=5)
    """
    from mobilenet_tf.models.keras_builder import build_variant
    from mobilenet_tf.models.weights import load_features

    if weights is None and name in list_models(pretrained=True):
        weights, name = name, load_card(name).model
    name = next((table.name for table in MODELS.values() if table.alias == name), name)
    model_table(name)  # refuses an unknown one
    source = None if weights is None else _recipe_of(weights)
    known = source.model if source and source.model.name == name else None
    default = known or ModelSettings(alpha=1.0, resolution_px=IMAGENET_PX)
    if stride_plan is None and known:
        stride_plan = known.stride_plan
    variant = make_variant(
        name,
        alpha=default.alpha if alpha is None else alpha,
        resolution_px=default.resolution_px if resolution is None else resolution,
        classes=_count_classes(weights, source) if classes is None else classes,
        stride_plan=stride_plan,
        options=options or default.options,
    )
    file = None
    if weights is not None:
        file = find_weights(weights, variant, top=variant.classes == IMAGENET_CLASSES)[1]
    model = build_variant(variant, dropout=dropout, activation=classifier_activation, seed=seed)
    if file is not None:
        load_features(model, file)
    return model


def MobileNetV1(  # noqa: N802  # named as Keras names its applications
    input_shape: tuple[int, int, int] = (IMAGENET_PX, IMAGENET_PX, IMAGE_CHANNELS),
    *,
    alpha: float = 1.0,
    classes: int | None = None,
    weights: str | Path | None = None,
    stride_plan: str | None = None,
    block_count: int = 0,
    dropout: float = 1e-3,
    classifier_activation: str | None = "softmax",
) -> Any:
    """Build MobileNetV1 as tf_keras.applications does, with the arguments of `create_model`.

    `block_count` keeps the first of the 13 separable blocks, 0 all. arXiv 1704.04861, table 1.

    Raises:
        UsageError: an argument is out of its range, or there are no such weights.
        MtfError: the weights are damaged, or of another network.

    Examples:
        >>> import mobilenet_tf as mtf
        >>> model = mtf.MobileNetV1((32, 32, 3), alpha=0.25, classes=10, weights="cifar10")
    """
    is_shape = isinstance(input_shape, (tuple, list)) and len(input_shape) == 3
    if not is_shape or input_shape[2] != IMAGE_CHANNELS:
        raise UsageError(f"input_shape {input_shape!r} is not (height, width, {IMAGE_CHANNELS})")
    return create_model(
        "mobilenet_v1",
        alpha=alpha,
        resolution=(input_shape[0], input_shape[1]),
        classes=classes,
        weights=weights,
        stride_plan=stride_plan,
        dropout=dropout,
        classifier_activation=classifier_activation,
        options=Options(block_count=block_count),
    )


def _recipe_of(weights: str | Path) -> Recipe | None:
    """Return the recipe that weights were made with; None if they are a file or a dataset's."""
    if str(weights) in list_models(pretrained=True) and not Path(weights).is_file():
        return load_card(str(weights)).recipe
    run = RunFolder(Path(weights))
    return run.load_recipe() if Path(weights).is_dir() and run.has_recipe() else None


def _count_classes(weights: str | Path | None, source: Recipe | None) -> int:
    if source is not None:
        return recipe_dataset(source).class_count
    for card in load_cards() if weights is not None else ():
        if card.dataset == str(weights):
            return len(card.classes)
    return IMAGENET_CLASSES
