"""A .tflite file from anywhere is run or refused in a sentence; it ends no process of ours."""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.errors import MtfError
from mobilenet_tf.tflite import schema, trial
from mobilenet_tf.tflite.audit import audit
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.tflite.schema import tables
from tests.hostile.conftest import TAKING, give

pytestmark = pytest.mark.slow

MUTATIONS = 1500
RUN = 30  # of those that pass the structural check
ODD = (-1, 0, 1, 2, 3, 7, 127, 255, 2**15, 2**31 - 1, -(2**31))
ODD_FLOATS = (0.0, -1.0, float("inf"), float("nan"), 1e30, 1e-30)


@pytest.fixture(scope="module")
def files(shared_run: Path) -> list[bytes]:
    """Return a small file of every quantization."""
    return [path.read_bytes() for path in sorted((shared_run / "export").glob("*.tflite"))]


@pytest.fixture(scope="module")
def int8(shared_run: Path) -> bytes:
    """Return the file with int8 input and output."""
    return next((shared_run / "export").glob("*_int8_qat.tflite")).read_bytes()


def edit(content: bytes, change: Callable[[Any, Any], None]) -> bytes:
    model = schema.parse(content)
    change(model, model.subgraphs[0])
    return schema.pack(model)


def reshape(end: str, shape: tuple[int, ...]) -> Callable[[Any, Any], None]:
    def change(model: Any, graph: Any) -> None:
        tensor = graph.tensors[getattr(graph, end)[0]]
        tensor.shape, tensor.shapeSignature = np.array(shape, np.int32), None

    return change


def enlarge_constant(model: Any, graph: Any) -> None:
    graph.tensors[graph.operators[0].inputs[1]].shape = np.array([500, 500, 500, 3], np.int32)


def read_nothing(model: Any, graph: Any) -> None:
    shape = np.array([1, 32, 32, 3], np.int32)
    graph.tensors.append(tables.TensorT(shape=shape, type=tables.TensorType.INT8, name="nothing"))
    op = graph.operators[0]
    op.inputs = np.array([len(graph.tensors) - 1, *op.inputs[1:]], np.int32)


def remove_ops(model: Any, graph: Any) -> None:
    graph.operators = []


def share_one_vector(model: Any, graph: Any) -> None:
    shape = np.ones(20_000, np.int32)
    graph.tensors += [tables.TensorT(shape=shape, name="same") for _ in range(5000)]


def nest_metadata(model: Any, graph: Any) -> None:
    entry = next(e for e in model.metadata if schema.decode(e.name) == "mobilenet_tf")
    text = model.buffers[entry.buffer].data.tobytes()[:-1]
    text += b',"deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    model.buffers[entry.buffer] = tables.BufferT(data=np.frombuffer(text, np.uint8))


@pytest.mark.parametrize(
    "change",
    [
        enlarge_constant,
        read_nothing,
        remove_ops,
        share_one_vector,
        nest_metadata,
        reshape("inputs", (1, 24_000, 24_000, 3)),
        reshape("inputs", (1, 40_000, 40_000, 3)),
        reshape("inputs", (1, 0, 0, 3)),
        reshape("inputs", (3,)),
    ],
)
def test_a_graph_that_is_nonsense_is_refused(
    change: Callable[[Any, Any], None], int8: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.tflite"
    path.write_bytes(edit(int8, change))
    with pytest.raises(MtfError, match=r"hostile\.tflite"):
        Classifier.load(path)


def test_a_huge_or_endless_file_is_not_read(refused: Callable[..., str], tmp_path: Path) -> None:
    with (tmp_path / "sparse.tflite").open("wb") as sparse:
        sparse.write(b"    TFL3")
        sparse.truncate(9 * 2**30)
    os.mkfifo(tmp_path / "pipe.tflite")
    for name, told in (("sparse.tflite", "larger than"), ("pipe.tflite", "is a pipe")):
        assert told in refused("audit", name)
        assert told in refused("predict", name, "image.png")


@pytest.mark.parametrize("words", TAKING, ids=" ".join)
def test_no_verb_falls_over_a_nonsensical_model(
    words: tuple[str, ...], int8: bytes, refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "model.tflite").write_bytes(edit(int8, enlarge_constant))
    refused(*give(words, "model.tflite"))
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 11)", "os._exit(3)"])
def test_a_file_that_ends_its_process_is_an_error_here(
    end: str, int8: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = trial.python_command
    monkeypatch.setattr(
        trial, "python_command", lambda code, *a: command(f"import os; {end}; {code}", *a)
    )
    monkeypatch.setattr(trial, "_proven", set())
    path = tmp_path / "deadly.tflite"
    path.write_bytes(int8)
    with pytest.raises(MtfError):
        Classifier.load(path)


def test_a_trial_has_a_limit_of_memory() -> None:
    code = "from mobilenet_tf.tflite.trial import _limited\nwith _limited('x'): bytearray(8 << 30)"
    done = subprocess.run(trial.python_command(code), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "x needs more than 4 GiB of memory\n")


def list_tables(value: Any) -> list[Any]:
    """Return every table below a value of a parsed file."""
    if isinstance(value, list):
        return [table for item in value for table in list_tables(item)]
    if not hasattr(value, "__dict__"):
        return []
    return [value, *(table for item in vars(value).values() for table in list_tables(item))]


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Return a file with bytes, words, or values and lists of its tables changed."""
    kind, changed = rng.randrange(3), bytearray(content)
    if kind == 0:
        for _ in range(rng.randrange(1, 5)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)
    if kind == 1:
        at = 4 * rng.randrange(len(changed) // 4)
        changed[at : at + 4] = (rng.choice(ODD) & 0xFFFFFFFF).to_bytes(4, "little")
        return bytes(changed)
    model = schema.parse(content)
    table = rng.choice(list_tables(model))
    name = rng.choice(sorted(vars(table)))
    setattr(table, name, mutate_value(getattr(table, name), rng))
    return schema.pack(model)


def mutate_value(value: Any, rng: random.Random) -> Any:
    if isinstance(value, np.ndarray) and len(value):
        if rng.random() < 0.5:
            return value[: len(value) // 2] if rng.random() < 0.5 else np.tile(value, 2)
        changed, at = value.copy(), rng.randrange(len(value))
        if value.dtype.kind == "f":
            changed[at] = rng.choice(ODD_FLOATS)
        else:
            limits = np.iinfo(value.dtype)
            changed[at] = min(max(rng.choice(ODD), limits.min), limits.max)
        return changed
    if isinstance(value, list) and value:
        ways = (value[1:], [*value, rng.choice(value)], value[::-1], value * rng.choice((2, 50)))
        return rng.choice(ways)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((*ODD, value + 1, value - 1))
    return value


def test_mutated_files_are_audited_or_refused(files: list[bytes], tmp_path: Path) -> None:
    """Thousands pass through the structural check here; some of what it lets through is run."""
    rng = random.Random(20)  # noqa: S311  # seeded
    seen, path = Counter[str](), tmp_path / "mutated.tflite"
    while seen["tried"] < MUTATIONS:
        try:
            content = mutate(rng.choice(files), rng)
        except Exception:  # noqa: S112  # what flatbuffers cannot write is no file
            continue
        seen["tried"] += 1
        try:
            audit(content)
        except MtfError:
            seen["refused"] += 1
            continue
        seen["audited"] += 1
        if seen["run"] == RUN:
            continue
        seen["run"] += 1
        path.write_bytes(content)
        try:
            classifier = Classifier.load(path)
            classifier.predict(np.zeros((2, *classifier.input_shape), np.uint8))
        except MtfError:
            seen["not run"] += 1
    assert seen["refused"] > MUTATIONS / 5
    assert seen["audited"] > MUTATIONS / 5
    assert seen["run"] == RUN
