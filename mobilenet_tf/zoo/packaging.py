"""A finished run -> a model of the zoo: files, figures and card, whole or not at all."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from mobilenet_tf.errors import UsageError
from mobilenet_tf.evaluation.metrics import make_keras_predict_fn
from mobilenet_tf.files import hash_file, write_bytes, write_error, write_text
from mobilenet_tf.models.weights import load_weights, round_weights
from mobilenet_tf.pipeline.benchmark import score_on_test
from mobilenet_tf.pipeline.export import to_probabilities
from mobilenet_tf.pipeline.freshness import check_state
from mobilenet_tf.pipeline.networks import build_float_model
from mobilenet_tf.pipeline.origins import WEIGHTS
from mobilenet_tf.pipeline.plan import make_plan
from mobilenet_tf.pipeline.runner import resume_command
from mobilenet_tf.pipeline.stages import find_stage
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.names import default_run_name, recipe_variant, weights_name
from mobilenet_tf.runs.results import FileRecord, StageResult, record_files
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.zoo.page import format_page, format_recipe
from mobilenet_tf.zoo.shelf import (
    CARD_FILE,
    PAGE_FILE,
    RECIPE_FILE,
    START_FILE,
    Card,
    Check,
    load_card,
    model_names,
)

PACKAGED_STAGES = ("train", "qat", "export", "benchmark")
SHIPPED_ROW = ("tflite", "int8_qat")
SHOWN_ROWS = (("keras", "float32"), ("tflite", "int8_ptq"), SHIPPED_ROW)
SHOWN_RESULT = (
    "command",
    "commit",
    "machine",
    "versions",
    "data",
    "inputs",
    "started_at",
    "wall_time_s",
)
CHECKED_COUNT = 1000

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# A path from a root, wherever it stands in a text: /home/me/run, ~/run, C:\run.
_ROOTED_PATH = re.compile(r"(?<![\w.:/\\-])(?:~|[A-Za-z]:)?(?:[/\\][\w.@+-]+)+")


def package_run(
    run: RunFolder,
    zoo: Path,
    *,
    name: str | None,
    data_dir: Path | None,
    overwrite: bool,
    echo: Callable[[str], None],
    progress: bool,
) -> Card:
    """Make a finished run a model of the zoo in folder `zoo`; return its card.

    Measured here: the float network with its weights rounded to float16, on all test images,
    and the int8 file on the first of them.

    Raises:
        UsageError: the run is no run, unfinished, out of date or without QAT; the name is taken.
        MtfError: a file of the run is damaged, or the zoo cannot be written.
    """
    recipe = run.load_recipe()
    name = default_run_name(recipe) if name is None else name
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--name {name!r} cannot be a model's; use small letters, digits, - and _, at most 64"
        )
    target = zoo / name
    if target.exists():
        if not (target / CARD_FILE).is_file():
            raise UsageError(
                f"{target} is no model of a zoo; give another --name, or another --out"
            )
        if not overwrite:
            raise UsageError(
                f"{target} is there already; --overwrite replaces it, --name is another"
            )
    check_unique(name, recipe, zoo)
    results = load_finished(run, recipe)
    file = find_qat_file(run, results["export"])
    with replaced_folder(target) as folder:
        tflite, weights = folder / file.name, folder / weights_name(recipe, "float16")
        write_bytes(tflite, file.read_bytes())
        round_weights(run.stage("train") / weights_name(recipe, "float32"), weights)
        model = build_float_model(recipe)
        load_weights(model, weights)
        rounded = score_on_test(
            make_keras_predict_fn(model),
            recipe,
            data_dir,
            label=weights.name,
        )
        checked = score_on_test(
            to_probabilities(Classifier.load(tflite)), recipe, data_dir, count=CHECKED_COUNT
        )
        card = Card(
            name=name,
            model=recipe.model.name,
            variant=recipe_variant(recipe).name,
            stride_plan=recipe.model.stride_plan,
            dataset=recipe.data.name,
            tflite=tflite.name,
            weights=weights.name,
            files={},
            weights_top1=rounded.top1,
            check=Check(test_count=checked.count, top1=checked.top1),
            recipe=without_machine(msgspec.json.decode(msgspec.json.encode(recipe))),
            stages={
                stage: without_machine(shorten(result, tflite.name))
                for stage, result in results.items()
            },
        )
        if keep_start(recipe, results["train"], folder):
            card.recipe["train"]["weights"] = f"artifacts/zoo/{name}/{START_FILE}"
        write_text(folder / RECIPE_FILE, format_recipe(card))
        card = msgspec.structs.replace(card, files=record_files(folder))
        write_bytes(folder / CARD_FILE, msgspec.json.format(msgspec.json.encode(card)) + b"\n")
        write_text(folder / PAGE_FILE, format_page(card))
    echo(f"{name}: {describe_files(card.files)}")
    return card


def check_unique(name: str, recipe: Recipe, zoo: Path) -> None:
    """Refuse a second model of the same network and data: `weights="cifar10"` means one.

    Raises:
        UsageError: the zoo has one by another name.
        MtfError: a card is damaged.
    """
    variant = recipe_variant(recipe)
    mine = (recipe.data.name, variant.name, variant.stride_plan)
    for other in sorted(set(model_names(zoo)) - {name}):
        card = load_card(other, zoo)
        if (card.dataset, card.variant, card.stride_plan) == mine:
            raise UsageError(
                f"{zoo} has {variant.name} trained on {recipe.data.name} already, as {card.name};"
                f" --name {card.name} --overwrite replaces it, --out is another zoo"
            )


def load_finished(run: RunFolder, recipe: Recipe) -> dict[str, StageResult]:
    """Return the results of the stages that a card tells of, all up to date.

    Raises:
        UsageError: one is missing or out of date, or the run leaves QAT out.
    """
    if not recipe.qat.epochs:
        raise UsageError(
            f"{run.path} leaves quantization-aware training out (qat.epochs is 0) and the zoo"
            f" ships int8 files after it; run mtf qat {run.path} --epochs 3, and what follows"
        )
    for name in PACKAGED_STAGES:
        state = check_state(find_stage(name), make_plan(run, recipe))
        if not state.up_to_date:
            raise UsageError(
                f"{name} of {run.path} is not ready for the zoo ({state.reason});"
                f" make it first: {resume_command(name, run)}"
            )
    return {name: run.load_stage(name, verify=False) for name in PACKAGED_STAGES}


def find_qat_file(run: RunFolder, export: StageResult) -> Path:
    """Return the int8 file after QAT of a run."""
    for exported in export.metrics.files:
        if exported.quantization == "int8_qat":
            return run.stage("export") / exported.file
    raise UsageError(
        f"{run.path} has no int8_qat file, which is what the zoo ships;"
        f" run mtf export-tflite {run.path} --quantization int8_qat --overwrite, and benchmark it"
    )


def keep_start(recipe: Recipe, train: StageResult, folder: Path) -> bool:
    """Copy the weights file that a run started from into `folder`, and tell whether that was done.

    It is not where the run started at random or from a model of the zoo, nor where the file is
    gone or another by now.
    """
    file = Path(recipe.train.weights)
    if not file.suffix or not file.is_file() or hash_file(file) != train.inputs.get(WEIGHTS):
        return False
    write_bytes(folder / START_FILE, file.read_bytes())
    return True


def shorten(result: StageResult, tflite: str) -> dict[str, Any]:
    """Return what a card keeps of a stage's result: the rest is in its recipe and its files."""
    metrics = msgspec.to_builtins(result.metrics)
    if "rows" in metrics:
        rows = {(row["format"], row["quantization"]): row for row in metrics["rows"]}
        metrics["rows"] = [
            rows[kind] | {"file": tflite if kind == SHIPPED_ROW else None}
            for kind in SHOWN_ROWS
            if kind in rows
        ]
    return msgspec.to_builtins({key: getattr(result, key) for key in SHOWN_RESULT}) | {
        "metrics": metrics
    }


def without_machine(value: Any) -> Any:
    """Return plain values whose texts name no folder of this machine.

    A rooted path is cut to what follows its parent of `artifacts`, else to its last part.
    """
    if isinstance(value, dict):
        return {key: without_machine(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_machine(item) for item in value]
    return _ROOTED_PATH.sub(_shorten_path, value) if isinstance(value, str) else value


def _shorten_path(match: re.Match[str]) -> str:
    parts = PurePosixPath(match[0].replace("\\", "/")).parts
    start = parts.index("artifacts") if "artifacts" in parts else len(parts) - 1
    return "/".join(parts[start:])


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place when the block succeeds."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    except OSError as error:
        raise write_error(target, error) from error
    fresh, old = work / "new", work / "old"
    try:
        fresh.mkdir()
        yield fresh
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    except OSError as error:
        raise write_error(target, error) from error
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(work, ignore_errors=True)


def describe_files(files: dict[str, FileRecord]) -> str:
    """Return the names and sizes of a model's files in a line."""
    return ", ".join(f"{name} {record.size_bytes:,} bytes" for name, record in files.items())
