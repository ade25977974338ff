"""The zoo: trained models that ship, each a folder with a card that says what its files are.

<name>/card.json             the facts: recipe, stages, figures, SHA-256 of every file
<name>/card.md               the same as a page
<name>/recipe.toml           the recipe in full, for making it again
<name>/<…>.tflite            the int8 file after QAT
<name>/<…>.safetensors       the float network's weights, for Keras and for fine-tuning
<name>/start.safetensors     the weights that it was trained from, where those were a file
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from mobilenet_tf.errors import MtfError, UsageError, suggest
from mobilenet_tf.files import hash_file
from mobilenet_tf.runs.results import FileRecord

CARD_FILE = "card.json"
PAGE_FILE = "card.md"
RECIPE_FILE = "recipe.toml"
START_FILE = "start.safetensors"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What the int8 file scores on the first test images: seconds to measure anywhere."""

    test_count: int
    top1: float


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What a model of the zoo is, how it was made and what was measured.

    `stages` are the run's results, as the report takes them. `weights_top1` is the float network's
    accuracy on the test images with the weights as they ship, rounded to float16.
    """

    name: str
    model: str
    variant: str
    stride_plan: str
    dataset: str
    tflite: str
    weights: str
    files: dict[str, FileRecord]
    weights_top1: float
    check: Check
    recipe: dict[str, Any]
    stages: dict[str, dict[str, Any]]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the output's order."""
        return tuple(self.stages["benchmark"]["metrics"]["classes"])

    @property
    def test_count(self) -> int:
        """How many test images there are."""
        return int(self.stages["benchmark"]["metrics"]["test_count"])

    def measured(self, form: str, quantization: str) -> dict[str, Any]:
        """Return the benchmark's row of a model ("keras") or file ("tflite"); {} if not there."""
        rows = self.stages["benchmark"]["metrics"]["rows"]
        wanted = (form, quantization)
        return next((row for row in rows if (row["format"], row["quantization"]) == wanted), {})


def zoo_folder() -> Path:
    """Return the folder of the models that ship: inside the wheel, or beside the package."""
    package = Path(__file__).parents[1]
    installed = package / "pretrained"
    return installed if installed.is_dir() else package.parent / "artifacts" / "zoo"


def model_names(zoo: Path | None = None) -> list[str]:
    """Return the names of the models that ship, or of those in folder `zoo`, sorted."""
    return sorted(path.parent.name for path in (zoo or zoo_folder()).glob(f"[!.]*/{CARD_FILE}"))


def load_card(name: str, zoo: Path | None = None) -> Card:
    """Return the card of a model that ships, or that is in folder `zoo`.

    Raises:
        UsageError: there is none of that name.
        MtfError: the card is damaged.
    """
    if name not in model_names(zoo):
        raise UsageError(f"no model {name!r} in the zoo; {suggest(name, model_names(zoo))}")
    path = (zoo or zoo_folder()) / name / CARD_FILE
    try:
        card = msgspec.json.decode(path.read_bytes(), type=Card)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MtfError(f"{path} is damaged ({error}); {_way_out(name)}") from error
    if card.name != name:
        raise MtfError(f"{path} is the card of {card.name}, not of {name}; {_way_out(name)}")
    return card


def load_cards() -> list[Card]:
    """Return the cards of all models that ship, by name.

    Raises:
        MtfError: a card is damaged.
    """
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
        raise MtfError(f"cannot read {path}: {error.strerror}; {_way_out(card.name)}") from error
    wanted = card.files[name].sha256
    if found != wanted:
        raise MtfError(
            f"{path} is not the file of its card: its SHA-256 is {found}, the card says {wanted};"
            f" {_way_out(card.name)}"
        )
    return path


def find_tflite(model: Path) -> Path:
    """Return `model` itself, or the `.tflite` file of the model of the zoo that it names.

    A file of that name comes first; a folder, as a run's, does not.

    Raises:
        MtfError: the zoo's file is not what its card says.
    """
    if str(model) not in model_names() or model.is_file():
        return model
    card = load_card(str(model))
    return check_file(card, card.tflite)


def find_weights(wanted: str | Path, *, variant: str, stride_plan: str) -> tuple[Card | None, Path]:
    """Return the file of the weights that are meant, and its card if it is the zoo's.

    Args:
        wanted: a file, which has a suffix; or the name of a model of the zoo, for any resolution
            and strides; or a dataset ("cifar10"), for this very network trained on it.
        variant: `Variant.name`: model, alpha, resolution and options.
        stride_plan: "cifar" or "imagenet".

    Raises:
        UsageError: the zoo has none; the message lists what it has.
        MtfError: the zoo's file is not what its card says.
    """
    if isinstance(wanted, Path) or Path(wanted).suffix:
        return None, Path(wanted)
    if wanted in model_names():
        card = load_card(wanted)
        return card, check_file(card, card.weights)
    cards = [card for card in load_cards() if wanted == card.dataset]
    if not cards:
        known = {name for card in load_cards() for name in (card.dataset, card.name)}
        raise UsageError(
            f"no weights {wanted!r} in the zoo; give a .safetensors file, or one of those that"
            f" ship; {suggest(wanted, known)}"
        )
    fitting = [card for card in cards if (card.variant, card.stride_plan) == (variant, stride_plan)]
    if not fitting:
        raise UsageError(
            f"no {wanted} weights for {variant} with {stride_plan} strides in the zoo;"
            f" it has {_list_variants(cards)}"
        )
    return fitting[0], check_file(fitting[0], fitting[0].weights)


def _list_variants(cards: Sequence[Card]) -> str:
    return ", ".join(f"{card.variant} ({card.stride_plan} strides)" for card in cards)


def _way_out(name: str) -> str:
    return f"restore it with git restore artifacts/zoo/{name}, or install mobilenet-tf again"
