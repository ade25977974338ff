"""The front door in Python, as a user meets it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mobilenet_tf as mtf
from mobilenet_tf.api.training import ONLY_IN_MTF_TRAIN
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.models.weights import weight_variables
from mobilenet_tf.recipe import (
    AugmentationSettings,
    FitSettings,
    Options,
    QatSettings,
    TrainSettings,
)

PUBLIC = sorted(set(mtf.__all__) - {"__version__"})
SHIPPED = "cifar10_v1_025_r32"


def small(**changes: Any) -> Any:
    settings: dict[str, Any] = {"alpha": 0.1, "resolution": 32, "classes": 10, "seed": 1}
    settings["options"] = Options(block_count=2)
    return mtf.create_model("mobilenet_v1", **{**settings, **changes})


@pytest.fixture(scope="module")
def digits() -> mtf.Dataset:
    return mtf.load_dataset("digits")


def test_the_package_loads_at_once_and_nothing_else() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import mobilenet_tf as mtf;"
        "print(time.perf_counter() - start);"
        "print(*{'tensorflow', 'tf_keras', 'numpy', 'msgspec'} & set(sys.modules));"
        "mtf.list_models(); mtf.create_model;"
        "print(*{'tensorflow', 'tf_keras'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    seconds, loaded, after = done.stdout.split("\n")[:3]
    assert float(seconds) < 0.1
    assert (loaded, after) == ("", "")


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_is_there_for_completion_and_help(name: str) -> None:
    assert name in dir(mtf)
    assert name in mtf._ROOMS
    value = getattr(mtf, name)
    assert inspect.getdoc(value)
    if inspect.isfunction(value):
        assert ">>> import mobilenet_tf as mtf" in str(inspect.getdoc(value))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        _ = mtf.creat_model  # type: ignore[attr-defined]


def test_models_are_listed_by_pattern() -> None:
    assert mtf.list_models("*v4*") == ["mobilenet_v4_conv_small", "mobilenet_v4_conv_medium"]
    assert SHIPPED in mtf.list_models(pretrained=True)
    assert mtf.list_models("nothing*") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", mtf.list_models())
def test_every_family_is_built_by_name(name: str) -> None:
    alpha = None if name == "alexnet" else 0.35
    options = Options() if name == "alexnet" else Options(block_count=1)
    model = mtf.create_model(name, alpha=alpha, resolution=64, classes=3, options=options)
    assert model.input_shape == (None, 64, 64, 3)
    assert model.output_shape == (None, 3)


@pytest.mark.slow
def test_an_alias_is_a_name_and_defaults_are_those_of_keras() -> None:
    model = mtf.create_model("v3s")
    assert (model.name, model.output_shape) == ("v3s_100_r224", (None, 1000))


@pytest.mark.slow
def test_weights_by_every_name(tmp_path: Path) -> None:
    shipped = mtf.create_model(SHIPPED)
    assert (shipped.name, shipped.output_shape) == ("v1_025_r32", (None, 10))
    file = next((Path(__file__).parents[1] / "artifacts/zoo" / SHIPPED).glob("*16.safetensors"))
    for model in (
        mtf.create_model("mobilenet_v1", weights=SHIPPED),
        mtf.create_model("v1", alpha=0.25, resolution=32, weights="cifar10"),
        mtf.create_model("v1", alpha=0.25, resolution=32, classes=10, weights=file),
    ):
        for name, variable in weight_variables(shipped).items():
            np.testing.assert_array_equal(variable, weight_variables(model)[name])


@pytest.mark.slow
def test_other_classes_than_the_weights_drop_the_classifier() -> None:
    shipped = weight_variables(mtf.create_model(SHIPPED))
    model = mtf.create_model("mobilenet_v1", weights=SHIPPED, classes=5)
    assert model.output_shape == (None, 5)
    for name, variable in weight_variables(model).items():
        same = variable.shape == shipped[name].shape and np.array_equal(variable, shipped[name])
        assert same != name.startswith("conv_preds"), name


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("mobilenetv2", {}),
        ("mobilenet_v2", {"weights": "cifar10", "resolution": 32}),
        ("mobilenet_v1", {"alpha": 0}),
        ("mobilenet_v1", {"classes": 0}),
        ("mobilenet_v1", {"resolution": "big"}),
        ("mobilenet_v1", {"weights": "no_such_weights"}),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        mtf.create_model(name, **settings)


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(MtfError):
        mtf.create_model("mobilenet_v2", resolution=32, weights=SHIPPED)


def test_a_dataset_has_three_parts(digits: mtf.Dataset) -> None:
    assert len(digits.train) + len(digits.validation) == 1437
    assert (len(digits.validation), len(digits.test)) == (143, 360)
    assert digits.train.images.dtype == np.uint8
    assert (digits.classes, digits.flip_safe) == (tuple("0123456789"), False)
    np.testing.assert_array_equal(mtf.load_dataset("digits", "test").images, digits.test.images)
    assert mtf.load_dataset("digits", validation_count=0).validation is None
    for name, split in (("digits", "all"), ("digit", None)):
        with pytest.raises(UsageError):
            mtf.load_dataset(name, split)


@pytest.mark.slow
def test_keras_models_and_files_are_measured_alike() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 32, 32, 3), np.uint8)
    labels = rng.integers(0, 10, 20)
    logits = mtf.create_model(SHIPPED)
    softmax = mtf.create_model(SHIPPED, classifier_activation="softmax")
    np.testing.assert_allclose(
        mtf.predict(logits, images), mtf.predict(softmax, images), rtol=1e-4, atol=1e-6
    )
    file = mtf.predict(SHIPPED, images)
    np.testing.assert_allclose(file.sum(-1), 1, atol=0.05)
    score = mtf.evaluate(SHIPPED, images, labels.tolist())
    assert (score.count, score.top1) == (20, float((file.argmax(-1) == labels).mean()))


def test_image_files_are_predicted_by_name(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (40, 40), "blue").save(tmp_path / "a.png")
    (prediction,) = mtf.predict(SHIPPED, tmp_path / "a.png", top=2)
    assert len(prediction.scores) == 2
    with pytest.raises(UsageError):
        mtf.predict(small(), tmp_path / "a.png")


@pytest.mark.parametrize(
    "images", [np.zeros((0, 32, 32, 3), np.uint8), np.zeros((2, 32, 32, 3)), np.zeros(3, np.uint8)]
)
def test_what_is_not_images_is_refused(images: np.ndarray) -> None:
    with pytest.raises(UsageError):
        mtf.predict(SHIPPED, images)


@pytest.mark.slow
def test_a_model_that_cannot_be_trained_is_refused(digits: mtf.Dataset) -> None:
    for model in (small(classifier_activation="softmax"), small(classes=3)):
        for work in (mtf.train, mtf.quantize):
            with pytest.raises(UsageError):
                work(model, digits, epochs=1)


@pytest.mark.parametrize(
    ("name", "value", "option"),
    [
        ("progressive_px", (16, 24), "--set 'train.progressive_px=[16, 24]'"),
        ("progressive_share", 0.5, "--set train.progressive_share=0.5"),
        ("recalibrate_batch_norm_count", 64, "--set train.recalibrate_batch_norm_count=64"),
        ("calibrate_confidence", True, "--set train.calibrate_confidence=true"),
        ("teacher", "large", "--set 'train.teacher=\"large\"'"),
        ("distill_share", 0.9, "--set train.distill_share=0.9"),
        ("distill_temperature", 4.0, "--set train.distill_temperature=4.0"),
        ("precision", "bfloat16", "--set 'train.precision=\"bfloat16\"'"),
        ("weights", "imagenet", "--set 'train.weights=\"imagenet\"'"),
    ],
)
def test_what_only_the_command_line_does_is_refused(
    name: str, value: Any, option: str, digits: mtf.Dataset
) -> None:
    settings = TrainSettings(**{name: value})
    with pytest.raises(UsageError) as refused:
        mtf.train(None, digits, settings=settings)
    assert str(refused.value).startswith(f"train.{name} is ")
    assert str(refused.value).endswith(f"mtf train {option}")


def test_every_setting_of_training_is_read_or_refused() -> None:
    own = set(TrainSettings.__struct_fields__) - set(FitSettings.__struct_fields__)
    assert own - set(ONLY_IN_MTF_TRAIN) == {"distinct_epochs", "head_first", "freeze_batch_norm"}


def test_stopping_early_needs_validation_images(digits: mtf.Dataset) -> None:
    data = replace(digits, validation=None)
    with pytest.raises(UsageError, match="early_stopping_epochs is 3"):
        mtf.train(None, data, settings=TrainSettings(early_stopping_epochs=3))
    with pytest.raises(UsageError, match="early_stopping_epochs is 3"):
        mtf.quantize(None, data, settings=QatSettings(early_stopping_epochs=3))


@pytest.mark.parametrize(
    ("work", "given", "said"),
    [
        (mtf.train, {"epochs": 0}, "train.epochs is 0"),
        (mtf.train, {"batch_size": 0}, "train.batch_size is 0"),
        (mtf.quantize, {"epochs": -1}, "qat.epochs is -1"),
        (mtf.quantize, {"learning_rate": 0.0}, "qat.learning_rate is 0"),
        (mtf.quantize, {"settings": QatSettings(class_balance=0.5)}, "class_balance 0.5 is ign"),
        (mtf.train, {"learning_rate": 0.1, "settings": TrainSettings(final_learning_rate=1)}, "is"),
    ],
)
def test_settings_out_of_range_or_at_odds_are_refused(
    digits: mtf.Dataset, work: Any, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        work(None, digits, **given)


def test_a_model_of_another_form_is_refused(digits: mtf.Dataset, tmp_path: Path) -> None:
    from mobilenet_tf.keras import keras

    class Subclassed(keras.Model):
        pass

    image = keras.Input((32, 32, 3))
    x = keras.layers.Flatten()(image)
    two = keras.Model(image, [keras.layers.Dense(10)(x), keras.layers.Dense(10)(x)])
    images = np.zeros((1, 32, 32, 3), np.uint8)
    for model in (Subclassed(), two, "no model"):
        with pytest.raises(UsageError):
            mtf.export(model, tmp_path / "a.tflite", quantization="float32")
        with pytest.raises(UsageError):
            mtf.train(model, digits)
    for model in (Subclassed(), small(resolution=(32, 48))):
        with pytest.raises(UsageError):
            mtf.predict(model, images)
    with pytest.raises(UsageError, match="32 x 48"):
        mtf.train(small(resolution=(32, 48)), digits)


def test_rounds_end_on_weak_images(digits: mtf.Dataset) -> None:
    model = mtf.create_model("mobilenet_v1", alpha=0.25, resolution=32, classes=10)
    rounds = TrainSettings(distinct_epochs=4)
    weak = AugmentationSettings(flip=False, cutout_px=4, strong_share=0.5)
    with pytest.raises(UsageError, match=r"6 train\.epochs end within one; give 4"):
        mtf.train(model, digits, epochs=6, settings=rounds, augmentation=weak)


@pytest.mark.slow
def test_from_a_name_to_a_file(digits: mtf.Dataset, tmp_path: Path) -> None:
    model = small()
    before = model.get_layer("conv1").kernel.numpy()
    settings = TrainSettings(precision="float32", early_stopping_epochs=3)
    assert mtf.train(model, digits, epochs=1, out=tmp_path / "run", settings=settings) is model
    assert not np.array_equal(before, model.get_layer("conv1").kernel.numpy())
    assert (tmp_path / "run" / "history.csv").is_file()
    trained = model.get_weights()
    quantized = mtf.quantize(model, digits, epochs=0)
    for kept, weight in zip(trained, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weight)
    path = mtf.export(quantized, str(tmp_path / "digits.tflite"), classes=digits.classes)
    test = digits.test
    score = mtf.evaluate(path, test.images, test.labels)
    twin = mtf.evaluate(quantized, test.images, test.labels)
    assert score.top1 == pytest.approx(twin.top1, abs=0.02)
