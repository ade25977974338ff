"""A finished run -> the zoo: checks that it is up to date, measures what ships, packages it."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.evaluation.metrics import make_keras_predict_fn
from mobilenet_tf.evaluation.predict import to_probabilities
from mobilenet_tf.files import hash_file, write_bytes
from mobilenet_tf.models.weights import load_weights, round_weights
from mobilenet_tf.pipeline.benchmark import score_on_test
from mobilenet_tf.pipeline.freshness import check_state
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.pipeline.origins import WEIGHTS
from mobilenet_tf.pipeline.plan import make_plan
from mobilenet_tf.pipeline.runner import resume_command
from mobilenet_tf.pipeline.stages import find_stage
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.names import default_run_name, edges_name, recipe_variant, weights_name
from mobilenet_tf.runs.results import ExportMetrics, StageResult, TrainMetrics
from mobilenet_tf.tflite.edges import convert_edges
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.zoo.packaging import Shipment, check_request, package
from mobilenet_tf.zoo.shelf import START_FILE, Card, Check, find_weights

PACKAGED_STAGES = ("train", "qat", "export", "benchmark")
CHECKED_COUNT = 1000

log = logging.getLogger(__name__)


def ship_run(
    run: RunFolder,
    zoo: Path,
    *,
    name: str | None = None,
    data_dir: Path | None = None,
    overwrite: bool = False,
) -> Card:
    """Make a finished run a model of the zoo in folder `zoo`; return its card.

    Raises:
        UsageError: it is not a run, is unfinished, out of date or without QAT; the name is taken.
        MtfError: a file of the run is damaged, or the zoo cannot be written.
    """
    recipe = run.load_recipe()
    name = default_run_name(recipe) if name is None else name
    check_request(name, recipe, zoo, overwrite=overwrite)
    results = load_finished(run, recipe)
    tflite = find_int8_file(run, results["export"])
    with tempfile.TemporaryDirectory() as work:
        weights = Path(work) / weights_name(recipe, "float16")
        round_weights(run.stage("train") / weights_name(recipe, "float32"), weights)
        model = build_float_model(recipe)
        load_weights(model, weights)
        log.info("zoo: measuring %s on the test images", weights.name)
        rounded = score_on_test(make_keras_predict_fn(model), recipe, data_dir)
        log.info("zoo: measuring %s on the first %d of them", tflite.name, CHECKED_COUNT)
        predict = to_probabilities(Classifier.load(tflite))
        checked = score_on_test(predict, recipe, data_dir, count=CHECKED_COUNT)
        twin = Path(work) / edges_name(tflite.name, "uint8")
        write_bytes(twin, convert_edges(tflite.read_bytes(), "uint8", str(tflite)))
        start = find_start_file(recipe, results["train"])
        shipment = Shipment(
            name=name,
            recipe=recipe,
            results=results,
            tflite=tflite.name,
            tflite_uint8=twin.name,
            weights=weights.name,
            files={tflite.name: tflite, twin.name: twin, weights.name: weights}
            | ({START_FILE: start} if start else {}),
            weights_top1=rounded.top1,
            check=Check(test_count=checked.count, top1=checked.top1),
        )
        card = package(shipment, zoo, overwrite=overwrite)
    for file, record in card.files.items():
        log.info("zoo: %s/%s  %s bytes", name, file, f"{record.size_bytes:,}")
    return card


def load_finished(run: RunFolder, recipe: Recipe) -> dict[str, StageResult[Any]]:
    """Return the results of the stages that a card keeps, all up to date."""
    if not recipe.qat.epochs:
        raise UsageError(
            f"{run.path} leaves quantization-aware training out (qat.epochs is 0), which the zoo's"
            f" files need; run mtf qat {run.path} --epochs 3, and what follows"
        )
    plan = make_plan(run, recipe)
    for name in PACKAGED_STAGES:
        state = check_state(find_stage(name), plan)
        if not state.up_to_date:
            raise UsageError(
                f"{name} of {run.path} is not ready for the zoo ({state.reason});"
                f" run {resume_command(name, run)} first"
            )
    return {name: run.load_stage(name, verify=False) for name in PACKAGED_STAGES}


def find_int8_file(run: RunFolder, export: StageResult[ExportMetrics]) -> Path:
    """Return the int8 file of a run that its export chose for an app."""
    best, again = export.metrics.best, f"run mtf export-tflite {run.path} --overwrite"
    if not best.quantization.startswith("int8"):
        raise UsageError(
            f"{run.path} has no int8 file, which is what the zoo ships; {again}"
            " --quantization int8_ptq --quantization int8_qat, and benchmark it"
        )
    if best.file not in export.files:
        raise MtfError(
            f"{run.stage('export')}: the result names {best.file!r}, which is not one of its"
            f" files; {again}"
        )
    return run.stage("export") / best.file


def find_start_file(recipe: Recipe, train: StageResult[TrainMetrics]) -> Path | None:
    """Return the weights file that a run started from, to ship with it; None if it is gone.

    A model of the zoo ships by itself.
    """
    if not recipe.train.weights:
        return None
    try:
        card, file = find_weights(recipe.train.weights, recipe_variant(recipe), fetch=False)
    except MtfError:
        return None
    ships = card is None and file.suffix == ".safetensors" and file.is_file()
    return file if ships and hash_file(file) == train.inputs.get(WEIGHTS) else None
