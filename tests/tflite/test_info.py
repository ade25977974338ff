"""What a file says of itself, by standard TFLite metadata that others wrote."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import flatbuffers
import numpy as np
import pytest

from mobilenet_tf.errors import MtfError
from mobilenet_tf.evaluation.predict import Predictor, to_probabilities
from mobilenet_tf.tflite import schema, standard
from mobilenet_tf.tflite.attached import attach
from mobilenet_tf.tflite.info import ModelInfo, get_info, read_info
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.tflite.standard import (
    AssociatedFile,
    Content,
    FeatureProperties,
    ImageProperties,
    ImageSize,
    ModelMetadata,
    NormalizationOptions,
    ProcessUnit,
    ScoreThresholdingOptions,
    SubGraphMetadata,
    TensorMetadata,
)
from mobilenet_tf.zoo.shelf import zoo_folder

LABELS = [f"thing {index}" for index in range(10)]
DOCUMENT = ModelMetadata(
    name="MobileNetV1",
    description="Identify the most prominent object.",
    subgraph_metadata=(
        SubGraphMetadata(
            input_tensor_metadata=(
                TensorMetadata(
                    name="image",
                    content=Content(ImageProperties(standard.RGB, ImageSize(32, 32))),
                    process_units=(ProcessUnit(NormalizationOptions((127.5,), (127.5,))),),
                ),
            ),
            output_tensor_metadata=(
                TensorMetadata(
                    name="probability",
                    content=Content(FeatureProperties()),
                    process_units=(ProcessUnit(ScoreThresholdingOptions(0.25)),),
                    associated_files=(
                        AssociatedFile("de.txt", type=standard.AXIS_LABELS, locale="de"),
                        AssociatedFile("labels.txt", type=standard.AXIS_LABELS),
                    ),
                ),
            ),
        ),
    ),
    author="Someone",
    license="Apache 2.0",
    min_parser_version="1.0.0",
)
FILES = {"labels.txt": "\n".join(LABELS).encode(), "de.txt": b"x"}
Make = Callable[..., bytes]


@pytest.fixture(scope="module")
def make_foreign() -> Make:
    """Return what writes a file as others do: without our document, with the standard one."""
    name = "cifar10_v1_028_r32_b8"
    path = next((zoo_folder() / name).glob("*_int8_qat.tflite"))

    def make(document: ModelMetadata | bytes = DOCUMENT, files: dict = FILES) -> bytes:
        model = schema.parse(path.read_bytes())
        data = document if isinstance(document, bytes) else standard.encode(document)
        model.buffers.append(schema.tables.BufferT(data=np.frombuffer(data, np.uint8)))
        entry = schema.tables.MetadataT(name=standard.ENTRY, buffer=len(model.buffers) - 1)
        model.metadata = [entry]
        return attach(schema.pack(model), files) if files else schema.pack(model)

    return make


def with_output(**changes: object) -> ModelMetadata:
    graph = DOCUMENT.subgraph_metadata[0]
    scores = replace(graph.output_tensor_metadata[0], **changes)
    return replace(DOCUMENT, subgraph_metadata=(replace(graph, output_tensor_metadata=(scores,)),))


def with_normalisation(mean: tuple[float, ...], std: tuple[float, ...]) -> ModelMetadata:
    graph = DOCUMENT.subgraph_metadata[0]
    unit = ProcessUnit(NormalizationOptions(mean, std))
    image = replace(graph.input_tensor_metadata[0], process_units=(unit,))
    return replace(DOCUMENT, subgraph_metadata=(replace(graph, input_tensor_metadata=(image,)),))


def test_a_document_is_read_as_it_was_written() -> None:
    content = standard.encode(DOCUMENT)
    assert standard.decode(content) == DOCUMENT
    assert standard.encode(DOCUMENT) == content
    assert standard.decode(standard.encode(ModelMetadata())) == ModelMetadata()


def test_standard_metadata_serves_prediction(make_foreign: Make, tmp_path: Path) -> None:
    path = tmp_path / "foreign.tflite"
    path.write_bytes(make_foreign())
    info = read_info(path)
    assert info == ModelInfo(
        documents=(standard.ENTRY,),
        name="MobileNetV1",
        description="Identify the most prominent object.",
        author="Someone",
        license="Apache 2.0",
        classes=tuple(LABELS),
        labels=tuple(LABELS),
        mean=(127.5,),
        std=(127.5,),
        threshold=0.25,
    )
    assert Classifier.load(path).classes == tuple(LABELS)
    assert Predictor(path).warning == ""


def test_normalisation_is_applied_to_float_inputs(make_foreign: Make) -> None:
    classifier = Classifier.load(make_foreign(with_normalisation((1, 2, 3), (2, 4, 8))))
    pixels = np.full((1, 2, 2, 3), 7, np.uint8)
    assert classifier.map_bytes(pixels).dtype == np.int8  # bytes are shifted, whatever it says
    classifier.input_type = "float32"
    np.testing.assert_array_equal(classifier.map_bytes(pixels)[0, 0, 0], [3, 1.25, 0.5])


def test_logits_of_others_become_probabilities(make_foreign: Make) -> None:
    content = make_foreign()
    model = schema.parse(content)
    graph = model.subgraphs[0]
    graph.outputs = graph.operators[-1].inputs[:1]
    graph.operators = graph.operators[:-1]
    model.signatureDefs = None
    classifier = Classifier.load(attach(schema.pack(model), FILES))
    assert classifier.info.output == "logits"
    given = to_probabilities(classifier)(np.zeros((1, 32, 32, 3), np.uint8))
    assert given.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        (b"a\nb\n", ("a", "b")),
        (b"\xef\xbb\xbfa\r\nb\r\n", ("a", "b")),
        (b"a\n\nb\n\n", ("a", "", "b", "")),
        ("שלום\t\"'</script>\U0001f600\xad\n".encode(), ("שלום\t\"'</script>\U0001f600\xad",)),
        (b"\xff\n", ("�",)),
        (b"", ()),
        (b"\n".join([b"c"] * 10_000), ("c",) * 10_000),
    ],
)
def test_labels_are_lines(make_foreign: Make, text: bytes, classes: tuple[str, ...]) -> None:
    assert read_info(make_foreign(files={"labels.txt": text})).classes == classes


def test_a_number_of_labels_that_does_not_fit_is_refused(make_foreign: Make) -> None:
    with pytest.raises(MtfError, match="gives 10 scores and names 2 classes"):
        Classifier.load(make_foreign(files={"labels.txt": b"a\nb"}))


@pytest.mark.parametrize(
    ("document", "files"),
    [
        (DOCUMENT, {}),
        (DOCUMENT, {"other.txt": b"a"}),
        (b"", FILES),
        (b"\0\0\0\0M001", FILES),
        (standard.encode(DOCUMENT)[:200], FILES),
        (with_normalisation((0.0,), (0.0,)), FILES),
        (with_normalisation((math.nan,), (1.0,)), FILES),
    ],
)
def test_damage_is_named(make_foreign: Make, document: ModelMetadata, files: dict) -> None:
    with pytest.raises(MtfError, match=f"the {standard.ENTRY} in the model is damaged"):
        read_info(make_foreign(document, files))


def test_a_document_without_tensors_says_what_it_can(make_foreign: Make) -> None:
    info = read_info(make_foreign(ModelMetadata(name="bare"), {}))
    assert (info.name, info.classes, info.mean, info.output) == ("bare", (), (), "probabilities")


def test_hostile_bytes_never_crash(make_foreign: Make) -> None:
    content = make_foreign()
    model = schema.parse(content)
    behind = content.index(b"PK\3\4")
    document = standard.encode(DOCUMENT)
    rng = np.random.default_rng(0)
    outcomes = {"read": 0, "refused": 0}
    for turn in range(600):
        altered = np.frombuffer(content if turn % 2 else document, np.uint8).copy()
        places = rng.integers(behind if turn % 2 else 0, len(altered), rng.integers(1, 6))
        altered[places] = rng.choice([0, 1, 127, 128, 255, *rng.integers(0, 256, 5)], len(places))
        model.buffers[model.metadata[0].buffer].data = (
            np.frombuffer(document, np.uint8) if turn % 2 else altered
        )
        try:
            get_info(model, altered.tobytes() if turn % 2 else content)
            outcomes["read"] += 1
        except MtfError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 100


def test_offsets_that_share_a_target_do_not_multiply() -> None:
    builder = flatbuffers.Builder()

    def table(slots: int, slot: int, offset: int) -> int:
        builder.StartObject(slots)
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        return int(builder.EndObject())

    def repeat(offset: int, count: int) -> int:
        builder.StartVector(4, count, 4)
        for _ in range(count):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())

    tensor = table(7, 2, repeat(builder.CreateString("a"), 1000))
    graph = table(4, 3, repeat(tensor, 1000))
    builder.Finish(table(4, 3, repeat(graph, 1000)), standard.IDENTIFIER)
    with pytest.raises(ValueError, match="more than 100,000 items"):
        standard.decode(bytes(builder.Output()))
