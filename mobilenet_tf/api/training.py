"""Labelled images, float training and quantization-aware training, in memory."""

from __future__ import annotations

import contextlib
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from mobilenet_tf.data.catalog import dataset_info
from mobilenet_tf.errors import UsageError
from mobilenet_tf.recipe import (
    AugmentationSettings,
    DataSettings,
    FitSettings,
    QatSettings,
    Recipe,
    TrainSettings,
    format_value,
    replace_settings,
)

if TYPE_CHECKING:
    from mobilenet_tf.data.splits import Split

ONLY_IN_MTF_TRAIN = (  # settings of [train] that `train` does not read
    "progressive_px",
    "progressive_share",
    "recalibrate_batch_norm_count",
    "calibrate_confidence",
    "teacher",
    "distill_share",
    "distill_temperature",
    "precision",
    "weights",
)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images: `classes` by name, and a `Split` (images, labels) for each use.

    `validation` is None where nothing is held out. `flip_safe` tells whether a mirrored image
    still shows its class.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split | None
    test: Split
    flip_safe: bool = False


def load_dataset(
    name: str,
    split: str | None = None,
    *,
    validation_count: int | None = None,
    seed: int = 1,
    data_dir: Path | None = None,
) -> Any:
    """Return a dataset as a `Dataset`, or one `split` of it, "train", "validation" or "test".

    Images are uint8 (N, H, W, 3), labels int64 (N,). Validation is held out of the training
    images, every class in its proportion: `validation_count` images, a tenth by default.

    Raises:
        UsageError: an unknown dataset or split, or `data_dir` does not hold it.
        MtfError: it cannot be downloaded, or is damaged.

    Examples:
        >>> import mobilenet_tf as mtf
        >>> data = mtf.load_dataset("digits")
        >>> data.train.images.shape, data.classes
    """
    from mobilenet_tf.data.sources import load_test_split
    from mobilenet_tf.data.training import load_training_data

    info = dataset_info(name)
    if split not in (None, "train", "validation", "test"):
        raise UsageError(f"split {split!r} is not 'train', 'validation' or 'test', nor None")
    if split == "test":
        return load_test_split(name, data_dir)
    held_out = info.train_count // 10 if validation_count is None else validation_count
    recipe = Recipe(seed=seed, data=DataSettings(name=name, validation_count=held_out))
    data = load_training_data(recipe, data_dir)
    if split:
        return data.train if split == "train" else data.validation
    test = load_test_split(name, data_dir)
    return Dataset(name, info.classes, data.train, data.validation, test, info.flip_safe)


def train(
    model: Any,
    data: Dataset,
    *,
    epochs: int = 30,
    learning_rate: float = 0.2,
    batch_size: int = 128,
    seed: int = 1,
    out: Path | str | None = None,
    settings: TrainSettings | None = None,
    augmentation: AugmentationSettings | None = None,
) -> Any:
    """Train a model that gives logits on the training images, and return it at its best epoch.

    The best epoch is the last one within a standard error of the highest validation accuracy;
    without validation images it is the last.

    Args:
        model: a Keras model of (N, R, R, 3), as `create_model` builds; it is changed in place.
        data: what `load_dataset` returns.
        epochs, learning_rate, batch_size: the peak of the one-cycle schedule, images a step.
        seed: decides the order of the images and how they are augmented.
        out: a folder for checkpoints and history.csv; training continues from what it holds.
        settings: the other settings of `[train]` in a recipe (`mobilenet_tf.recipe`); the arguments
            above win over its own. A teacher, progressive resizing, batch-norm recalibration,
            calibrated confidence and bfloat16 are for `mtf train` alone; for initial weights give
            `create_model` its `weights`.
        augmentation: the settings of `[augmentation]`; by default crops, and flips where safe.

    Raises:
        UsageError: the model ends in a softmax, is not square or has another number of classes; a
            setting is out of its range, contradicts another one or is for `mtf train` alone, or
            early stopping has no validation images.
        MtfError: the loss is no longer finite.

    Examples:
        >>> import mobilenet_tf as mtf
        >>> data = mtf.load_dataset("digits")
        >>> model = mtf.create_model("mobilenet_v1", alpha=0.25, resolution=32, classes=10)
        >>> model = mtf.train(model, data, epochs=5)
    """
    from mobilenet_tf.pipeline.checks import check_fit, check_rounds
    from mobilenet_tf.runs.folder import CHECKPOINT_FILE
    from mobilenet_tf.training.head import fit_head
    from mobilenet_tf.training.loop import FitPlan, fit
    from mobilenet_tf.training.recalibration import frozen_batch_norm

    augmentation = augmentation or AugmentationSettings(flip=data.flip_safe)
    recipe = Recipe(train=settings or TrainSettings(), augmentation=augmentation)
    recipe = _with_arguments(recipe, "train", epochs, learning_rate, batch_size)
    fit_settings = recipe.train
    _check_supported(fit_settings)
    check_fit("train", recipe)
    check_rounds(recipe)
    _check_early_stopping(fit_settings, data)
    _prepare(model, data, "train", seed)
    with _work_folder(out) as folder:
        if fit_settings.head_first and not (folder / CHECKPOINT_FILE).is_file():
            fit_head(model, data.train, class_balance=fit_settings.class_balance, seed=seed)
        plan = FitPlan("train", fit_settings, augmentation, seed, folder)
        frozen = fit_settings.freeze_batch_norm
        with frozen_batch_norm(model) if frozen else contextlib.nullcontext():
            fit(model, data.train, data.validation, plan)
    return model


def quantize(
    model: Any,
    data: Dataset,
    *,
    epochs: int = 2,
    learning_rate: float = 0.001,
    batch_size: int = 128,
    seed: int = 1,
    out: Path | str | None = None,
    settings: QatSettings | None = None,
) -> Any:
    """Return a model fine-tuned with fake quantization, ready for `export` as "int8_qat".

    It learns from the float model, which keeps its weights. Ranges are calibrated and nothing is
    trained with 0 epochs, or where training gains nothing.
    Arguments and errors are those of `train`; `settings` are those of `[qat]` in a recipe, all of
    which are supported.

    Examples:
        >>> import mobilenet_tf as mtf
        >>> data = mtf.load_dataset("cifar10")
        >>> model = mtf.create_model("cifar10_v1_025_r32")
        >>> quantized = mtf.quantize(model, data, epochs=1)
    """
    from mobilenet_tf.keras import keras
    from mobilenet_tf.pipeline.checks import check_fit
    from mobilenet_tf.quantization.bias import round_biases
    from mobilenet_tf.quantization.qat import deploy
    from mobilenet_tf.training.fine_tuning import fine_tune, prepare_twin
    from mobilenet_tf.training.loop import FitPlan

    recipe = Recipe(qat=settings or QatSettings())
    recipe = _with_arguments(recipe, "qat", epochs, learning_rate, batch_size)
    qat = recipe.qat
    check_fit("qat", recipe)
    _check_early_stopping(qat, data)
    _prepare(model, data, "quantize", seed)
    source = keras.models.clone_model(model)  # takes over the trained weights in `deploy`
    source.set_weights(model.get_weights())
    if epochs:
        augmentation = AugmentationSettings(flip=data.flip_safe)
        with _work_folder(out) as folder:
            plan = FitPlan("qat", qat, augmentation, seed, folder)
            twin = fine_tune(source, data.train, data.validation, plan, seed).twin
    else:
        twin, _ = prepare_twin(source, data.train, qat, seed)
    deployed = deploy(twin, source)
    round_biases(deployed)  # as the file's
    return deployed


def _with_arguments(
    recipe: Recipe, section: str, epochs: int, learning_rate: float, batch_size: int
) -> Recipe:
    """Return the recipe with the settings that are arguments, their ranges checked."""
    given = {"epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size}
    return replace_settings(recipe, {f"{section}.{name}": given[name] for name in given})


def _check_supported(settings: TrainSettings) -> None:
    """Refuse settings of what only the stage `mtf train` does."""
    usual = TrainSettings()
    if settings.precision == "float32":  # as it always is here
        settings = replace(settings, precision=usual.precision)
    for name in ONLY_IN_MTF_TRAIN:
        value = getattr(settings, name)
        if value != getattr(usual, name):
            text = format_value(value)
            option = shlex.join(["--set", f"train.{name}={text}"])
            raise UsageError(
                f"train.{name} is {text}, which train() in Python does not support; leave it at"
                f" its default, or use the command line: mtf train {option}"
            )


def _check_early_stopping(settings: FitSettings, data: Dataset) -> None:
    """Refuse to stop early where there are no validation images to tell when."""
    patience = settings.early_stopping_epochs
    if patience and data.validation is None:
        raise UsageError(
            f"early_stopping_epochs is {patience} and {data.name} has no validation images; load it"
            " with a validation_count, or leave early_stopping_epochs at 0"
        )


def _prepare(model: Any, data: Dataset, what: str, seed: int) -> None:
    """Refuse a model that cannot be trained on these images; seed everything."""
    from mobilenet_tf.models.outputs import check_logits, check_model
    from mobilenet_tf.training.trainer import seed_everything

    check_model(model, what)
    check_logits(model, what)
    outputs, count = model.output_shape[-1], len(data.classes)
    if outputs != count:
        raise UsageError(
            f"model {model.name!r} has {outputs} outputs and {data.name} {count} classes; build it"
            f" with classes={count}"
        )
    height_px, width_px = model.input_shape[1:3]
    if height_px is None or height_px != width_px:
        raise UsageError(
            f"model {model.name!r} takes images of {height_px} x {width_px} px; {what} needs a"
            " square of fixed size"
        )
    seed_everything(seed, deterministic=False)


@contextlib.contextmanager
def _work_folder(out: Path | str | None) -> Iterator[Path]:
    """Yield the folder of a training: `out`, or one that goes away."""
    with contextlib.nullcontext(out) if out else tempfile.TemporaryDirectory() as name:
        Path(name).mkdir(parents=True, exist_ok=True)
        yield Path(name)
