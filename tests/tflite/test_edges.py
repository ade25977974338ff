"""The types of a file's input and output, on the models that ship: no conversion, no training."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import numpy as np
import pytest

from mobilenet_tf.data.sources import load_test_split
from mobilenet_tf.errors import UsageError
from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.attached import read_attached
from mobilenet_tf.tflite.audit import audit
from mobilenet_tf.tflite.contract import check_contract
from mobilenet_tf.tflite.edges import IO_TYPES, convert_edges
from mobilenet_tf.tflite.info import read_info
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.tflite.metadata import embed_metadata, read_metadata
from mobilenet_tf.zoo.shelf import zoo_folder

CLASSES = ("a\nb", "c\td", "e'\"</script>$\\", "שלום", "\U0001f600", "f\r", "", "h", "i", "j")


@pytest.fixture(scope="module")
def content() -> bytes:
    """The smallest file that ships, with metadata as it is written now."""
    shipped = next((zoo_folder() / "cifar10_v1_028_r32_b8").glob("*_int8_qat.tflite"))
    metadata = read_metadata(shipped)
    assert metadata is not None
    return embed_metadata(shipped.read_bytes(), metadata)


def signed(content: bytes, images: np.ndarray, **options: bool) -> np.ndarray:
    """Return the scores as the int8 file would give them."""
    classifier = Classifier.load(content, **options)
    raw = classifier.predict_raw(images)
    if classifier.output_type == "float32":
        return (raw * 256 - 128).astype(np.int8)
    return raw if classifier.output_type == "int8" else (raw ^ 0x80).view(np.int8)


def assert_same(content: bytes, images: np.ndarray) -> None:
    for reference in (False, True):
        expected = signed(content, images, reference_kernels=reference)
        assert expected.std() > 1
        for io_type in IO_TYPES:
            given = signed(convert_edges(content, io_type), images, reference_kernels=reference)
            np.testing.assert_array_equal(given, expected)


def test_every_type_gives_the_same_bytes(content: bytes) -> None:
    rng = np.random.default_rng(0)
    assert_same(content, rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8))


@pytest.mark.slow
def test_every_type_gives_the_same_bytes_for_photographs(content: bytes, cifar10_dir: Path) -> None:
    assert_same(content, load_test_split("cifar10", cifar10_dir).images[:100])


def test_every_type_is_in_its_format_and_turns_into_every_other(content: bytes) -> None:
    files = {io_type: convert_edges(content, io_type) for io_type in IO_TYPES}
    assert files["int8"] == content
    assert max(map(len, files.values())) - len(content) <= 240
    for io_type, file in files.items():
        found = audit(file)
        assert check_contract(found, "int8_qat", io_type, False) == []
        assert [found.tensors[i].type for i in (*found.inputs, *found.outputs)] == [io_type] * 2
        assert found.metadata is not None
        assert found.metadata.io_type == io_type
    for before, after in itertools.product(IO_TYPES, IO_TYPES):
        assert convert_edges(files[before], after) == files[after]
        if before != after:
            assert check_contract(audit(files[before]), "int8_qat", after, False)


def test_a_file_grows_by_less_than_2_kb(content: bytes) -> None:
    model = schema.parse(content)
    model.metadata = [e for e in model.metadata if e.name == b"min_runtime_version"]
    assert len(convert_edges(content, "uint8")) - len(schema.pack(model)) < 2048


def test_odd_class_names_reach_both_documents(content: bytes) -> None:
    metadata = msgspec.structs.replace(
        read_metadata(content), classes=CLASSES, threshold=0.5, resize="pad", license="CC0"
    )
    file = convert_edges(embed_metadata(content, metadata), "uint8")
    assert check_contract(audit(file), "int8_qat", "uint8", False) == []
    info = read_info(file)
    assert info.classes == CLASSES
    assert info.labels == ("a b", "c\td", *CLASSES[2:5], "f ", *CLASSES[6:])
    assert (info.threshold, info.resize, info.license) == (0.5, "pad", "CC0")
    assert read_attached(file)["labels.txt"].count(b"\n") == 10


def test_others_documents_stay_with_the_file(content: bytes) -> None:
    model = schema.parse(content)
    model.metadata = [e for e in model.metadata if e.name != b"mobilenet_tf"]
    foreign = schema.pack(model) + content[content.index(b"PK\3\4") :]
    assert read_info(foreign).documents == ("TFLITE_METADATA",)
    converted = convert_edges(foreign, "float32")
    assert read_info(converted) == read_info(foreign)
    assert Classifier.load(converted).classes[3] == "cat"


def test_what_cannot_be_converted_is_named(content: bytes) -> None:
    with pytest.raises(UsageError, match="unknown io_type 'int16'"):
        convert_edges(content, "int16")
    two = schema.parse(content)
    graph = two.subgraphs[0]
    graph.outputs = np.array([graph.outputs[0], graph.operators[0].outputs[0]], np.int32)
    with pytest.raises(UsageError, match="x has 1 inputs and 2 outputs"):
        convert_edges(schema.pack(two), "uint8", "x")
    real = schema.parse(content)
    image = real.subgraphs[0].tensors[real.subgraphs[0].inputs[0]]
    image.type = schema.tables.TensorType.FLOAT32
    with pytest.raises(UsageError, match="x computes in float32"):
        convert_edges(schema.pack(real), "uint8", "x")


def test_a_size_that_is_open_stays_open(content: bytes) -> None:
    model = schema.parse(content)
    image = model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]]
    image.shapeSignature = np.array([-1, 32, 32, 3], np.int32)
    converted = schema.parse(convert_edges(schema.pack(model), "uint8"))
    outer = converted.subgraphs[0].tensors[converted.subgraphs[0].inputs[0]]
    assert outer.shapeSignature.tolist() == [-1, 32, 32, 3]


def test_ten_thousand_classes(content: bytes) -> None:
    """Metadata need not fit the model to be written; who reads it compares."""
    names = tuple(f"class {index}" for index in range(10_000))
    file = embed_metadata(content, msgspec.structs.replace(read_metadata(content), classes=names))
    assert read_info(file).labels == names
    assert check_contract(audit(file), "int8_qat", "int8", False) == [
        "the metadata names 10000 classes for 10 outputs"
    ]
