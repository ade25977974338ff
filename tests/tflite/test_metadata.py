from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from mobilenet_tf import __version__
from mobilenet_tf.errors import MtfError
from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.tflite.metadata import Metadata, embed_metadata, read_metadata

pytestmark = pytest.mark.slow  # converts with TensorFlow

Export = Callable[..., bytes]


def test_an_exported_file_says_what_it_is(export: Export) -> None:
    metadata = read_metadata(export("int8_ptq", "uint8"))
    assert metadata == Metadata(
        name="tiny",
        description="tiny int8_ptq",
        classes=tuple("abcdefghij"),
        quantization="int8_ptq",
        io_type="uint8",
        output="probabilities",
        project_version=__version__,
    )
    assert read_metadata(export("float16")).io_type == "float32"


def test_any_reader_finds_it_as_json(export: Export) -> None:
    model = schema.parse(export("float32"))
    entry = next(entry for entry in model.metadata if entry.name == b"mobilenet_tf")
    document = json.loads(model.buffers[entry.buffer].data.tobytes())
    assert document["normalisation"] == {"mean": 128.0, "scale": 128.0}
    assert document["classes"] == list("abcdefghij")
    assert model.description == b"tiny float32"
    assert b"min_runtime_version" in [entry.name for entry in model.metadata]


def test_embedding_again_replaces_and_changes_no_output(export: Export, images: np.ndarray) -> None:
    content = export("int8_ptq")
    metadata = msgspec.structs.replace(
        read_metadata(content), classes=tuple(f"Kätzchen {n}" for n in range(10))
    )
    renamed = embed_metadata(content, metadata)
    assert read_metadata(renamed) == metadata
    assert len(schema.parse(renamed).metadata) == len(schema.parse(content).metadata)
    classifier = Classifier.load(renamed)
    assert classifier.classes[3] == "Kätzchen 3"
    np.testing.assert_array_equal(
        classifier.predict_raw(images), Classifier.load(content).predict_raw(images)
    )
    Interpreter(model_content=renamed).allocate_tensors()


def test_a_file_from_elsewhere_has_none(converter_file: bytes) -> None:
    assert read_metadata(converter_file) is None


@pytest.mark.parametrize("document", [b"{", b"[]", b'{"classes": 3}', b"\xff\xfe", b""])
def test_damaged_metadata_is_named(export: Export, document: bytes) -> None:
    model = schema.parse(export("int8_ptq"))
    entry = next(entry for entry in model.metadata if entry.name == b"mobilenet_tf")
    model.buffers[entry.buffer].data = np.frombuffer(document, np.uint8)
    with pytest.raises(MtfError, match="mobilenet_tf metadata in the model is damaged"):
        read_metadata(schema.pack(model))


def test_class_names_that_do_not_fit_the_output_are_refused(export: Export) -> None:
    content = export("int8_ptq")
    few = msgspec.structs.replace(read_metadata(content), classes=("a", "b"))
    with pytest.raises(MtfError, match="gives 10 scores and names 2 classes"):
        Classifier.load(embed_metadata(content, few))
