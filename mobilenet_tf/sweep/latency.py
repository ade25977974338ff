"""How fast an int8 file is before its network is trained: the real file, with random weights."""

from __future__ import annotations

import csv
import logging
import re
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mobilenet_tf.data.catalog import recipe_dataset
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.evaluation.latency import time_interleaved
from mobilenet_tf.files import read_json, write_json
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.sweep.candidates import Candidate

log = logging.getLogger(__name__)
NOTES = "latencies.json"  # in the folder of a sweep: what was measured decides it again
CALIBRATION_COUNT = 4
PHONE_FOLDER = "/data/local/tmp"
TOOL = f"{PHONE_FOLDER}/benchmark_model"
TOOL_PAGE = "https://ai.google.dev/edge/litert/models/measurement"
ADB_TIMEOUT_S = 300.0
Measure = Callable[[Candidate], float | None]


def open_source(source: str, out: Path) -> Measure:
    """Return what knows the latency of a candidate in ms; None for one it does not know.

    `source` is "here", "adb", "adb:SERIAL", or a CSV file with the columns network,latency_ms.

    Raises:
        UsageError: there is no such file, or it is not of that form.
        MtfError: no phone is attached, or it has no benchmark tool.
    """
    if source == "here":
        return _noted(source, out, measure_here)
    if source == "adb" or source.startswith("adb:"):
        phone = Phone(source.partition(":")[2])
        phone.check()
        return _noted(source, out, phone.measure)
    return read_latencies(Path(source)).get_of


def _noted(source: str, out: Path, measure: Callable[[Recipe], float]) -> Measure:
    """Return a measurement that is made once, and read from the sweep's folder from then on."""
    notes = out / NOTES

    def measured(candidate: Candidate) -> float:
        fix = "remove it to measure again"
        held = read_json(notes, dict[str, float], fix) if notes.is_file() else {}
        data = recipe_dataset(candidate.recipe)
        key = f"{candidate.name}, {data.class_count} classes, {source}"
        if key not in held:
            log.info("%s: measuring latency (%s), with random weights", candidate.name, source)
            held[key] = round(measure(candidate.recipe), 4)
            write_json(notes, held)
        return held[key]

    return measured


def measure_here(recipe: Recipe) -> float:
    """Return the median latency of one image on this machine, as the benchmark measures it."""
    from mobilenet_tf.tflite.interpreter import Classifier

    classifier = Classifier.load(export_untrained(recipe), threads=recipe.benchmark.threads)
    classifier.load_image(np.zeros(classifier.input_shape, np.uint8))
    (latencies,) = time_interleaved([classifier.invoke], recipe.benchmark)
    return statistics.median(latencies)


def export_untrained(recipe: Recipe) -> bytes:
    """Return the int8 file of a recipe's network with random weights."""
    from mobilenet_tf.pipeline.networks import build_float_model
    from mobilenet_tf.quantization.qat import calibrate, quantize_model
    from mobilenet_tf.tflite.convert import convert

    twin = quantize_model(build_float_model(recipe))
    shape = (CALIBRATION_COUNT, *twin.input_shape[1:])
    calibrate(twin, np.random.default_rng(recipe.seed).integers(0, 256, shape, np.uint8))
    classes = recipe_dataset(recipe).classes
    return convert(
        twin, quantization="int8_qat", classes=classes, description="random weights, for latency"
    )


class Phone:
    """An Android device that adb reaches, with LiteRT's benchmark tool on it."""

    def __init__(self, serial: str) -> None:
        self.serial = serial

    def check(self) -> None:
        """Refuse a phone that is not attached, or lacks the tool."""
        self._adb("get-state")
        if "yes" not in self._adb("shell", f"test -x {TOOL} && echo yes || echo no"):
            raise MtfError(
                f"the phone has no {TOOL}: download LiteRT's benchmark_model for its processor"
                f" ({TOOL_PAGE}), then adb push benchmark_model {PHONE_FOLDER} and adb shell chmod"
                f" +x {TOOL}"
            )

    def measure(self, recipe: Recipe) -> float:
        """Return the mean latency of one image in ms, as the benchmark tool says it."""
        settings = recipe.benchmark
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "mtf_sweep.tflite"
            file.write_bytes(export_untrained(recipe))
            self._adb("push", str(file), f"{PHONE_FOLDER}/{file.name}")
        said = self._adb(
            "shell",
            f"{TOOL} --graph={PHONE_FOLDER}/{file.name} --num_threads={settings.threads}"
            f" --warmup_runs={max(1, settings.latency_warmup_runs)}"
            f" --num_runs={settings.latency_runs}; rm {PHONE_FOLDER}/{file.name}",
        )
        found = re.search(r"Inference \(avg\): ([\d.e+]+)", said)
        if found is None:
            last = said.strip().splitlines()[-1:] or ["nothing"]
            raise MtfError(f"the phone's benchmark tool gave no latency; it said: {last[0][:200]}")
        return float(found[1]) / 1000  # it counts in microseconds

    def _adb(self, *words: str) -> str:
        """Run adb; return what it prints, both streams."""
        command = ["adb", *(["-s", self.serial] if self.serial else []), *words]
        try:
            done = subprocess.run(  # noqa: S603  # no shell
                command, capture_output=True, text=True, timeout=ADB_TIMEOUT_S, check=False
            )
        except FileNotFoundError as error:
            raise MtfError(
                "there is no adb here; install Android's platform tools, or give --latency-from a"
                " CSV file"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise MtfError(
                f"adb gave no answer for {ADB_TIMEOUT_S:.0f} s; attach the phone anew"
            ) from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing"]
            raise MtfError(
                f"adb {words[0]} failed: {said[0]}; attach one phone with USB debugging, or name it"
                " as adb:SERIAL (adb devices lists them)"
            )
        return done.stdout + done.stderr


class Latencies(dict[str, float]):
    """Latencies in ms by the names of networks, as `mtf models` writes them: v1_050_r32."""

    def get_of(self, candidate: Candidate) -> float | None:
        """Return the latency of a candidate; None for one that is not there."""
        return self.get(candidate.name)


def read_latencies(path: Path) -> Latencies:
    """Return the latencies in a CSV file with the columns network and latency_ms.

    Raises:
        UsageError: there is no such file, or it is not of that form.
    """
    form = "give a CSV file with the columns network,latency_ms, or here, or adb"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lacking = {"network", "latency_ms"} - set(reader.fieldnames or ())
            if lacking:
                raise UsageError(f"{path} has no column {', '.join(sorted(lacking))}; {form}")
            rows = [(row["network"], row["latency_ms"]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"--latency-from {path}: {reason}; {form}") from error
    found = Latencies()
    for number, (network, text) in enumerate(rows, 2):
        try:
            found[network] = float(text)
        except (TypeError, ValueError):
            found[network] = -1.0
        if not 0 < found[network] < float("inf"):
            raise UsageError(f"{path}, line {number}: {text!r} is no latency in milliseconds")
    return found
