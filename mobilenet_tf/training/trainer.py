"""A model in training: its compiled step, its optimizer, its averages, all variables by name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mobilenet_tf.data.pipeline import resize_batch
from mobilenet_tf.errors import MtfError
from mobilenet_tf.keras import add_over_workers, keras, tf
from mobilenet_tf.recipe import FitSettings
from mobilenet_tf.runs.folder import CHECKPOINT_FILE
from mobilenet_tf.training.activations import as_one_kernel
from mobilenet_tf.training.distillation import Teacher
from mobilenet_tf.training.optimizer import build_optimizer, decay, scale_rates, select_decayed
from mobilenet_tf.training.precision import as_products
from mobilenet_tf.training.recalibration import shared_momentum
from mobilenet_tf.training.workers import ALONE, Workers


def seed_everything(seed: int, deterministic: bool) -> None:
    """Seed the initialisers; with `deterministic`, make every kernel's result repeatable."""
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def call_in_parts(model: Any, images: Any, count: int) -> Any:
    """Return the logits in training of `count` equal parts of a batch, in the batch's order.

    Batch normalisation takes the statistics of each part on its own: "ghost batch normalization"
    (Hoffer 2017, arXiv 1705.08741). No part waits for another, so that cores take one each.
    """
    if count == 1:
        return model(images, training=True)
    with shared_momentum(model, count):
        logits = [model(part, training=True) for part in tf.split(images, count)]
    return tf.concat(logits, axis=0)


class Trainer:
    """A model, its optimizer and what else training changes, addressed by name."""

    def __init__(
        self,
        model: Any,
        settings: FitSettings,
        teacher: Teacher | None = None,
        bfloat16_layers: Collection[str] = (),
        class_weights: np.ndarray | None = None,
        *,
        workers: Workers = ALONE,
    ) -> None:
        self.model = model
        self.settings = settings
        self.teacher = teacher
        self.bfloat16_layers = bfloat16_layers
        self.class_weights = class_weights
        self.workers = workers
        self.optimizer = build_optimizer(settings, model.trainable_variables)
        self.averages = {  # exponential moving averages of weights and batch-norm statistics
            v.name: tf.Variable(v, trainable=False)
            for v in (model.variables if settings.ema_decay else ())
            if v.dtype.is_floating
        }
        self.step = self.build_step()

    def build_step(self) -> Callable[..., tuple[Any, Any]]:
        """Return a compiled step: (images, one-hot labels) -> (mean loss, share right).

        Images and labels are this worker's; loss, share and gradients are of all workers' together.
        Given a side in pixels too, the network sees the images that large, the teacher as they are;
        `taught` are the teacher's logits where they were stored.
        """
        model, optimizer, settings = self.model, self.optimizer, self.settings
        variables = model.trainable_variables
        everything = settings.decay_everything
        decayed = select_decayed(variables, everything=everything) if settings.weight_decay else []
        averaged = [(v, self.averages[v.name]) for v in model.variables if v.name in self.averages]
        smoothing, teacher, weights = settings.label_smoothing, self.teacher, self.class_weights
        scales = scale_rates(variables, settings.layer_decay)
        slowed = [(v, scale) for v, scale in zip(variables, scales, strict=True) if scale != 1]

        workers = self.workers

        def compute(images: Any, labels: Any, side_px: int | None, taught: Any) -> Any:
            seen = resize_batch(images, side_px) if side_px else images
            with tf.GradientTape() as tape:
                with as_products(model, self.bfloat16_layers), as_one_kernel(model):
                    logits = call_in_parts(model, seen, settings.ghost_batches)
                target = labels * (1 - smoothing) + smoothing / labels.shape[-1]
                losses = tf.nn.softmax_cross_entropy_with_logits(target, logits)
                if weights is not None:
                    losses *= tf.linalg.matvec(labels, weights)  # of both, where two are mixed
                loss = tf.reduce_mean(losses)
                if teacher is not None:
                    loss = teacher.blend(loss, images, logits, taught)
                loss /= workers.count
            gradients = tape.gradient(loss, variables)
            right = tf.equal(tf.argmax(logits, -1), tf.argmax(labels, -1))
            share = tf.reduce_mean(tf.cast(right, tf.float32)) / workers.count
            return add_over_workers([loss, share, *gradients])

        @tf.function
        def step(
            images: Any, labels: Any, side_px: int | None = None, taught: Any = None
        ) -> tuple[Any, Any]:
            here = partial(compute, side_px=side_px, taught=taught)
            loss, share, *gradients = workers.run(here, images, labels)
            before = [tf.identity(variable) for variable, _ in slowed]
            decay(decayed, settings.weight_decay * optimizer.learning_rate)
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
            for (variable, scale), old in zip(slowed, before, strict=True):
                variable.assign(old + scale * (variable - old))  # Adam would undo a scaled gradient
            for variable, average in averaged:
                average.assign_add((variable - average) * (1 - settings.ema_decay))
            return loss, share

        return step

    def variables(self) -> dict[str, Any]:
        """Return every variable of the run by a name that is the same in every process."""
        named = {f"model/{v.name}": v for v in self.model.variables}
        named |= {f"optimizer/{i}": v for i, v in enumerate(self.optimizer.variables)}
        return named | {f"average/{name}": v for name, v in self.averages.items()}

    def restore(self, arrays: Mapping[str, np.ndarray], folder: Path) -> None:
        """Set every variable from the checkpoint in `folder`; MtfError if it is of another."""
        named = self.variables()
        wrong = sorted(arrays.keys() ^ named.keys()) or sorted(
            name for name, v in named.items() if tuple(v.shape) != arrays[name].shape
        )
        if wrong:
            raise MtfError(
                f"the checkpoint {folder / CHECKPOINT_FILE} is of another network or optimizer"
                f" ({wrong[0]} differs); remove it to start the stage over"
            )
        for name, variable in named.items():
            variable.assign(arrays[name])

    def deployed_weights(self) -> dict[str, np.ndarray]:
        """Return the weights that are evaluated and kept: the averages where there are any."""
        return {v.name: self.averages.get(v.name, v).numpy() for v in self.model.variables}

    def assign(self, weights: Mapping[str, np.ndarray]) -> None:
        """Set the model's variables by name."""
        for variable in self.model.variables:
            variable.assign(weights[variable.name])

    @contextlib.contextmanager
    def deployed(self) -> Iterator[None]:
        """Let the model have its deployed weights meanwhile; training continues from its own."""
        if not self.averages:
            yield
            return
        training = {v.name: v.numpy() for v in self.model.variables}
        self.assign(self.deployed_weights())
        yield
        self.assign(training)
