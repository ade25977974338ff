from __future__ import annotations

import json
from pathlib import Path

import pytest

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.sweep import latency
from mobilenet_tf.sweep.candidates import Candidate, list_candidates
from mobilenet_tf.sweep.grid import make_grid
from mobilenet_tf.sweep.latency import open_source
from mobilenet_tf.tflite.audit import audit

RECIPE = load_recipe(
    "quickstart", ["model.block_count=1", "model.alpha=0.05", "data.name=synthetic"]
)
SAID = "Inference timings in us: Init: 20283, Warmup (avg): 302, Inference (avg): 266.5"
ADB = """#!/bin/sh
echo "$@" >> {calls}
case "$*" in
*get-state*) {state} ;;
*"test -x"*) echo {tool} ;;
*push*) test -s "$(echo "$*" | sed 's/.*push \\([^ ]*\\) .*/\\1/')" && cp "$(echo "$*" | sed 's/.*push \\([^ ]*\\) .*/\\1/')" {pushed} ;;
*graph*) echo '{said}' ;;
esac
"""  # noqa: E501


@pytest.fixture
def candidate() -> Candidate:
    (found,) = list_candidates(RECIPE, make_grid({}, ["seed=1"]))
    return found


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that puts a stand-in for adb on the path; it returns the log of calls."""

    def make(state: str = "echo device", tool: str = "yes", said: str = SAID) -> Path:
        calls, pushed = tmp_path / "calls", tmp_path / "pushed.tflite"
        adb = tmp_path / "bin" / "adb"
        adb.parent.mkdir(exist_ok=True)
        adb.write_text(ADB.format(calls=calls, pushed=pushed, state=state, tool=tool, said=said))
        adb.chmod(0o755)
        monkeypatch.setenv("PATH", f"{adb.parent}:/usr/bin:/bin")
        return calls

    return make


def test_a_table_of_latencies(candidate: Candidate, tmp_path: Path) -> None:
    file = tmp_path / "pixel.csv"
    file.write_text(f"network,latency_ms,note\n{candidate.name},1.5,x\nother,2,\n")
    assert open_source(str(file), tmp_path)(candidate) == 1.5
    file.write_text("network,latency_ms\nother,2\n")
    assert open_source(str(file), tmp_path)(candidate) is None


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("name,ms\n", "latency_ms, network"),
        ("network,latency_ms\na,fast\n", "line 2"),
        ("network,latency_ms\na,1\nb,-1\n", "line 3"),
        ("network,latency_ms\na,inf\n", "line 2"),
        ("network,latency_ms\na\n", "line 2"),
        ("", "no column"),
    ],
)
def test_what_is_no_table(content: str, word: str, tmp_path: Path) -> None:
    file = tmp_path / "pixel.csv"
    file.write_text(content)
    with pytest.raises(UsageError, match=word):
        open_source(str(file), tmp_path)
    for missing in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(UsageError, match="--latency-from"):
            open_source(str(missing), tmp_path)


@pytest.mark.parametrize(
    ("faults", "word"),
    [
        ({"state": "echo 'error: no devices/emulators found' >&2; exit 1"}, "no devices"),
        ({"tool": "no"}, "benchmark_model"),
    ],
)
def test_a_phone_that_cannot_measure(phone, faults: dict[str, str], word: str, tmp_path) -> None:
    phone(**faults)
    with pytest.raises(MtfError, match=word):
        open_source("adb", tmp_path)


def test_no_adb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MtfError, match="no adb"):
        open_source("adb", tmp_path)


def test_a_phone_measures_the_real_file_once(
    phone, candidate: Candidate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = phone()
    monkeypatch.setattr(latency, "export_untrained", lambda recipe: b"the file")
    measure = open_source("adb:emulator-5554", tmp_path)
    assert measure(candidate) == 0.2665
    assert (tmp_path / "pushed.tflite").read_bytes() == b"the file"
    said = calls.read_text().splitlines()
    assert all(line.startswith("-s emulator-5554 ") for line in said)
    assert "--num_threads=1 --warmup_runs=10 --num_runs=100" in said[-1]
    assert open_source("adb:emulator-5554", tmp_path)(candidate) == 0.2665  # noted
    assert sum("--graph" in line for line in calls.read_text().splitlines()) == 1
    phone(said="Segmentation fault")
    with pytest.raises(MtfError, match="Segmentation fault"):
        open_source("adb", tmp_path)(candidate)


@pytest.mark.slow
def test_here_the_file_with_random_weights_is_timed(candidate: Candidate, tmp_path: Path) -> None:
    content = latency.export_untrained(candidate.recipe)
    assert not audit(content).float_tensors
    assert len(content) == pytest.approx(candidate.size_bytes, rel=0.1)  # equal biases stored once
    measured = open_source("here", tmp_path)(candidate)
    assert 0 < measured < 50
    notes = json.loads((tmp_path / latency.NOTES).read_text())
    assert notes == {f"{candidate.name}, 10 classes, here": measured}
