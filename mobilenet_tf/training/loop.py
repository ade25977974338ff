"""The one training loop, for float and for quantization-aware training.

Its state after an epoch is a function of its state before and of the seed alone, so a run killed
at any moment continues from its checkpoint as if nothing had happened.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from msgspec.structs import replace

from mobilenet_tf.data.pipeline import make_training_batches, steps_per_epoch
from mobilenet_tf.data.splits import Split
from mobilenet_tf.evaluation.metrics import evaluate, make_keras_predict_fn
from mobilenet_tf.keras import keras
from mobilenet_tf.recipe import AugmentationSettings, FitSettings
from mobilenet_tf.runs.history import Epoch, save_history
from mobilenet_tf.system import terminal
from mobilenet_tf.system.duration import format_duration
from mobilenet_tf.system.interrupt import raise_if_interrupted
from mobilenet_tf.training.checkpoint import FitState, load_checkpoint, save_checkpoint
from mobilenet_tf.training.distillation import Teacher
from mobilenet_tf.training.divergence import find_broken, make_divergence
from mobilenet_tf.training.log import ScalarLog, estimate_left_s, format_epoch
from mobilenet_tf.training.schedule import learning_rate_at
from mobilenet_tf.training.trainer import Trainer

log = logging.getLogger(__name__)
NOTED_STEPS = 10  # steps between two notes behind the bar


class Phase(Protocol):
    """Called before every epoch with its share of the run; True asks for a new training step."""

    def __call__(self, share_done: float) -> bool:
        """Prepare the epoch that begins at `share_done`, in [0, 1)."""


class Sides(Protocol):
    """How large the images are that the network trains on in the course of a run."""

    def __call__(self, share_done: float) -> int:
        """Return the side in pixels for the epoch that begins at `share_done`, in [0, 1)."""


@dataclass(frozen=True)
class FitPlan:
    """How a model is fitted: everything but the model and the images.

    `label` is the section of the recipe that `settings` come from. `bfloat16_layers` multiply in
    bfloat16 while training, and only then. `later_s` estimates the seconds that the command takes
    after this training, from those of one epoch.
    """

    label: Literal["train", "qat"]
    settings: FitSettings
    augmentation: AugmentationSettings
    seed: int
    folder: Path
    phase: Phase | None = None
    sides: Sides | None = None
    teacher: Teacher | None = None
    bfloat16_layers: Collection[str] = ()
    later_s: Callable[[float], float] | None = None


@dataclass(frozen=True)
class Fitted:
    """What came of a fit; the model itself holds the weights of the best epoch."""

    history: tuple[Epoch, ...]
    best_epoch: int
    selection: Literal["validation", "last epoch"]
    stopped_early: bool
    steps_per_epoch: int

    @property
    def best(self) -> Epoch:
        """The epoch whose weights were kept."""
        return self.history[self.best_epoch - 1]


def fit(model: Any, train: Split, validation: Split | None, plan: FitPlan) -> Fitted:
    """Fit `model` (images (B, R, R, 3) float32 -> logits (B, C)) and leave it at its best epoch.

    Writes a checkpoint, history.csv and TensorBoard scalars into the plan's folder after every
    epoch, and continues from the checkpoint it finds there. The best epoch is the one with the
    highest validation accuracy, the earliest of equals; without validation it is the last one.

    Raises:
        MtfError: training diverged, or the checkpoint is damaged.
    """
    settings, epochs, resolution_px = plan.settings, plan.settings.epochs, model.input_shape[1]
    trainer = Trainer(model, settings, plan.teacher, plan.bfloat16_layers)
    if plan.sides:
        model.input_spec = keras.layers.InputSpec(ndim=4)  # convolutions take any size
    state, best = resume(trainer, plan)
    steps = steps_per_epoch(len(train.labels), settings.batch_size)
    batches = make_batches(model, train, plan, first_epoch=len(state.history))
    predict = make_keras_predict_fn(model)
    with ScalarLog(plan.folder) as scalars:
        for number in range(len(state.history), epochs):
            if should_stop(state, settings, resolution_px):
                break
            if plan.phase and plan.phase(number / epochs):
                trainer.step = trainer.build_step()
            clock = time.monotonic()
            epoch = run_epoch(trainer, batches, plan, number, steps)
            if validation is None:
                best, state.best_epoch = trainer.deployed_weights(), number + 1
            else:
                with trainer.deployed():
                    score = evaluate(
                        predict, validation, resolution_px=resolution_px, label="validating"
                    )
                epoch = replace(epoch, validation_loss=score.loss, validation_accuracy=score.top1)
                if score.top1 > state.best_accuracy:
                    best = trainer.deployed_weights()
                    state.best_epoch, state.best_accuracy = number + 1, score.top1
            epoch = replace(epoch, epoch_s=round(time.monotonic() - clock, 2))
            state.history.append(epoch)
            save_checkpoint(plan.folder, trainer.arrays(), best, state)
            save_history(plan.folder, state.history)
            scalars.write(epoch)
            left_s = estimate_left_s(number, epoch.epoch_s, epochs, plan.sides, plan.later_s)
            log.info(format_epoch(plan.label, epoch, epochs, left_s))
    trainer.assign(best)
    return Fitted(
        history=tuple(state.history),
        best_epoch=state.best_epoch,
        selection="last epoch" if validation is None else "validation",
        stopped_early=should_stop(state, settings, resolution_px),
        steps_per_epoch=steps,
    )


def resume(trainer: Trainer, plan: FitPlan) -> tuple[FitState, dict[str, np.ndarray]]:
    """Return the state after the last finished epoch and its best weights; fresh ones at first.

    Raises:
        MtfError: the checkpoint is damaged, or of another network or optimizer.
    """
    held = load_checkpoint(plan.folder)
    if held is None:
        return FitState(), {}
    trainer.restore(held.arrays, plan.folder)
    history = held.state.history
    save_history(plan.folder, history)  # it may have been killed between the two
    log.info("%s: continuing after epoch %d of %d", plan.label, len(history), plan.settings.epochs)
    return held.state, held.best


def make_batches(
    model: Any, train: Split, plan: FitPlan, *, first_epoch: int
) -> Iterator[tuple[Any, Any]]:
    """Return the batches of all epochs from `first_epoch` on, counted from 0."""
    if first_epoch >= plan.settings.epochs:
        return iter(())
    return iter(
        make_training_batches(
            train,
            plan.augmentation,
            resolution_px=model.input_shape[1],
            batch_size=plan.settings.batch_size,
            class_count=model.output_shape[-1],
            seed=plan.seed,
            first_epoch=first_epoch,
            epochs=plan.settings.epochs,
        )
    )


def run_epoch(
    trainer: Trainer, batches: Iterator[tuple[Any, Any]], plan: FitPlan, number: int, steps: int
) -> Epoch:
    """Train for epoch `number`, counted from 0, and return what is known of it so far.

    Raises:
        MtfError: training diverged.
    """
    settings, epochs = plan.settings, plan.settings.epochs
    side_px = plan.sides(number / epochs) if plan.sides else None
    losses: list[float] = []
    accuracies: list[float] = []
    images_seen, note = 0, ""
    clock = traced = time.monotonic()
    with terminal.bar(f"{plan.label} {number + 1}/{epochs}", steps) as advance:
        for i in range(steps):
            raise_if_interrupted()
            step = number * steps + i
            rate = learning_rate_at(step, settings, steps)
            trainer.optimizer.learning_rate.assign(rate)
            images, labels = next(batches)
            with nullcontext() if i else terminal.bar(f"{plan.label}: tracing the step", None):
                loss, accuracy = trainer.step(images, labels, side_px)
            losses.append(float(loss))
            accuracies.append(float(accuracy))
            if not math.isfinite(losses[-1]):
                what = f"the loss became {losses[-1]}"
                raise make_divergence(what, plan.label, settings, step=step, epoch=number)
            images_seen += int(images.shape[0])
            now = time.monotonic()
            traced = traced if i else now
            if i % NOTED_STEPS == 0 or i + 1 == steps:
                note = (
                    f"loss {np.mean(losses):.3f}, accuracy {np.mean(accuracies):.1%},"
                    f" {images_seen / (now - clock):,.0f} images/s"
                )
            if i and i % NOTED_STEPS == 0:
                step_s = (now - traced) / i
                _, left_s = estimate_left_s(
                    number, step_s * steps, epochs, plan.sides, plan.later_s
                )
                left_s += step_s * (steps - i - 1)
                note += f", about {format_duration(left_s)} left"
            advance(1, note)
    broken = find_broken(trainer.variables())
    if broken:  # before it is validated and kept
        what = f"{broken} is no longer finite"
        raise make_divergence(what, plan.label, settings, step=step, epoch=number)
    return Epoch(
        epoch=number + 1,
        loss=round(float(np.mean(losses)), 5),
        accuracy=round(float(np.mean(accuracies)), 5),
        learning_rate=rate,
        resolution_px=side_px,
        images_per_s=round(images_seen / (time.monotonic() - clock), 1),
        epoch_s=0.0,
    )


def should_stop(state: FitState, settings: FitSettings, full_px: int) -> bool:
    """Tell whether validation has not improved for `early_stopping_epochs` epochs at full size.

    While images grow, validation at full size says little.
    """
    patience, history = settings.early_stopping_epochs, state.history
    small = count_small(history, full_px)
    return bool(patience and history and len(history) - max(state.best_epoch, small) >= patience)


def count_small(history: Sequence[Epoch], full_px: int) -> int:
    """Return how many epochs were trained on images below full size."""
    return sum((epoch.resolution_px or full_px) < full_px for epoch in history)
