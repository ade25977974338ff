"""The one training loop, for float and for quantization-aware training.

Its state after an epoch is a function of its state before and of the seed alone, so a run killed
at any moment continues from its checkpoint as if nothing had happened.
"""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec.structs import replace

from mobilenet_tf.data.batches import TrainingBatches, steps_per_epoch
from mobilenet_tf.data.splits import Split
from mobilenet_tf.errors import MtfError
from mobilenet_tf.evaluation.metrics import evaluate, make_keras_predict_fn
from mobilenet_tf.evaluation.test_time import PredictFn
from mobilenet_tf.keras import keras
from mobilenet_tf.models.weights import count_parameters
from mobilenet_tf.recipe import AugmentationSettings, FitSettings
from mobilenet_tf.runs.history import save_history
from mobilenet_tf.runs.results import Epoch, FitMetrics
from mobilenet_tf.system import terminal
from mobilenet_tf.system.interrupt import raise_if_interrupted
from mobilenet_tf.training.checkpoint import FitState, load_checkpoint, save_checkpoint
from mobilenet_tf.training.distillation import Teacher
from mobilenet_tf.training.log import Meter, format_epoch, scalar_log
from mobilenet_tf.training.optimizer import weigh_classes
from mobilenet_tf.training.schedule import learning_rate_at
from mobilenet_tf.training.trainer import Trainer
from mobilenet_tf.training.workers import join_workers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FitPlan:
    """How a model is fitted: everything but the model and the images.

    `label` is the section of the recipe that `settings` come from. `phase` and `sides` are called
    before an epoch with the share of the run that is done, in [0, 1): the first prepares it and
    tells whether the step has to be built anew, the second gives the side of its images in pixels.
    `later_s` estimates the time of what the command does afterwards from that of one epoch.
    """

    label: Literal["train", "qat"]
    settings: FitSettings
    augmentation: AugmentationSettings
    seed: int
    folder: Path
    phase: Callable[[float], bool] | None = None
    sides: Callable[[float], int] | None = None
    teacher: Teacher | None = None
    bfloat16_layers: Collection[str] = ()  # while training, and only then
    later_s: Callable[[float], float] | None = None

    def estimate_left_s(self, number: int, epoch_s: float) -> tuple[float, float]:
        """Return the seconds left after epoch `number`, from 0: of the training, of the command.

        An epoch takes as long as it has pixels; `epoch_s` is the time of this one.
        """
        epochs, sides = self.settings.epochs, self.sides
        pixels = [sides(i / epochs) ** 2 if sides else 1 for i in range(epochs)]
        pixel_s = epoch_s / pixels[number]
        left_s = pixel_s * sum(pixels[number + 1 :])
        return left_s, left_s + (self.later_s(pixel_s * pixels[-1]) if self.later_s else 0.0)


class ValidationScore(msgspec.Struct, frozen=True):
    """What validation says of an epoch."""

    loss: float
    top1: float


def fit(model: Any, train: Split, validation: Split | None, plan: FitPlan) -> FitMetrics:
    """Fit `model` (images (B, R, R, 3) float32 -> logits (B, C)) and leave it at its best epoch.

    Writes a checkpoint, history.csv and TensorBoard scalars into the plan's folder after every
    epoch, and continues from the checkpoint it finds there. The best epoch is the last one whose
    validation accuracy is within a standard error of the highest; without validation the last one.

    Raises:
        MtfError: training diverged, or the checkpoint is damaged.
    """
    settings, epochs, resolution_px = plan.settings, plan.settings.epochs, model.input_shape[1]
    class_weights = weigh_classes(train.labels, model.output_shape[-1], settings.class_balance)
    workers = join_workers()
    setting = f"{plan.label}.batch_size"
    workers.check_batch_size(settings.batch_size, setting, settings.ghost_batches)
    trainer = Trainer(
        model, settings, plan.teacher, plan.bfloat16_layers, class_weights, workers=workers
    )
    if plan.sides:
        model.input_spec = keras.layers.InputSpec(ndim=4)  # convolutions take any size
    state, best = resume(trainer, plan)
    steps = steps_per_epoch(len(train.labels), settings.batch_size)
    part = (workers.index, workers.count)
    batches = open_batches(model, train, plan, part, first_epoch=len(state.history))
    predict = make_keras_predict_fn(model)
    with scalar_log(plan.folder) as write_scalars:
        for number in range(len(state.history), epochs):
            if should_stop(state, settings, resolution_px):
                break
            if plan.phase and plan.phase(number / epochs):
                trainer.step = trainer.build_step()
            clock = time.monotonic()
            epoch = run_epoch(trainer, batches, plan, number, steps)
            if validation is None:
                best, state.kept_epoch = trainer.deployed_weights(), number + 1
            else:
                score = validate(trainer, predict, validation)
                epoch = replace(epoch, validation_loss=score.loss, validation_accuracy=score.top1)
                if state.keeps(number + 1, score.top1, len(validation)):
                    best = trainer.deployed_weights()
            epoch = replace(epoch, epoch_s=round(time.monotonic() - clock, 2))
            state.history.append(epoch)
            arrays = {name: v.numpy() for name, v in trainer.variables().items()}
            save_checkpoint(plan.folder, arrays, best, state)
            save_history(plan.folder, state.history)
            write_scalars(epoch)
            left_s = plan.estimate_left_s(number, epoch.epoch_s)
            log.info(format_epoch(plan.label, epoch, epochs, left_s))
    trainer.assign(best)
    return FitMetrics(
        parameters=count_parameters(model),
        train_count=len(train.labels),
        validation_count=0 if validation is None else len(validation.labels),
        best_epoch=state.kept_epoch,
        selection="last epoch" if validation is None else "validation",
        validation_top1=state.history[state.kept_epoch - 1].validation_accuracy,
        epochs_done=len(state.history),
        stopped_early=should_stop(state, settings, resolution_px),
        steps_per_epoch=steps,
        images_per_s=round(statistics.median(each.images_per_s for each in state.history), 1),
        fit_time_s=round(sum(each.epoch_s for each in state.history), 1),
    )


def open_batches(
    model: Any, train: Split, plan: FitPlan, part: tuple[int, int], first_epoch: int
) -> Iterator[tuple[Any, Any]]:
    """Return one worker's part of the batches that are left, from `first_epoch`, counted from 0."""
    round_epochs = plan.settings.round_epochs
    batches = TrainingBatches(
        split=train,
        augmentation=plan.augmentation,
        resolution_px=model.input_shape[1],
        batch_size=plan.settings.batch_size,
        class_count=model.output_shape[-1],
        seed=plan.seed,
        epochs=round_epochs,
        part=part,
    )
    done = first_epoch % round_epochs
    dataset = batches.from_epoch(done)
    while first_epoch < plan.settings.epochs:
        count = min(round_epochs - done, plan.settings.epochs - first_epoch)
        yield from dataset.take(count * batches.steps)
        first_epoch += count
        if done and first_epoch < plan.settings.epochs:
            dataset, done = batches.from_epoch(), 0  # for all rounds to come: it holds the images


def validate(trainer: Trainer, predict: PredictFn, validation: Split) -> ValidationScore:
    """Return the chief's score of the deployed weights, on every worker the same."""
    workers, told = trainer.workers, b""
    if workers.is_chief:
        side_px = trainer.model.input_shape[1]
        with trainer.deployed():
            score = evaluate(predict, validation, resolution_px=side_px, label="validating")
        told = msgspec.json.encode(ValidationScore(score.loss, score.top1))
    return msgspec.json.decode(workers.tell(told), type=ValidationScore)


def resume(trainer: Trainer, plan: FitPlan) -> tuple[FitState, dict[str, np.ndarray]]:
    """Return the state after the last finished epoch and its best weights; fresh ones at first."""
    held = load_checkpoint(plan.folder)
    if held is None:
        return FitState(), {}
    trainer.restore(held.arrays, plan.folder)
    history = held.state.history
    save_history(plan.folder, history)  # it may have been killed between the two
    log.info("%s: continuing after epoch %d of %d", plan.label, len(history), plan.settings.epochs)
    return held.state, held.best


def run_epoch(
    trainer: Trainer, batches: Iterator[tuple[Any, Any]], plan: FitPlan, number: int, steps: int
) -> Epoch:
    """Train for epoch `number`, counted from 0, and return what is known of it so far."""
    epochs = plan.settings.epochs
    side_px = plan.sides(number / epochs) if plan.sides else None
    meter = Meter(steps, lambda epoch_s: plan.estimate_left_s(number, epoch_s)[1])
    tracing = f"{plan.label}: tracing the step"
    answers = plan.teacher.answers if plan.teacher else None
    with terminal.bar(f"{plan.label} {number + 1}/{epochs}", steps) as advance:
        for step in range(number * steps, (number + 1) * steps):
            raise_if_interrupted()
            rate = learning_rate_at(step, plan.settings, steps)
            trainer.optimizer.learning_rate.assign(rate)
            images, labels = next(batches)
            answer = answers.batch(step % (plan.settings.round_epochs * steps)) if answers else None
            taught = None if answer is None else trainer.workers.share_out(answer)
            with nullcontext() if meter.losses else terminal.bar(tracing, None):
                loss, accuracy = trainer.step(images, labels, side_px, taught)
            meter.add(float(loss), float(accuracy), len(images) * trainer.workers.count)
            if not math.isfinite(meter.losses[-1]):
                raise _diverged(f"the loss became {meter.losses[-1]}", plan, step, number)
            advance(1, meter.note)
    for name, variable in trainer.variables().items():  # before they are validated and kept
        if variable.dtype.is_floating and not np.isfinite(variable.numpy()).all():
            raise _diverged(f"{name.removesuffix(':0')} is no longer finite", plan, step, number)
    return Epoch(
        epoch=number + 1,
        loss=round(float(np.mean(meter.losses)), 5),
        accuracy=round(float(np.mean(meter.accuracies)), 5),
        learning_rate=rate,
        resolution_px=side_px,
        images_per_s=round(meter.images_per_s, 1),
        epoch_s=0.0,
    )


def _diverged(what: str, plan: FitPlan, step: int, epoch: int) -> MtfError:
    kept = f"the checkpoint of epoch {epoch} is kept: continue with --allow-changes and"
    return MtfError(
        f"training diverged: {what} at step {step + 1} (epoch {epoch + 1});"
        f" {kept if epoch else 'run it again with'} a lower {plan.label}.learning_rate, say"
        f" {plan.settings.learning_rate / 4:.3g}, or with {plan.label}.clip_norm 1"
    )


def should_stop(state: FitState, settings: FitSettings, full_px: int) -> bool:
    """Tell whether validation has not improved for `early_stopping_epochs` epochs at full size.

    While images grow, validation at full size says little.
    """
    patience, history = settings.early_stopping_epochs, state.history
    small = sum((epoch.resolution_px or full_px) < full_px for epoch in history)
    return bool(patience and history and len(history) - max(state.best_epoch, small) >= patience)
