"""What of a recipe is refused before any work: contradictions that no range of a setting shows."""

from __future__ import annotations

from mobilenet_tf.data.catalog import DatasetInfo
from mobilenet_tf.errors import UsageError
from mobilenet_tf.evaluation.test_time import check_views
from mobilenet_tf.models.cost import count_costs
from mobilenet_tf.models.variant import Variant
from mobilenet_tf.recipe import QatSettings, Recipe, TrainSettings
from mobilenet_tf.training.progressive import progressive_sides

LARGEST_KERNEL = 2**25  # float32 values: 2^30 bits, beyond which the converter folds no constant


def check_recipe(recipe: Recipe, variant: Variant, info: DatasetInfo) -> None:
    """Refuse at once what a later stage would refuse: sizes and contradictions.

    Raises:
        UsageError: a setting contradicts another one, the network or the dataset.
    """
    largest = max(count_costs(variant).layers, key=lambda layer: layer.folded_weights)
    if recipe.qat.epochs and largest.folded_weights > LARGEST_KERNEL:
        raise UsageError(
            f"the kernel of {largest.name} has {largest.folded_weights:,} values, fake-quantized"
            f" ones have at most {LARGEST_KERNEL:,}; lower model.alpha, or set qat.epochs=0"
        )
    if info.source != "folder" and recipe.data.validation_count >= info.train_count:
        raise UsageError(
            f"data.validation_count {recipe.data.validation_count} leaves nothing to train on:"
            f" {info.name} has {info.train_count:,} training images"
        )
    for section in ("train", "qat"):
        _check_enough_images(section, recipe, info)
        check_fit(section, recipe)
    _check_augmentation(recipe, info)
    check_rounds(recipe)
    growing = progressive_sides(recipe, variant)
    if growing and not recipe.train.progressive_share:
        raise UsageError(
            f"train.progressive_px {list(growing)} is ignored because train.progressive_share is"
            " 0; give a share, or no sides"
        )
    if recipe.train.teacher and not recipe.train.distill_share:
        raise UsageError(
            f"train.teacher {recipe.train.teacher} is ignored because train.distill_share is 0;"
            " give a share, or no teacher"
        )
    for name in ("head_first", "freeze_batch_norm"):
        if getattr(recipe.train, name) and not recipe.train.weights:
            raise UsageError(
                f"train.{name} is ignored because train.weights is empty; give weights, or set it"
                " to false"
            )
    if recipe.train.freeze_batch_norm and recipe.train.recalibrate_batch_norm_count:
        raise UsageError(
            "train.freeze_batch_norm keeps what train.recalibrate_batch_norm_count"
            f" {recipe.train.recalibrate_batch_norm_count} would estimate anew; leave one out"
        )
    _check_export(recipe)
    views = recipe.benchmark.test_time_augmentation
    check_views(views)
    if views and not info.flip_safe:
        raise UsageError(
            "benchmark.test_time_augmentation mirrors or turns images, which changes the class of"
            f" some of {info.name}'s; leave it empty"
        )


def _check_export(recipe: Recipe) -> None:
    quantizations = recipe.export.quantizations
    if not quantizations:
        raise UsageError("export.quantizations is empty; name at least one")
    if len(set(quantizations)) < len(quantizations):
        raise UsageError(
            f"export.quantizations {', '.join(quantizations)} names one twice; name each once"
        )
    if recipe.export.accepted_accuracy and not recipe.data.validation_count:
        raise UsageError(
            f"export.accepted_accuracy {recipe.export.accepted_accuracy:g} needs a validation"
            " split; set data.validation_count, or leave it 0"
        )
    if set(quantizations) == {"int8_qat"} and not recipe.qat.epochs:
        raise UsageError(
            "export.quantizations is int8_qat alone and qat.epochs is 0; give qat.epochs, or"
            " export int8_ptq"
        )


def _check_enough_images(section: str, recipe: Recipe, info: DatasetInfo) -> None:
    fit: TrainSettings | QatSettings = getattr(recipe, section)
    left = info.train_count - recipe.data.validation_count
    if info.source != "folder" and fit.batch_size > left:
        raise UsageError(
            f"{section}.batch_size {fit.batch_size} is larger than the {left:,} training"
            f" images; give at most {left}, or lower data.validation_count"
        )
    if fit.early_stopping_epochs and not recipe.data.validation_count:
        raise UsageError(
            f"{section}.early_stopping_epochs {fit.early_stopping_epochs} needs a validation"
            " split; set data.validation_count, or 0 epochs"
        )


def check_fit(section: str, recipe: Recipe) -> None:
    """Refuse (UsageError) settings of [train] or [qat] that contradict each other."""
    fit: TrainSettings | QatSettings = getattr(recipe, section)
    if fit.batch_size % fit.ghost_batches:
        raise UsageError(
            f"{section}.batch_size {fit.batch_size} does not divide into {section}.ghost_batches"
            f" {fit.ghost_batches}; give a multiple of {fit.ghost_batches}"
        )
    if fit.final_learning_rate > fit.learning_rate:
        raise UsageError(
            f"{section}.final_learning_rate {fit.final_learning_rate:g} is above"
            f" {section}.learning_rate {fit.learning_rate:g}, which falls to it"
        )
    if fit.schedule == "step" and fit.final_learning_rate:
        raise UsageError(
            f"{section}.final_learning_rate {fit.final_learning_rate:g} is ignored because"
            f" {section}.schedule is 'step'; leave it 0"
        )
    taught = section == "qat" or recipe.train.teacher
    if fit.class_balance and taught and fit.distill_share == 1:
        raise UsageError(
            f"{section}.class_balance {fit.class_balance:g} is ignored because"
            f" {section}.distill_share is 1, so that no label is learned from; leave it 0: the"
            " answers that are learned from have the teacher's balance"
        )


def _check_augmentation(recipe: Recipe, info: DatasetInfo) -> None:
    settings, side_px = recipe.augmentation, min(info.image_shape[:2])
    for name in ("crop_padding_px", "cutout_px"):
        size_px = getattr(settings, name)
        if size_px >= side_px:
            raise UsageError(
                f"augmentation.{name} {size_px} is not smaller than the {side_px} px of"
                f" {info.name}'s images; choose 0 to {side_px - 1}"
            )
    if settings.flip and not info.flip_safe:
        raise UsageError(
            f"augmentation.flip mirrors images, which changes the class of some of {info.name}'s;"
            " set augmentation.flip=false"
        )


def check_rounds(recipe: Recipe) -> None:
    """Refuse (UsageError) rounds of distinct epochs whose last is cut off in its strong part."""
    share, epochs = recipe.augmentation.strong_share, recipe.train.epochs
    round_epochs = recipe.train.round_epochs
    last = (epochs - 1) % round_epochs
    if round_epochs < epochs and share < 1 and last / round_epochs < share:
        raise UsageError(
            f"augmentation.strong_share {share:g} ends the strong part of every"
            f" {round_epochs} train.distinct_epochs, and {epochs} train.epochs end within one;"
            f" give {epochs - epochs % round_epochs} epochs, or a strong_share of 1"
        )


def check_machine(recipe: Recipe) -> None:
    """Refuse (UsageError) to train in bfloat16 where this machine could only emulate it."""
    if recipe.train.precision != "bfloat16":
        return
    from mobilenet_tf.training.precision import find_gpus, has_bfloat16

    if has_bfloat16():
        return
    what = "the GPU" if find_gpus() else "this processor"
    raise UsageError(
        f"train.precision is 'bfloat16', and {what} does not multiply in bfloat16; use float32, or"
        " auto"
    )
