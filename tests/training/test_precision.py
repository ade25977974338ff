from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from mobilenet_tf.cli.main import run_command
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.files import write_json
from mobilenet_tf.keras import keras, tf
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.models.weights import weight_variables
from mobilenet_tf.pipeline import train as job
from mobilenet_tf.pipeline.checks import check_machine
from mobilenet_tf.pipeline.plan import make_plan
from mobilenet_tf.pipeline.stages import Work
from mobilenet_tf.quantization.qat import quantize_for_training, set_mode
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.runs.folder import PRECISION_FILE, RunFolder
from mobilenet_tf.system import hardware
from mobilenet_tf.training import precision as precision_module
from mobilenet_tf.training.loop import FitPlan
from mobilenet_tf.training.precision import (
    Precision,
    Product,
    as_products,
    choose_precision,
    describe_precision,
    find_products,
    load_precision,
    measure_products,
    multiply,
)

pytestmark = pytest.mark.slow

MIXED = {"policy": "mixed_bfloat16"}
TINY = ["--dataset", "synthetic", "--alpha", "0.05", "--validation", "64", "--batch-size", "64"]


@pytest.fixture(scope="module")
def model() -> Any:
    return build_variant(
        make_variant("mobilenet_v1", alpha=0.05, resolution_px=32, classes=10, stride_plan="cifar"),
        seed=1,
    )


@pytest.fixture(scope="module")
def images() -> Any:
    return tf.constant(np.random.default_rng(1).normal(size=(4, 32, 32, 3)).astype(np.float32))


def test_pointwise_and_whole_image_convolutions_are_products(model) -> None:
    products = find_products(model)
    assert list(products) == [*(f"conv_pw_{i}" for i in range(1, 14)), "conv_preds"]
    assert products["conv_pw_1"] == Product(1024, 8, 8)
    assert products["conv_preds"] == Product(1, 48, 10)
    x = keras.Input((6, 6, 3))
    y = keras.layers.Conv2D(4, 1, strides=2, name="strided")(x)
    y = keras.layers.Conv2D(4, 3, padding="same", name="same")(y)
    y = keras.layers.DepthwiseConv2D(1, name="depthwise")(y)
    whole = keras.layers.Conv2D(5, 3, name="whole")(y)
    assert find_products(keras.Model(x, whole)) == {"whole": Product(1, 36, 5)}


def test_a_layer_inside_the_wrapper_of_fake_quantization_is_a_product_too() -> None:
    x = keras.Input((4, 4, 3))
    twin = quantize_for_training(keras.Model(x, keras.layers.Conv2D(5, 1, name="conv")(x)))
    assert find_products(twin) == {"quant_conv": Product(16, 3, 5)}
    set_mode(twin, "frozen")
    image = tf.constant(np.random.default_rng(1).normal(size=(2, 4, 4, 3)).astype(np.float32))
    plain = twin(image)
    with as_products(twin):
        np.testing.assert_allclose(twin(image), plain, rtol=1e-5, atol=1e-6)


def run_gradients(model: Any, images: Any, bfloat16_layers: Any = None) -> list[np.ndarray]:
    """Return the logits and every gradient; None computes convolutions as Keras does."""
    with tf.GradientTape() as tape:
        if bfloat16_layers is None:
            logits = model(images, training=False)
        else:
            with as_products(model, bfloat16_layers):
                logits = model(images, training=False)
        loss = tf.reduce_sum(logits * tf.range(1.0, 11.0))
    return [logits.numpy(), *(g.numpy() for g in tape.gradient(loss, model.trainable_variables))]


def relative_errors(given: list[np.ndarray], wanted: list[np.ndarray]) -> list[float]:
    return [
        float(np.linalg.norm(a - b) / (np.linalg.norm(b) + 1e-12))
        for a, b in zip(given, wanted, strict=True)
    ]


def test_float32_products_are_the_convolutions(model, images) -> None:
    wanted = run_gradients(model, images)
    assert max(relative_errors(run_gradients(model, images, ()), wanted)) < 1e-4


def test_bfloat16_rounds_where_it_is_asked_for_and_leaves_the_model_as_it_was(
    model, images
) -> None:
    names = [variable.name for variable in model.variables]
    wanted = run_gradients(model, images)
    low = run_gradients(model, images, find_products(model))
    assert 1e-4 < relative_errors(low, wanted)[0] < 0.1
    assert all(np.isfinite(gradient).all() for gradient in low)
    last = relative_errors(run_gradients(model, images, ("conv_preds",)), wanted)
    assert 1e-4 < max(last) < 0.01  # one rounding, of 8 bits
    assert [variable.name for variable in model.variables] == names
    assert all(variable.dtype == tf.float32 for variable in model.trainable_variables)
    for again, before in zip(run_gradients(model, images), wanted, strict=True):
        np.testing.assert_array_equal(again, before)


def test_all_three_products_are_computed_in_the_precision_asked_for() -> None:
    @tf.function
    def products(rows, matrix, dtype):
        with tf.GradientTape() as tape:
            tape.watch((rows, matrix))
            outputs = multiply(rows, matrix, dtype)
        return outputs, tape.gradient(outputs, (rows, matrix))

    for dtype in (tf.float32, tf.bfloat16):
        graph = products.get_concrete_function(tf.ones((8, 4)), tf.ones((4, 6)), dtype).graph
        types = [op.outputs[0].dtype for op in graph.get_operations() if "MatMul" in op.type]
        assert types == [dtype] * 3


def test_images_of_any_size_go_through(model) -> None:
    x = keras.Input((None, None, 3))
    network = keras.Model(x, keras.layers.Conv2D(4, 1, name="any")(x))
    assert list(find_products(network)) == ["any"]
    image = tf.ones((2, 5, 7, 3))
    plain = network(image)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
    def forward(images):
        with as_products(network):
            return network(images)

    np.testing.assert_allclose(forward(image), plain, rtol=1e-5)


def choose(model: Any, asked: Any, *, deterministic: bool = False) -> Precision:
    return choose_precision(model, asked, batch_size=8, deterministic=deterministic)


def pretend(monkeypatch: pytest.MonkeyPatch, *features: str) -> None:
    monkeypatch.setattr(hardware, "read_cpu_features", lambda: frozenset(features))


@pytest.mark.parametrize("feature", ["avx512_bf16", "amx_bf16", "bf16"])
def test_a_processor_with_bfloat16_is_known(monkeypatch, feature: str) -> None:
    pretend(monkeypatch, "avx2", feature)
    assert hardware.has_bfloat16()
    check_machine(load_recipe("cifar10", ("train.precision=bfloat16",)))
    pretend(monkeypatch, "avx2", "amx_tile")
    assert not hardware.has_bfloat16()
    monkeypatch.setattr(hardware, "read_cpu_features", lambda: None)
    assert not hardware.has_bfloat16()


def test_a_gpu_multiplies_in_bfloat16_whatever_the_processor_says(monkeypatch) -> None:
    pretend(monkeypatch, "avx2")
    recipe = load_recipe("cifar10", ("train.precision=bfloat16",))
    with pytest.raises(UsageError, match="use float32, or auto"):
        check_machine(recipe)
    monkeypatch.setattr(precision_module, "find_gpus", lambda: [(8, 9), (8, 0)])
    check_machine(recipe)
    monkeypatch.setattr(precision_module, "find_gpus", lambda: [(7, 5)])
    pretend(monkeypatch, "avx512_bf16")  # the GPU is what trains
    with pytest.raises(UsageError, match="the GPU does not multiply in bfloat16"):
        check_machine(recipe)
    monkeypatch.setattr(precision_module, "find_gpus", lambda: [()])  # not one of NVIDIA's
    assert not precision_module.has_bfloat16()


def test_no_gpu_is_seen_here_or_its_capability_is_read(monkeypatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind, "other"])
    details = {"GPU": {"compute_capability": (8, 6)}, "other": {}}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details.__getitem__)
    assert precision_module.find_gpus() == [(8, 6), ()]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: [])
    assert precision_module.find_gpus() == []


def test_on_a_gpu_the_precision_is_keras_mixed_one(model, monkeypatch) -> None:
    monkeypatch.setattr(precision_module, "measure_products", None)
    monkeypatch.setattr(precision_module, "find_gpus", lambda: [(9, 0)])
    for asked, reason in (("auto", "as GPUs are fastest with"), ("bfloat16", "as asked")):
        chosen = choose(model, asked)
        assert (chosen.policy, chosen.bfloat16_layers) == ("mixed_bfloat16", ())
        assert describe_precision(chosen, model) == (
            f"mixed precision in bfloat16 throughout ({reason})"
        )
    assert choose(model, "float32").policy == "float32"
    assert choose(model, "auto", deterministic=True).policy == "float32"
    monkeypatch.setattr(precision_module, "find_gpus", lambda: [(7, 0)])
    assert choose(model, "auto").policy == "float32"
    assert "this GPU does not" in describe_precision(choose(model, "auto"), model)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mobilenet_v4_conv_small", "alexnet"])
def test_mixed_precision_takes_every_kind_of_layer(name: str, images) -> None:
    settings = [f'model.name="{name}"', "model.alpha=0.1", "model.resolution_px=32"]
    if name != "alexnet":
        settings += ["model.block_count=5"]
    if name == "mobilenet_v4_conv_small":
        settings += ["model.squeeze_excitation=on", "model.stochastic_depth=0.1"]
    recipe = load_recipe("cifar10", tuple(settings))
    exact, mixed = (
        job.build_float_model(recipe, policy=policy) for policy in ("float32", "mixed_bfloat16")
    )
    assert keras.mixed_precision.global_policy().name == "float32"
    error = relative_errors([mixed(images).numpy()], [exact(images).numpy()])[0]
    assert 1e-5 < error < 0.1
    with tf.GradientTape() as tape, as_products(mixed):
        logits = mixed(images, training=True)
    gradients = tape.gradient(logits, mixed.trainable_variables)
    assert logits.dtype == tf.float32
    assert all(gradient.dtype == tf.float32 for gradient in gradients)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_training_in_mixed_precision_gives_a_float32_network(
    monkeypatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(precision_module, "find_gpus", lambda: [(8, 0)])
    seen = []

    def fit(learner: Any, *arguments: Any, **keywords: Any) -> Any:
        seen.append(learner)
        return real_fit(learner, *arguments, **keywords)

    real_fit = job.fit
    monkeypatch.setattr(job, "fit", fit)
    out = tmp_path / "run"
    averaged = ("--set", "train.ema_decay=0.9", "--set", "train.recalibrate_batch_norm_count=64")
    command = ["train", *TINY, "--block-count", "3", "--precision", "auto", *averaged]
    command += ["--out", str(out), "--resume"]
    assert run_command([*command, "--epochs", "1"]) == 0, capsys.readouterr().err
    assert "mixed precision in bfloat16 throughout" in capsys.readouterr().out
    (learner,) = seen
    assert learner.get_layer("conv_pw_3").compute_dtype == "bfloat16"
    result = msgspec.json.decode((out / "train" / "result.json").read_bytes())
    metrics = result["metrics"]
    assert metrics["precision"]["policy"] == "mixed_bfloat16"
    trained = job.build_float_model(RunFolder(out).load_recipe(), out / "train")
    assert trained.get_layer("conv_pw_3").compute_dtype == "float32"
    validation = job.load_training_data(RunFolder(out).load_recipe(), None)
    assert metrics["validation_top1"] == job.score_validation(trained, validation)
    for name, weight in weight_variables(trained).items():
        if "moving" not in name:  # those are estimated anew, in float32
            np.testing.assert_array_equal(weight, weight_variables(learner)[name].numpy())


def test_bfloat16_on_a_processor_without_it_is_refused_and_leaves_nothing(
    monkeypatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, "avx2")
    out = tmp_path / "run"
    assert run_command(["train", *TINY, "--precision", "bfloat16", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "train.precision is 'bfloat16'" in said
    assert "use float32, or auto" in said
    assert not out.exists()
    for precision in ("auto", "float32"):
        check_machine(load_recipe("cifar10", (f"train.precision={precision}",)))
    with pytest.raises(UsageError, match="did you mean 'bfloat16'"):
        load_recipe("cifar10", ("train.precision=float16",))


def test_auto_takes_bfloat16_only_where_it_is_clearly_faster(model, monkeypatch) -> None:
    pretend(monkeypatch, "avx512_bf16")
    ratios = {48: 2.0, 24: 1.19}  # by a product's inputs: clearly faster, hardly faster, slower
    monkeypatch.setattr(
        precision_module,
        "measure_products",
        lambda model, _: [
            precision_module.Timing(
                product=product,
                layers=(name,),
                float32_ms=ratios.get(product.inputs, 0.5),
                bfloat16_ms=1.0,
            )
            for name, product in find_products(model).items()
        ],
    )
    chosen = choose(model, "auto")
    assert chosen.bfloat16_layers == ("conv_pw_13", "conv_preds")
    assert len(chosen.timings) == 14
    assert "bfloat16 in 2 of 14" in describe_precision(chosen, model)
    del ratios[48]
    assert "nowhere" in describe_precision(choose(model, "auto"), model)


def test_what_is_asked_for_is_not_measured(model, monkeypatch) -> None:
    monkeypatch.setattr(precision_module, "measure_products", None)
    pretend(monkeypatch, "avx512_bf16")
    assert choose(model, "float32").bfloat16_layers == ()
    assert choose(model, "bfloat16").bfloat16_layers == tuple(find_products(model))
    exact = choose(model, "auto", deterministic=True)
    assert exact.bfloat16_layers == ()
    assert "deterministic" in describe_precision(exact, model)
    pretend(monkeypatch, "avx2")
    assert "does not multiply" in choose(model, "auto").reason


def test_every_different_product_but_small_ones_is_measured_once(model, monkeypatch) -> None:
    assert measure_products(model, batch_size=2) == []
    monkeypatch.setattr(precision_module, "MEASURED_WEIGHTS", 24 * 24)
    timings = measure_products(model, batch_size=2)
    large = {n for n, p in find_products(model).items() if p.inputs * p.outputs >= 24 * 24}
    measured = [name for timing in timings for name in timing.layers]
    assert sorted(measured) == sorted(large)
    assert 0 < len({timing.product for timing in timings}) == len(timings) < len(large) < 14
    assert all(timing.float32_ms > 0 and timing.bfloat16_ms > 0 for timing in timings)


def test_a_choice_is_kept_for_the_next_start(monkeypatch, tmp_path: Path) -> None:
    pretend(monkeypatch, "avx512_bf16")
    assert load_precision(tmp_path, "auto") is None
    choice = Precision(asked="auto", bfloat16_layers=("conv_pw_1",), reason="faster")
    write_json(tmp_path / PRECISION_FILE, choice)
    assert load_precision(tmp_path, "auto") == choice
    assert load_precision(tmp_path, "float32") is None
    (tmp_path / PRECISION_FILE).write_text("{")
    with pytest.raises(MtfError, match=r"precision\.json is damaged"):
        load_precision(tmp_path, "auto")


@pytest.mark.parametrize(
    ("choice", "on_processor", "on_gpu"),
    [({}, True, True), ({"bfloat16_layers": ("a",)}, False, True), (MIXED, False, True)],
)
def test_a_choice_that_could_only_be_emulated_here_is_made_anew(
    monkeypatch, tmp_path: Path, choice: dict, on_processor: bool, on_gpu: bool
) -> None:
    pretend(monkeypatch, "avx2")
    choice = {"asked": "auto", "bfloat16_layers": (), "reason": "of another machine", **choice}
    write_json(tmp_path / PRECISION_FILE, Precision(**choice))
    assert (load_precision(tmp_path, "auto") is not None) == on_processor
    monkeypatch.setattr(precision_module, "find_gpus", lambda: [(8, 0)])
    assert (load_precision(tmp_path, "auto") is not None) == on_gpu


def test_a_processor_with_bfloat16_does_not_go_on_as_a_gpu_did(monkeypatch, tmp_path) -> None:
    pretend(monkeypatch, "avx512_bf16")
    write_json(
        tmp_path / PRECISION_FILE, Precision(asked="auto", bfloat16_layers=(), reason="", **MIXED)
    )
    assert load_precision(tmp_path, "auto") is None


class BegunError(Exception):
    """Stands for a training that goes on for hours."""


def test_a_training_notes_its_choice_and_resumes_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Any] = []

    def fit(model: Any, train: Any, validation: Any, plan: FitPlan) -> None:
        seen.append(plan.bfloat16_layers)
        raise BegunError

    choice = Precision(asked="auto", bfloat16_layers=("conv_pw_13",), reason="measured")
    choices = iter([choice])
    monkeypatch.setattr(job, "fit", fit)
    monkeypatch.setattr(job, "choose_precision", lambda *_, **__: next(choices))
    settings = ("data.name=synthetic", "data.validation_count=64")
    recipe = load_recipe("quickstart", (*settings, "train.precision=auto"))
    pretend(monkeypatch, "avx512_bf16")
    run = RunFolder(tmp_path / "run")
    work = Work(make_plan(run, recipe), tmp_path, {})
    for _ in range(2):
        with pytest.raises(BegunError):
            job.run(work)
    assert seen == [("conv_pw_13",)] * 2
    assert load_precision(tmp_path, "auto") == choice

    changed = Precision(asked="float32", bfloat16_layers=(), reason="as asked")
    choices = iter([changed])  # --allow-changes --precision float32
    recipe = load_recipe("quickstart", (*settings, "train.precision=float32"))
    with pytest.raises(BegunError):
        job.run(Work(make_plan(run, recipe), tmp_path, {}))
    assert seen[2:] == [()]
    assert load_precision(tmp_path, "float32") == changed
