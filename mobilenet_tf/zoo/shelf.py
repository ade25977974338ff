"""The zoo: trained models that ship, each a folder with a card that says what its files are.

<name>/card.json             the facts: recipe, stages, figures, SHA-256 of every file
<name>/card.md               the same as a page
<name>/recipe.toml           the recipe in full, for making it again
<name>/<…>.tflite            the int8 file that its run's export chose, after QAT or without
<name>/<…>_uint8.tflite      the same with uint8 input and output
<name>/<…>.safetensors       the float network's weights, for Keras and for fine-tuning
<name>/start.safetensors     the weights that it was trained from, where those were a file
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from mobilenet_tf.errors import MtfError, UsageError, suggest
from mobilenet_tf.files import hash_file
from mobilenet_tf.models.published import IMAGENET, provide
from mobilenet_tf.models.variant import Variant
from mobilenet_tf.recipe import Recipe
from mobilenet_tf.runs import results
from mobilenet_tf.runs.folder import RunFolder
from mobilenet_tf.runs.names import recipe_variant, weights_name
from mobilenet_tf.runs.records import Count, FileName, Record, Share
from mobilenet_tf.runs.results import BenchmarkRow, FileRecord, Stages

CARD_FILE, PAGE_FILE, RECIPE_FILE = "card.json", "card.md", "recipe.toml"
START_FILE = "start.safetensors"


class Check(Record, frozen=True, kw_only=True):
    """The accuracy of the int8 file on the first test images: seconds to measure anywhere."""

    test_count: Count
    top1: Share


class Card(Record, frozen=True, kw_only=True):
    """What a model of the zoo is, how it was made and what was measured.

    `weights_top1` is the float network's accuracy on the test images with the weights as they
    ship, rounded to float16.
    """

    name: FileName
    model: str
    variant: str
    stride_plan: str
    dataset: str
    tflite: FileName
    tflite_uint8: FileName
    weights: FileName
    files: Annotated[dict[FileName, FileRecord], Meta(min_length=1)]
    weights_top1: Share
    check: Check
    recipe: Recipe
    stages: Stages

    @property
    def benchmark(self) -> results.BenchmarkMetrics:
        """What was measured on the test images."""
        return self.stages.benchmark.metrics  # type: ignore[union-attr]  # _find_faults

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the output's order."""
        return self.benchmark.classes

    @property
    def float_row(self) -> BenchmarkRow:
        """The float network's row of the benchmark."""
        return self.benchmark.find("keras", "float32")  # type: ignore[return-value]  # _find_faults

    @property
    def int8_row(self) -> BenchmarkRow:
        """The row of the file that ships."""
        return self.benchmark.int8  # type: ignore[return-value]  # _find_faults


def zoo_folder() -> Path:
    """Return the folder of the models that ship: inside the wheel, or beside the package."""
    package = Path(__file__).parents[1]
    installed = package / "pretrained"
    return installed if installed.is_dir() else package.parent / "artifacts" / "zoo"


def model_names(zoo: Path | None = None) -> list[str]:
    """Return the names of the models that ship, or of those in folder `zoo`, sorted."""
    return sorted(path.parent.name for path in (zoo or zoo_folder()).glob(f"[!.]*/{CARD_FILE}"))


def load_card(name: str, zoo: Path | None = None) -> Card:
    """Return the card of a model that ships, or of one in folder `zoo`.

    Raises:
        UsageError: there is none of that name.
        MtfError: the card is damaged.
    """
    if name not in model_names(zoo):
        raise UsageError(f"no model {name!r} in the zoo; {suggest(name, model_names(zoo))}")
    path = (zoo or zoo_folder()) / name / CARD_FILE
    try:
        card = msgspec.json.decode(path.read_bytes(), type=Card)
        fault = next(_find_faults(card, name), "")
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError, UsageError) as error:
        fault = str(error)
    if fault:
        raise MtfError(f"{path} is damaged ({fault}); {_how_to_restore(name)}")
    return card


def _find_faults(card: Card, name: str) -> Iterator[str]:
    """Yield what contradicts itself in a card that has every field; only the first counts."""
    if card.name != name:
        yield f"it is the card of {card.name}, not of {name} - at `$.name`"
    variant = recipe_variant(card.recipe)
    for field, stated, meant in (
        ("model", card.model, card.recipe.model.name),
        ("dataset", card.dataset, card.recipe.data.name),
        ("stride_plan", card.stride_plan, variant.stride_plan),
        ("variant", card.variant, variant.name),
    ):
        if stated != meant:
            yield f"{stated!r} is not the {meant!r} of the recipe - at `$.{field}`"
    for field, file in (
        ("tflite", card.tflite),
        ("tflite_uint8", card.tflite_uint8),
        ("weights", card.weights),
    ):
        if file not in card.files:
            yield f"{file!r} is not among the files - at `$.{field}`"
    for stage in card.stages.__struct_fields__:
        if getattr(card.stages, stage) is None:
            yield f"the stage is missing - at `$.stages.{stage}`"
    if not (card.float_row and card.int8_row):
        yield "no float32 or no int8 row - at `$.stages.benchmark.metrics.rows`"
    for index, row in enumerate(card.benchmark.rows):
        shape = {len(row.per_class), len(row.confusion), *map(len, row.confusion)}
        if shape != {variant.classes} or len(card.classes) != variant.classes:
            where = f"$.stages.benchmark.metrics.rows[{index}]"
            yield f"there are not {variant.classes} classes - at `{where}`"


def load_cards() -> list[Card]:
    """Return the cards of all models that ship, by name, as `load_card`."""
    return [load_card(name) for name in model_names()]


def check_file(card: Card, name: str) -> Path:
    """Return the path of a model's file, its content checked against the card.

    Raises:
        MtfError: the file is missing, or its SHA-256 is not what the card says.
    """
    path = zoo_folder() / card.name / name
    try:
        found = hash_file(path)
    except OSError as error:
        reason = f"cannot read {path}: {error.strerror}"
        raise MtfError(f"{reason}; {_how_to_restore(card.name)}") from error
    if found != (wanted := card.files[name].sha256):
        raise MtfError(
            f"{path} is not the file of its card: its SHA-256 is {found}, the card says {wanted};"
            f" {_how_to_restore(card.name)}"
        )
    return path


def find_tflite(model: Path) -> Path:
    """Return `model` itself, or the `.tflite` file of the run or of the model of the zoo it names.

    A file or a run of that name comes first.

    Raises:
        UsageError: there is nothing of that name, or a run has exported nothing yet.
        MtfError: the file is not what its run or its card says.
    """
    run = RunFolder(model)
    if run.has_recipe():
        if not run.is_finished("export"):
            again = f"make it with mtf export-tflite {model}"
            raise UsageError(f"{model} has no .tflite file yet; {again}")
        metrics: results.ExportMetrics = run.load_stage("export").metrics
        return run.stage("export") / metrics.best.file
    name, known = str(model), model_names()
    if name in known and not model.is_file():
        card = load_card(name)
        return check_file(card, card.tflite)
    if not (model.exists() or model.suffix or len(model.parts) > 1):
        raise UsageError(
            f"{name} does not exist; give a .tflite file, the folder of a run, or the name of a"
            f" model in mtf zoo; {suggest(name, known)}"
        )
    return model


def find_weights(
    wanted: str | Path, variant: Variant, *, top: bool = False, fetch: bool = True
) -> tuple[Card | None, Path]:
    """Return the file of the weights that are meant, and its card if it is the zoo's.

    `wanted` names a model of the zoo, for any resolution and strides; "imagenet", Keras' published
    weights, with their classifier if `top`, downloaded if need be and `fetch` is set; the folder
    of a run; a file, which has a suffix; or a dataset ("cifar10"), for this very network on it.

    Raises:
        UsageError: there are none; the message lists what there is.
        MtfError: the zoo's file is not what its card says, or the download failed.
    """
    name, is_file = str(wanted), os.path.isfile(wanted)
    if name == IMAGENET and not is_file:
        return None, provide(variant.table, variant.alpha, top=top, fetch=fetch)
    if name in model_names() and not is_file:
        card = load_card(name)
        return card, check_file(card, card.weights)
    cards = [card for card in load_cards() if name == card.dataset]
    if not cards or is_file:
        run = RunFolder(Path(wanted))
        if os.path.isdir(wanted) and run.has_recipe():
            return None, run.stage("train") / weights_name(run.load_recipe(), "float32")
        if isinstance(wanted, Path) or is_file or Path(wanted).suffix:
            return None, Path(wanted)
        known = {known for card in load_cards() for known in (card.dataset, card.name)}
        raise UsageError(
            f"no weights {wanted!r}; give imagenet, a .h5, .keras or .safetensors file, the folder"
            f" of a run, or one of the zoo's; {suggest(name, known)}"
        )
    this = (variant.name, variant.stride_plan)
    fitting = [card for card in cards if (card.variant, card.stride_plan) == this]
    if not fitting:
        held = ", ".join(f"{card.variant} ({card.stride_plan} strides)" for card in cards)
        raise UsageError(
            f"no {wanted} weights for {variant.name} with {variant.stride_plan} strides in the zoo;"
            f" it has {held}"
        )
    return fitting[0], check_file(fitting[0], fitting[0].weights)


def _how_to_restore(name: str) -> str:
    return f"restore it with git restore artifacts/zoo/{name}, or install mobilenet-tf again"
