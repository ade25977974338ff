from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from mobilenet_tf.api.models import MobileNetV1
from mobilenet_tf.errors import MtfError
from mobilenet_tf.keras import keras
from mobilenet_tf.models.cost import count_costs
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.models.weights import (
    copy_weights,
    count_parameters,
    load_weights,
    read_weights,
    round_weights,
    save_weights,
    weight_variables,
)
from mobilenet_tf.recipe import Options

SETTINGS: dict[str, Any] = {
    "alpha": 0.25,
    "resolution_px": 16,
    "classes": 4,
    "stride_plan": "cifar",
}


SMALL: dict[str, Any] = {**SETTINGS, "options": Options(block_count=2)}


def build_small(seed: int = 0, **changes: Any) -> Any:
    return build_variant(make_variant("mobilenet_v1", **{**SMALL, **changes}), seed=seed)


def values(model: Any) -> dict[str, Any]:
    return {name: variable.numpy() for name, variable in weight_variables(model).items()}


def assert_equal_weights(model: Any, expected: dict[str, Any]) -> None:
    found = values(model)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.fixture(scope="module")
def small() -> Any:
    """The network in the file; not to be changed."""
    return build_small(seed=1)


@pytest.fixture
def weights_path(tmp_path: Path, small: Any) -> Path:
    path = tmp_path / "small.safetensors"
    save_weights(small, path, {"alpha": "0.25", "classes": "4", "model": "v1"})
    return path


def test_round_trip(weights_path: Path, small: Any) -> None:
    model = build_small(seed=2)
    model.get_layer("dropout").step.assign(7)
    metadata = load_weights(model, weights_path)
    assert metadata == {"alpha": "0.25", "classes": "4", "model": "v1"}
    assert_equal_weights(model, values(small))
    assert int(model.get_layer("dropout").step) == 7  # a checkpoint's business


def test_file_holds_every_weight_by_name_and_no_counter(weights_path: Path) -> None:
    tensors, _ = read_weights(weights_path)
    model = build_small()
    assert "dropout/step:0" in [variable.name for variable in model.variables]
    assert set(tensors) == {
        variable.name.removesuffix(":0")
        for variable in model.variables
        if variable.name != "dropout/step:0"
    }
    assert {str(tensor.dtype) for tensor in tensors.values()} == {"float32"}


def test_other_tools_can_read_the_file(weights_path: Path, small: Any) -> None:
    with safetensors.safe_open(weights_path, framework="numpy") as file:
        assert file.metadata() == {"alpha": "0.25", "classes": "4", "model": "v1"}
        kernel = file.get_tensor("conv1/kernel")
    np.testing.assert_array_equal(kernel, values(small)["conv1/kernel"])


def test_equal_weights_give_equal_bytes(weights_path: Path, tmp_path: Path, small: Any) -> None:
    for attempt in range(4):  # four orders of three keys: chance alone would not give one
        again = tmp_path / f"again{attempt}.safetensors"
        save_weights(small, again, {"model": "v1", "classes": "4", "alpha": "0.25"})
        assert again.read_bytes() == weights_path.read_bytes()


def test_counted_parameters_leave_the_dropout_step_out() -> None:
    model = build_small()
    assert count_parameters(model) == count_costs(make_variant("mobilenet_v1", **SMALL)).parameters
    assert count_parameters(model) == model.count_params() - 1


def test_other_resolution_takes_the_same_file(weights_path: Path, small: Any) -> None:
    model = build_small(resolution_px=24, stride_plan="cifar")
    load_weights(model, weights_path)
    assert_equal_weights(model, values(small))


def test_other_class_count_is_named_and_nothing_changes(weights_path: Path) -> None:
    model = build_small(classes=10)
    before = values(model)
    with pytest.raises(MtfError, match=r"it has 4 classes and the model has 10 .*1x1x32x4, not"):
        load_weights(model, weights_path)
    assert_equal_weights(model, before)


def test_other_alpha_is_named(weights_path: Path) -> None:
    with pytest.raises(
        MtfError, match=r"another width \(alpha\) \(conv1/kernel is 3x3x3x8, not 3x3x3x16; .* more"
    ):
        load_weights(build_small(alpha=0.5), weights_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "ours", "theirs", "hint"),
    [
        ("alexnet", {}, {"resolution_px": 32}, "another resolution or stride plan"),
        (
            "alexnet",
            {"resolution_px": 32},
            {"resolution_px": 32, "stride_plan": "imagenet"},
            "another resolution or stride plan",
        ),
        (
            "mobilenet_v2",
            {"options": Options(head_units=16)},
            {"options": Options(head_units=24)},
            r"another hidden head layer \(head_units\)",
        ),
    ],
)
def test_what_differs_is_named(
    name: str, ours: dict[str, Any], theirs: dict[str, Any], hint: str
) -> None:
    target, source = (
        build_variant(make_variant(name, **{**SETTINGS, **changes})) for changes in (ours, theirs)
    )
    with pytest.raises(MtfError, match=f"it has {hint}"):
        copy_weights(source, target)


def test_missing_and_extra_tensors_are_named(weights_path: Path, tmp_path: Path) -> None:
    tensors, _ = read_weights(weights_path)
    tensors["conv_pw_14/kernel"] = tensors.pop("conv_dw_2_bn/gamma")
    path = tmp_path / "other.safetensors"
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(MtfError) as caught:
        load_weights(build_small(), path)
    message = str(caught.value)
    assert "it belongs to another model" in message
    assert "conv_dw_2_bn/gamma is missing" in message
    assert "conv_pw_14/kernel is one too many" in message
    assert str(path) in message


def test_rounded_weights_are_half_the_size_and_fit(
    weights_path: Path, tmp_path: Path, small: Any
) -> None:
    path = tmp_path / "half.safetensors"
    round_weights(weights_path, path)
    assert path.stat().st_size < 0.7 * weights_path.stat().st_size
    model = build_small(seed=2)
    assert load_weights(model, path) == {"alpha": "0.25", "classes": "4", "model": "v1"}
    expected = values(small)
    assert_equal_weights(model, {n: v.astype(np.float16) for n, v in expected.items()})


def test_weights_too_large_to_round_are_refused(tmp_path: Path) -> None:
    model = build_small(seed=1)
    model.get_layer("conv1_bn").gamma.assign([1e5] * 8)
    source, target = tmp_path / "large.safetensors", tmp_path / "half.safetensors"
    save_weights(model, source, {})
    with pytest.raises(MtfError, match=r"conv1_bn/gamma of .* beyond float16's range"):
        round_weights(source, target)
    assert not target.exists()


def test_other_number_type_is_named(weights_path: Path, tmp_path: Path) -> None:
    tensors, _ = read_weights(weights_path)
    tensors["conv1/kernel"] = tensors["conv1/kernel"].astype(np.float64)
    path = tmp_path / "double.safetensors"
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(MtfError, match="conv1/kernel holds float64, not float32 or float16"):
        load_weights(build_small(), path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:5],
        lambda content: content[:100],
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: b"\xff" * 64,
        lambda content: b"PK\x03\x04" + content[4:],
        lambda content: content[:8] + b"x" + content[9:],
    ],
    ids=["empty", "size cut", "header cut", "data cut", "longer", "noise", "zip", "bad header"],
)
def test_damaged_file_is_named(weights_path: Path, damage: Any) -> None:
    weights_path.write_bytes(damage(weights_path.read_bytes()))
    model = build_small()
    before = values(model)
    with pytest.raises(MtfError, match=r"small\.safetensors is damaged or not safetensors"):
        load_weights(model, weights_path)
    assert_equal_weights(model, before)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(MtfError, match=r"cannot read weights file .*none\.safetensors"):
        MobileNetV1((16, 16, 3), alpha=0.25, weights=tmp_path / "none.safetensors")
    with pytest.raises(MtfError, match="cannot read weights file"):
        load_weights(build_small(), tmp_path)


def test_failed_save_keeps_the_old_file(weights_path: Path) -> None:
    before = weights_path.read_bytes()
    with pytest.raises(TypeError):
        save_weights(build_small(), weights_path, {"epochs": 3})  # type: ignore[dict-item]
    assert weights_path.read_bytes() == before
    assert list(weights_path.parent.iterdir()) == [weights_path]


def test_save_into_a_file_as_folder_is_an_mtf_error(weights_path: Path) -> None:
    with pytest.raises(MtfError, match="cannot write"):
        save_weights(build_small(), weights_path / "inside.safetensors", {})


def test_copy_weights_is_complete_or_nothing() -> None:
    source, target = build_small(seed=1), build_small(seed=2)
    copy_weights(source, target)
    assert_equal_weights(target, values(source))
    other = build_small(seed=3, classes=10)
    before = values(other)
    with pytest.raises(MtfError, match="it has 4 classes and the model has 10"):
        copy_weights(source, other)
    assert_equal_weights(other, before)


def test_two_weights_of_one_name_are_refused() -> None:
    inputs = keras.Input((4,))
    inner = keras.Sequential([keras.layers.Dense(4, name="dense")])
    outer = keras.Model(inputs, keras.layers.Dense(4, name="dense")(inner(inputs)))
    with pytest.raises(MtfError, match="two weights named dense/kernel"):
        weight_variables(outer)
