"""The one training loop, for float and for quantization-aware training.

Its state after an epoch is a function of its state before and of the seed alone, so a run killed
at any moment goes on from its checkpoint as if nothing had happened.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from mobilenet_tf.data.pipeline import make_training_batches, resize_batch, steps_per_epoch
from mobilenet_tf.data.sources import Split
from mobilenet_tf.errors import MtfError
from mobilenet_tf.evaluation.metrics import Score, evaluate, make_keras_predict_fn
from mobilenet_tf.keras import keras, tf
from mobilenet_tf.recipe import AugmentationSettings, FitSettings
from mobilenet_tf.runs.folder import CHECKPOINT_FILE
from mobilenet_tf.system.interrupt import raise_if_interrupted
from mobilenet_tf.training.checkpoint import load_checkpoint, save_checkpoint
from mobilenet_tf.training.distillation import Teacher
from mobilenet_tf.training.history import (
    epochs_left,
    format_epoch,
    log_scalars,
    save_history,
)
from mobilenet_tf.training.optimizer import build_optimizer, decay, select_decayed
from mobilenet_tf.training.precision import as_products
from mobilenet_tf.training.schedule import learning_rate_at

Echo = Callable[[str], None]


class Phase(Protocol):
    """Called before every epoch with its share of the run; True asks for a new training step."""

    def __call__(self, share_done: float) -> bool:
        """Prepare the epoch that begins at `share_done`, in [0, 1)."""


class Sides(Protocol):
    """Which images the network trains on in the course of a run."""

    def __call__(self, share_done: float) -> int:
        """Return the side in pixels for the epoch that begins at `share_done`, in [0, 1)."""


@dataclass
class Fitted:
    """What came of a fit; the model itself holds the chosen weights."""

    history: list[dict[str, Any]]
    best_epoch: int
    selection: str  # "validation" or "last epoch"
    metrics: dict[str, Any] = field(default_factory=dict)


class Trainer:
    """A model, its optimizer and what else training changes, addressed by name."""

    def __init__(
        self,
        model: Any,
        settings: FitSettings,
        teacher: Teacher | None = None,
        bfloat16_layers: Collection[str] = (),
    ) -> None:
        self.model = model
        self.settings = settings
        self.teacher = teacher
        self.bfloat16_layers = bfloat16_layers
        self.optimizer = build_optimizer(settings, model.trainable_variables)
        self.averaged = {  # exponential moving averages of weights and batch-norm statistics
            v.name: tf.Variable(v, trainable=False)
            for v in (model.variables if settings.ema_decay else ())
            if v.dtype.is_floating
        }
        self.step = self.build_step()

    def build_step(self) -> Callable[..., tuple[Any, Any]]:
        """Return a compiled step: (images, one-hot labels) -> (mean loss, share right).

        Given a third argument, a side in pixels, the network sees the images that large, and the
        teacher as they are.
        """
        model, optimizer, settings = self.model, self.optimizer, self.settings
        variables = model.trainable_variables
        everything = settings.decay_everything
        decayed = select_decayed(variables, everything=everything) if settings.weight_decay else []
        averaged = [(v, self.averaged[v.name]) for v in model.variables if v.name in self.averaged]
        smoothing, teacher = settings.label_smoothing, self.teacher

        @tf.function
        def step(images: Any, labels: Any, side_px: int | None = None) -> tuple[Any, Any]:
            seen = resize_batch(images, side_px) if side_px else images
            with tf.GradientTape() as tape:
                with as_products(model, self.bfloat16_layers):
                    logits = model(seen, training=True)
                target = labels * (1 - smoothing) + smoothing / labels.shape[-1]
                loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, logits))
                if teacher is not None:
                    loss = teacher.blend(loss, images, logits)
            gradients = tape.gradient(loss, variables)
            decay(decayed, settings.weight_decay * optimizer.learning_rate)
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
            for variable, average in averaged:
                average.assign_add((variable - average) * (1 - settings.ema_decay))
            right = tf.equal(tf.argmax(logits, -1), tf.argmax(labels, -1))
            return loss, tf.reduce_mean(tf.cast(right, tf.float32))

        return step

    def named_variables(self) -> dict[str, Any]:
        """Return every variable of the run by a name that is the same in every process."""
        named = {f"model/{v.name}": v for v in self.model.variables}
        named |= {f"optimizer/{i}": v for i, v in enumerate(self.optimizer.variables)}
        return named | {f"average/{name}": v for name, v in self.averaged.items()}

    def deployed_weights(self) -> dict[str, np.ndarray]:
        """Return the weights that are evaluated and kept: the averages where there are any."""
        return {v.name: self.averaged.get(v.name, v).numpy() for v in self.model.variables}

    def assign(self, weights: dict[str, np.ndarray]) -> None:
        """Set the model's variables by name."""
        for variable in self.model.variables:
            variable.assign(weights[variable.name])


def fit(
    model: Any,
    train: Split,
    validation: Split | None,
    augmentation: AugmentationSettings,
    settings: FitSettings,
    *,
    seed: int,
    folder: Path,
    label: str,
    echo: Echo,
    progress: bool,
    phase: Phase | None = None,
    teacher: Teacher | None = None,
    sides: Sides | None = None,
    bfloat16_layers: Collection[str] = (),
) -> Fitted:
    """Fit `model` (images (B, R, R, 3) float32 -> logits (B, C)) and leave it at its best epoch.

    Writes a checkpoint, history.csv and TensorBoard scalars into `folder` after every epoch, and
    continues from the checkpoint it finds there. The best epoch is the one with the highest
    validation accuracy, the earliest of equals; without validation the last epoch stands.
    `bfloat16_layers` multiply in bfloat16 while training, and only then.

    Raises:
        MtfError: the loss is not finite, or the checkpoint is damaged.
    """
    trainer = Trainer(model, settings, teacher, bfloat16_layers)
    if sides:
        model.input_spec = keras.layers.InputSpec(ndim=4)  # convolutions take any size
    state: dict[str, Any] = {"history": [], "best_epoch": 0, "best_accuracy": -1.0}
    best: dict[str, np.ndarray] = {}
    held = load_checkpoint(folder)
    if held:
        arrays, state = held
        best = restore(trainer, arrays, folder)
        save_history(folder, state["history"])  # it may have been killed between the two
        echo(f"{label}: continuing after epoch {len(state['history'])} of {settings.epochs}")
    history = state["history"]
    first = len(history)
    if phase and phase(first / settings.epochs):
        trainer.step = trainer.build_step()
    resolution = model.input_shape[1]
    steps = steps_per_epoch(len(train.labels), settings.batch_size)
    predict = make_keras_predict_fn(model)
    stopped = should_stop(history, state["best_epoch"], settings, resolution)
    batches = iter(
        make_training_batches(
            train,
            augmentation,
            resolution_px=resolution,
            batch_size=settings.batch_size,
            class_count=model.output_shape[-1],
            seed=seed,
            first_epoch=first,
            epochs=settings.epochs,
        )
        if first < settings.epochs
        else ()
    )
    for epoch in range(first, settings.epochs):
        if stopped:
            break
        if phase and epoch > first and phase(epoch / settings.epochs):
            trainer.step = trainer.build_step()
        clock = time.monotonic()
        row = run_epoch(
            trainer,
            batches,
            epoch=epoch,
            steps=steps,
            side_px=sides(epoch / settings.epochs) if sides else None,
            label=label,
            progress=progress,
        )
        if validation is None:
            best, state["best_epoch"] = trainer.deployed_weights(), epoch + 1
        else:
            score = score_deployed(trainer, predict, validation)
            row |= {"validation_loss": score.loss, "validation_accuracy": score.top1}
            if score.top1 > state["best_accuracy"]:
                best = trainer.deployed_weights()
                state |= {"best_epoch": epoch + 1, "best_accuracy": score.top1}
        row["epoch_s"] = round(time.monotonic() - clock, 2)  # validation included
        history.append(row)
        save_progress(folder, trainer, best, state)
        log_scalars(folder, row)
        left_s = row["epoch_s"] * epochs_left(epoch, settings.epochs, sides)
        echo(format_epoch(label, row, settings.epochs, left_s))
        stopped = should_stop(history, state["best_epoch"], settings, resolution)
    trainer.assign(best)
    return Fitted(
        history=history,
        best_epoch=state["best_epoch"],
        selection="last epoch" if validation is None else "validation",
        metrics={
            "epochs_done": len(history),
            "stopped_early": stopped,
            "steps_per_epoch": steps,
            "images_per_s": round(float(np.median([row["images_per_s"] for row in history])), 1),
            "fit_time_s": round(sum(row["epoch_s"] for row in history), 1),
        },
    )


def run_epoch(
    trainer: Trainer,
    batches: Any,
    *,
    epoch: int,
    steps: int,
    side_px: int | None,
    label: str,
    progress: bool,
) -> dict[str, Any]:
    """Train for one epoch and return its row of the history."""
    settings = trainer.settings
    losses, accuracies = [], []
    clock, images_seen = time.monotonic(), 0
    bar = tqdm(
        total=steps,
        desc=f"{label} {epoch + 1}/{settings.epochs}",
        unit="step",
        leave=False,
        disable=not progress,
        mininterval=0.5,
    )
    with bar:
        for i in range(steps):
            raise_if_interrupted()
            step = epoch * steps + i
            rate = learning_rate_at(step, settings, steps)
            trainer.optimizer.learning_rate.assign(rate)
            images, labels = next(batches)
            loss, accuracy = trainer.step(images, labels, side_px)
            losses.append(float(loss))
            accuracies.append(float(accuracy))
            if not math.isfinite(losses[-1]):
                what = f"the loss became {losses[-1]}"
                raise divergence(what, label, settings, step=step, epoch=epoch, rate=rate)
            images_seen += int(images.shape[0])
            bar.update()
            if i % 10 == 0 or i + 1 == steps:
                speed = images_seen / (time.monotonic() - clock)
                bar.set_postfix_str(
                    f"loss {np.mean(losses):.3f}, accuracy {np.mean(accuracies):.1%},"
                    f" {speed:,.0f} images/s",
                    refresh=False,
                )
    broken = find_broken(trainer)
    if broken:  # before it is validated and kept
        what = f"{broken} is no longer finite"
        raise divergence(what, label, settings, step=step, epoch=epoch, rate=rate)
    row = {
        "epoch": epoch + 1,
        "loss": round(float(np.mean(losses)), 5),
        "accuracy": round(float(np.mean(accuracies)), 5),
        "learning_rate": rate,
        "images_per_s": round(images_seen / (time.monotonic() - clock), 1),
    }
    return row | ({"resolution_px": side_px} if side_px else {})


def find_broken(trainer: Trainer) -> str | None:
    """Return the name of a variable of the run that holds NaN or infinity; None if none does."""
    for name, variable in trainer.named_variables().items():
        if variable.dtype.is_floating and not np.isfinite(variable.numpy()).all():
            return name.removesuffix(":0")
    return None


def divergence(
    what: str, label: str, settings: FitSettings, *, step: int, epoch: int, rate: float
) -> MtfError:
    """Return the error for a training that has left the finite numbers in an epoch, from 0."""
    way_out = "run it again with"
    if epoch:
        way_out = (
            f"the checkpoint of epoch {epoch} is kept: go on from it with --allow-changes (in mtf"
            " train and mtf qat with --resume too) and"
        )
    return MtfError(
        f"{what} at step {step + 1} (epoch {epoch + 1}) with learning rate {rate:.3g}; {way_out}"
        f" a lower {label}.learning_rate, say {settings.learning_rate / 4:.3g}, or with"
        f" {label}.clip_norm 1"
    )


def score_deployed(trainer: Trainer, predict: Any, validation: Split) -> Score:
    """Evaluate the weights that would be kept now; training goes on from its own."""
    resolution_px = trainer.model.input_shape[1]
    if not trainer.averaged:
        return evaluate(predict, validation, resolution_px=resolution_px)
    training = {v.name: v.numpy() for v in trainer.model.variables}
    trainer.assign(trainer.deployed_weights())
    score = evaluate(predict, validation, resolution_px=resolution_px)
    trainer.assign(training)
    return score


def should_stop(
    history: Sequence[Any], best_epoch: int, settings: FitSettings, full_px: int
) -> bool:
    """Tell whether validation has not improved for `early_stopping_epochs` epochs at full size.

    While images grow, validation at full size says little.
    """
    patience = settings.early_stopping_epochs
    small = sum(row.get("resolution_px", full_px) < full_px for row in history)
    return bool(patience and history and len(history) - max(best_epoch, small) >= patience)


def save_progress(
    folder: Path, trainer: Trainer, best: dict[str, np.ndarray], state: dict[str, Any]
) -> None:
    """Write the checkpoint of a finished epoch, then its row of history.csv."""
    arrays = {name: v.numpy() for name, v in trainer.named_variables().items()}
    arrays |= {f"best/{name}": array for name, array in best.items()}
    save_checkpoint(folder, arrays, state)
    save_history(folder, state["history"])


def restore(trainer: Trainer, arrays: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    """Set every variable from a checkpoint, complete; return the best weights so far."""
    best = {n.removeprefix("best/"): a for n, a in arrays.items() if n.startswith("best/")}
    named = trainer.named_variables()
    saved = {n for n in arrays if not n.startswith("best/")}
    wrong = sorted(saved ^ named.keys()) or sorted(
        name for name, v in named.items() if tuple(v.shape) != arrays[name].shape
    )
    if wrong:
        raise MtfError(
            f"the checkpoint {folder / CHECKPOINT_FILE} is of another network or optimizer"
            f" ({wrong[0]} differs); remove it to start the stage over"
        )
    for name, variable in named.items():
        variable.assign(arrays[name])
    return best


def seed_everything(seed: int, deterministic: bool) -> None:
    """Seed the initialisers; with `deterministic`, make every kernel's result repeatable."""
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
