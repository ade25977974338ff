from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mobilenet_tf.errors import MtfError
from mobilenet_tf.keras import keras
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.tflite import convert as convert_module
from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.audit import audit
from mobilenet_tf.tflite.convert import convert
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.tflite.layout import walk

pytestmark = pytest.mark.slow  # converts with TensorFlow

CLASSES = tuple("abcdefghij")


def compact(content: bytes) -> bytes:
    return schema.pack(schema.parse(content))


def run_all_ways(content: bytes, images: np.ndarray) -> dict[bool, list[np.ndarray]]:
    """Return raw scores by kernel set, with 1 and 2 threads and at batch 1 and 100."""
    return {
        reference: [
            Classifier.load(content, threads=threads, reference_kernels=reference).predict_raw(
                images, batch_size=batch
            )
            for threads in (1, 2)
            for batch in (1, 100)
        ]
        for reference in (False, True)
    }


def test_outputs_are_the_same_byte_for_byte(
    converter_file: bytes, export: Callable[..., bytes], images: np.ndarray
) -> None:
    compacted = run_all_ways(compact(converter_file), images)
    exported = run_all_ways(export("int8_ptq"), images)
    for reference, raw in run_all_ways(converter_file, images).items():
        assert raw[0].std() > 1
        for scores in (*raw, *compacted[reference], *exported[reference]):
            np.testing.assert_array_equal(scores, raw[0])


def test_an_exported_file_takes_100_images_at_a_time(export: Callable[..., bytes]) -> None:
    """Else the comparison above would compare batch 1 with itself."""
    for quantization in ("float32", "float16", "dynamic_range", "int8_ptq", "int8_qat"):
        assert Classifier.load(export(quantization)).resize_batch(100) == 100


def test_a_channel_costs_16_bytes_beside_its_weights(
    randomise_weights: Callable[[keras.Model], None],
) -> None:
    model = build_variant(
        make_variant("mobilenet_v1", alpha=0.5, resolution_px=32, classes=10, stride_plan="cifar")
    )
    randomise_weights(model)
    noise = np.random.default_rng(3).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    converted: list[bytes] = []
    finish = convert_module._finish

    def keep(content: bytes, *rest: object) -> bytes:
        converted.append(content)
        return finish(content, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert_module, "_finish", keep)
        content = convert(
            model,
            quantization="int8_ptq",
            classes=CLASSES,
            description="v1_050_r32_int8_ptq",
            calibration_images=noise,
        )
    found, raw = audit(content), audit(converted[0])
    for kind in ("weights", "biases"):
        assert found.sizes_bytes[kind] == raw.sizes_bytes[kind]
    stored = found.sizes_bytes["weights"] + found.sizes_bytes["biases"]
    assert found.channel_count == 5482
    assert found.file_bytes <= stored + 16 * found.channel_count + 30 * 1024
    assert raw.file_bytes > stored + 24 * found.channel_count + 15 * 1024  # what there was to save
    assert found.sizes_bytes["quantization"] < 10 * found.channel_count
    for reference in (False, True):
        before, after = (
            Classifier.load(file, reference_kernels=reference).predict_raw(noise)
            for file in (converted[0], content)
        )
        np.testing.assert_array_equal(before, after)


def test_tensors_keep_their_data_scales_and_numbers(converter_file: bytes) -> None:
    before, after = schema.parse(converter_file), schema.parse(compact(converter_file))
    assert len(before.buffers) == len(after.buffers)
    pairs = zip(before.subgraphs[0].tensors, after.subgraphs[0].tensors, strict=True)
    for old, new in pairs:
        assert (old.name, old.type, old.buffer) == (new.name, new.type, new.buffer)
        np.testing.assert_array_equal(old.shape, new.shape)
        for what in ("scale", "zeroPoint", "quantizedDimension"):
            np.testing.assert_array_equal(
                getattr(old.quantization, what), getattr(new.quantization, what)
            )
        np.testing.assert_array_equal(
            before.buffers[old.buffer].data, after.buffers[new.buffer].data
        )
    assert [entry.name for entry in before.metadata] == [entry.name for entry in after.metadata]
    assert audit(converter_file).signatures == audit(compact(converter_file)).signatures


def test_equal_vectors_stand_once(converter_file: bytes) -> None:
    def count_zero_point_vectors(content: bytes) -> int:
        return len(
            {
                region.start
                for region in walk(content)
                if region.owner == "QuantizationParameters"
                and content[region.start : region.end] == (80).to_bytes(4, "little") + bytes(8 * 80)
            }
        )

    assert count_zero_point_vectors(converter_file) == 4  # two kernels and their biases
    assert count_zero_point_vectors(compact(converter_file)) == 1


def test_constants_are_aligned_to_16_bytes(export: Callable[..., bytes]) -> None:
    for quantization in ("float32", "float16", "dynamic_range", "int8_ptq", "int8_qat"):
        regions = [r for r in walk(export(quantization)) if r.owner == "Buffer.data"]
        assert len(regions) >= 8
        assert {(region.start + 4) % 16 for region in regions} == {0}


def test_compacting_twice_changes_nothing(converter_file: bytes) -> None:
    once = compact(converter_file)
    assert len(once) < len(converter_file)
    assert compact(once) == once


def test_equal_kernels_are_stored_once_and_still_run(
    make_tiny_model: Callable[..., keras.Model],
) -> None:
    model = make_tiny_model((16, 16))
    model.get_layer("dw1").set_weights(model.get_layer("dw0").get_weights())
    model.get_layer("dw1_bn").set_weights(model.get_layer("dw0_bn").get_weights())
    content = convert(model, quantization="float32", classes=CLASSES, description="")
    images = np.random.default_rng(4).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    logits = model.predict((images.astype(np.float32) - 128) / 128, verbose=0)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.abs(Classifier.load(content).predict(images) - expected).max() < 1e-5


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(MtfError, match=r"is not a \.tflite file"):
        compact(b"not a model, but long enough for one")
