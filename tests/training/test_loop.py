from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.data.sources import Split, load_training_split
from mobilenet_tf.data.splits import hold_out_validation
from mobilenet_tf.errors import MtfError
from mobilenet_tf.evaluation.metrics import evaluate, make_keras_predict_fn
from mobilenet_tf.keras import keras
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.recipe import AugmentationSettings, FitSettings, load_recipe
from mobilenet_tf.runs.folder import CHECKPOINT_FILE
from mobilenet_tf.runs.history import load_history
from mobilenet_tf.runs.results import Epoch
from mobilenet_tf.training import loop
from mobilenet_tf.training.checkpoint import FitState, load_checkpoint
from mobilenet_tf.training.loop import FitPlan, fit, should_stop
from mobilenet_tf.training.trainer import Trainer

pytestmark = pytest.mark.slow

PLAIN = AugmentationSettings(crop_padding_px=0, flip=False)
SETTINGS = FitSettings(epochs=3, batch_size=64, learning_rate=0.05)


@pytest.fixture(scope="module")
def data() -> tuple[Split, Split]:
    images = load_training_split("synthetic")
    return hold_out_validation(images, 128, 1)


def build_small() -> Any:
    """Build a network that a step takes a millisecond of."""
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.layers.Input((32, 32, 3), name="image"),
            keras.layers.AveragePooling2D(4),
            keras.layers.Flatten(),
            keras.layers.Dense(10, name="scores"),
        ]
    )


def run_fit(
    data: tuple[Split, Split], folder: Path, settings: FitSettings = SETTINGS, **changes: Any
) -> tuple[Any, Any]:
    model = changes.pop("model", None) or build_small()
    validation = changes.pop("validation", data[1])
    plan = FitPlan("train", settings, PLAIN, seed=1, folder=folder, **changes)
    metrics = msgspec.structs.asdict(fit(model, data[0], validation, plan))
    return model, SimpleNamespace(history=load_history(folder), **metrics)


def test_a_fit_learns_and_writes_down_every_epoch(data, tmp_path: Path, recorder: Any) -> None:
    _, fitted = run_fit(data, tmp_path)
    assert fitted.history[-1].loss < fitted.history[0].loss
    assert fitted.selection == "validation"
    assert len(fitted.history) == 3
    assert fitted.steps_per_epoch == 6
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == Epoch.__struct_fields__
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert load_history(tmp_path)[2].loss == fitted.history[2].loss
    assert list((tmp_path / "tensorboard").rglob("events.*"))
    assert len(recorder.messages) == 3


def test_the_model_is_left_at_its_best_epoch(data, tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=4, learning_rate=5.0)  # too high: it jumps about
    model, fitted = run_fit(data, tmp_path, settings)
    model.compile(metrics=["accuracy"], loss="mse")
    predict = make_keras_predict_fn(model)
    top1 = evaluate(predict, data[1]).top1
    assert top1 == fitted.history[fitted.best_epoch - 1].validation_accuracy


@pytest.mark.parametrize(
    ("accuracies", "kept"),
    [
        ([0.5, 0.9, 0.2], 2),
        ([0.5, 0.9, 0.89], 3),  # of 100 images: one is within the standard error of 0.03
        ([0.5, 0.9, 0.86], 2),
        ([0.88, 0.9, 0.5, 0.89, 0.1], 4),
        ([1.0, 1.0, 0.99], 2),
    ],
)
def test_the_last_epoch_is_kept_that_chance_alone_may_have_put_below_the_highest(
    data, tmp_path: Path, monkeypatch, accuracies: list[float], kept: int
) -> None:
    scores = iter(loop.ValidationScore(0.0, top1) for top1 in accuracies)
    monkeypatch.setattr(loop, "validate", lambda *_: next(scores))
    validation = data[0].take(np.arange(100) % len(data[0]))
    settings = replace(SETTINGS, epochs=len(accuracies))
    _, fitted = run_fit(data, tmp_path, settings, validation=validation)
    assert fitted.best_epoch == kept
    assert fitted.validation_top1 == accuracies[kept - 1]


def test_without_validation_the_last_epoch_stands_and_says_so(data, tmp_path: Path) -> None:
    _, fitted = run_fit(data, tmp_path, validation=None)
    assert (fitted.selection, fitted.best_epoch) == ("last epoch", 3)
    assert fitted.history[0].validation_accuracy is None
    assert load_history(tmp_path)[0].validation_accuracy is None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ema_decay": 0.9, "clip_norm": 1.0, "optimizer": "adamw", "learning_rate": 0.01},
        {"schedule": "cosine", "label_smoothing": 0.0, "weight_decay": 0.0},
        {"ghost_batches": 2},
    ],
)
def test_a_resumed_fit_ends_where_an_unbroken_one_does(
    data, tmp_path: Path, changes, recorder: Any
) -> None:
    settings = replace(SETTINGS, epochs=4, **changes)
    unbroken, one = run_fit(data, tmp_path / "one", settings)
    for epochs in (1, 3):
        recorder.deadly = f" {epochs}/4"
        with pytest.raises(recorder.killed):
            run_fit(data, tmp_path / "two", settings)
    recorder.deadly = None
    (tmp_path / "two" / "history.csv").unlink()  # killed before it was written
    broken, two = run_fit(data, tmp_path / "two", settings)
    assert "train: continuing after epoch 1 of 4" in recorder.messages
    assert "train: continuing after epoch 3 of 4" in recorder.messages
    for a, b in zip(unbroken.get_weights(), broken.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert two.best_epoch == one.best_epoch
    keep = ("epoch", "learning_rate", "loss")
    for a, b in zip(one.history, two.history, strict=True):
        assert [getattr(a, k) for k in keep] == pytest.approx(
            [getattr(b, k) for k in keep], rel=1e-3
        )
    assert len(load_history(tmp_path / "two")) == 4


def test_a_finished_checkpoint_needs_no_further_step(data, tmp_path: Path, monkeypatch) -> None:
    model, _ = run_fit(data, tmp_path)
    (tmp_path / "history.csv").unlink()
    monkeypatch.setattr(loop, "run_epoch", None)
    again, fitted = run_fit(data, tmp_path)
    assert len(fitted.history) == 3
    assert len(load_history(tmp_path)) == 3
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_checkpoint_of_another_network_is_refused(data, tmp_path: Path) -> None:
    run_fit(data, tmp_path, replace(SETTINGS, epochs=1))
    other = keras.Sequential(
        [keras.layers.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    with pytest.raises(MtfError, match=r"of another network or optimizer .*remove it"):
        run_fit(data, tmp_path, model=other)
    with pytest.raises(MtfError, match="of another network or optimizer"):
        run_fit(data, tmp_path, replace(SETTINGS, optimizer="adamw"))


def test_a_damaged_checkpoint_is_not_trained_over(data, tmp_path: Path) -> None:
    run_fit(data, tmp_path, replace(SETTINGS, epochs=1))
    file = tmp_path / CHECKPOINT_FILE
    half = file.read_bytes()[: file.stat().st_size // 2]
    file.write_bytes(half)
    with pytest.raises(MtfError, match="is damaged"):
        run_fit(data, tmp_path)
    assert file.read_bytes() == half


def test_a_loss_that_is_no_number_ends_with_advice(data, tmp_path: Path) -> None:
    settings = replace(SETTINGS, learning_rate=1e38, weight_decay=0.0, warmup_share=0.0)
    said = r"diverged: .*\(epoch 1\).* lower train\.learning_rate, say 2.5e\+37"
    with pytest.raises(MtfError, match=said):
        run_fit(data, tmp_path, settings)
    assert not (tmp_path / CHECKPOINT_FILE).exists()


def test_weights_that_are_no_numbers_are_not_kept_though_the_loss_was_one(
    data, tmp_path: Path, monkeypatch
) -> None:
    run_fit(data, tmp_path, replace(SETTINGS, epochs=1))
    good = (tmp_path / CHECKPOINT_FILE).read_bytes()
    build_step = Trainer.build_step

    def build_breaking_step(trainer):
        step = build_step(trainer)

        def broken(*arguments):
            outputs = step(*arguments)
            trainer.model.layers[-1].kernel.assign_add(np.full((192, 10), np.inf, np.float32))
            return outputs

        return broken

    monkeypatch.setattr(Trainer, "build_step", build_breaking_step)
    one_step = replace(SETTINGS, epochs=2, batch_size=len(data[0].labels))
    with pytest.raises(
        MtfError, match=r"scores/kernel is no longer finite at step 2 \(epoch 2\)"
    ) as e:
        run_fit(data, tmp_path, one_step)
    assert "the checkpoint of epoch 1 is kept" in str(e.value)
    assert (tmp_path / CHECKPOINT_FILE).read_bytes() == good


def test_early_stopping_waits_its_epochs_and_says_so(data, tmp_path: Path, monkeypatch) -> None:
    settings = replace(SETTINGS, epochs=9, early_stopping_epochs=2)
    score = evaluate(lambda images: np.eye(10)[np.zeros(len(images), int)], data[1])
    monkeypatch.setattr(loop, "evaluate", lambda *_, **__: score)
    _, fitted = run_fit(data, tmp_path, settings)
    assert len(fitted.history) == 3
    assert fitted.stopped_early
    assert fitted.best_epoch == 3  # as good as the first
    _, again = run_fit(data, tmp_path, settings)
    assert len(again.history) == 3


def make_state(*sides: int | None, best_epoch: int = 1) -> FitState:
    """Return the state after an epoch at each of `sides`, None for full size."""
    known = {"loss": 1.0, "accuracy": 0.5, "learning_rate": 0.1, "images_per_s": 1.0}
    rows = [
        Epoch(epoch=i + 1, epoch_s=1.0, resolution_px=px, **known) for i, px in enumerate(sides)
    ]
    return FitState(history=rows, best_epoch=best_epoch)


def test_stopping_is_off_by_default() -> None:
    assert not should_stop(make_state(*[None] * 50), SETTINGS, 32)
    assert not should_stop(FitState(), replace(SETTINGS, early_stopping_epochs=1), 32)


def test_a_recipe_sets_the_momentum_of_batch_normalisation() -> None:
    slow = ("data.name=synthetic", "model.alpha=0.05", "model.batch_norm_momentum=0.99")
    layers = build_float_model(load_recipe("quickstart", slow)).layers
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {norm.momentum for norm in norms} == {0.99}


def test_small_images_do_not_stop_early() -> None:
    patient = replace(SETTINGS, early_stopping_epochs=2)
    small = (16, 16, 16, 24, 24)
    assert not should_stop(make_state(*small[:3]), patient, 32)
    assert not should_stop(make_state(*small, 32), patient, 32)
    assert should_stop(make_state(*small, 32, 32), patient, 32)
    assert not should_stop(make_state(*small, 32, 32, best_epoch=6), patient, 32)


def test_a_step_smooths_labels_decays_kernels_and_follows_the_schedule(data, tmp_path: Path):
    """One step, by hand: kernel and bias of a dense layer on averaged images."""
    settings = FitSettings(
        epochs=1,
        batch_size=len(data[0].labels),
        learning_rate=0.1,
        warmup_share=1.0,
        momentum=0.0,
        weight_decay=0.3,
        label_smoothing=0.2,
    )
    kernel, bias = build_small().get_weights()
    inputs = normalise(data[0].images).reshape(-1, 8, 4, 8, 4, 3).mean((2, 4)).reshape(-1, 192)
    target = 0.8 * np.eye(10)[data[0].labels] + 0.02
    logits = inputs @ kernel + bias
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    error = (shares - target) / len(target)
    rate = 0.1 * 1 / 2  # the first step of a warm-up that takes one
    model, fitted = run_fit(data, tmp_path, settings, validation=None)
    expected = kernel * (1 - rate * 0.3) - rate * inputs.T @ error
    np.testing.assert_allclose(model.get_weights()[0], expected, atol=1e-5)
    np.testing.assert_allclose(model.get_weights()[1], bias - rate * error.sum(0), atol=1e-5)
    assert fitted.history[0].loss == pytest.approx(
        -(target * np.log(shares)).sum(-1).mean(), abs=1e-4
    )


def test_averaged_weights_are_kept_and_training_goes_on_from_its_own(data, tmp_path: Path) -> None:
    settings = replace(SETTINGS, ema_decay=0.999, weight_decay=0.0)
    start = build_small().get_weights()[0]
    averaged, _ = run_fit(data, tmp_path / "a", settings, validation=None)
    plain, _ = run_fit(data, tmp_path / "b", replace(settings, ema_decay=0.0), validation=None)
    moved = np.abs(plain.get_weights()[0] - start).mean()
    assert 0 < np.abs(averaged.get_weights()[0] - start).mean() < 0.1 * moved


def test_averaged_weights_are_validated_and_training_does_not_notice(data, tmp_path: Path) -> None:
    settings = replace(SETTINGS, ema_decay=0.9, weight_decay=0.0)
    model, fitted = run_fit(data, tmp_path / "a", settings)
    best = fitted.history[fitted.best_epoch - 1]
    score = evaluate(make_keras_predict_fn(model), data[1])
    assert score.loss == pytest.approx(best.validation_loss, rel=1e-4)
    _, without = run_fit(data, tmp_path / "b", replace(settings, ema_decay=0.0))
    assert [row.loss for row in fitted.history] == [row.loss for row in without.history]
    for row, other in zip(fitted.history, without.history, strict=True):
        assert row.validation_loss != pytest.approx(other.validation_loss, rel=1e-4)
    mine, its = (load_checkpoint(tmp_path / folder).arrays for folder in "ab")
    for name in (name for name in its if name.startswith("model/")):
        np.testing.assert_allclose(mine[name], its[name], rtol=1e-5, atol=1e-6)


def build_convolutional() -> Any:
    """Build a network that takes images of any size, and sees how large they are."""
    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 3), name="image")
    x = keras.layers.Conv2D(8, 3, strides=4, padding="same", name="conv")(image)
    x = keras.layers.BatchNormalization(momentum=0.5, name="norm")(x)
    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, keras.layers.Dense(10, name="scores")(x))


def grow(share_done: float) -> int:
    return 16 if share_done < 0.5 else 32


class Watcher:
    """A teacher that notes how large the images are it is shown."""

    answers = None

    def __init__(self) -> None:
        self.sides: list[int] = []

    def blend(self, loss: Any, images: Any, logits: Any, taught: Any) -> Any:
        self.sides.append(images.shape[1])
        return loss


def test_images_grow_and_the_teacher_sees_them_at_full_size(
    data, tmp_path: Path, recorder: Any
) -> None:
    settings = replace(SETTINGS, epochs=4)
    watcher = Watcher()
    model, fitted = run_fit(
        data,
        tmp_path / "one",
        settings,
        model=build_convolutional(),
        sides=grow,
        teacher=watcher,
    )
    assert [row.resolution_px for row in fitted.history] == [16, 16, 32, 32]
    assert [row.resolution_px for row in load_history(tmp_path / "one")] == [16, 16, 32, 32]
    assert watcher.sides == [32, 32]  # traced once for each size of its student's images
    norm = model.get_layer("norm")
    assert (norm.moving_mean.numpy() != 0).all()  # it was trained, not only called
    assert fitted.history[-1].loss < fitted.history[0].loss

    recorder.deadly = " 1/4"
    with pytest.raises(recorder.killed):
        run_fit(data, tmp_path / "two", settings, model=build_convolutional(), sides=grow)
    recorder.deadly = None
    again, _ = run_fit(data, tmp_path / "two", settings, model=build_convolutional(), sides=grow)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
