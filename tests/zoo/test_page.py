from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from mobilenet_tf.zoo import shelf as zoo
from mobilenet_tf.zoo.page import describe_card, format_cards, format_page, format_recipe

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = zoo.model_names()


@pytest.mark.parametrize("name", SHIPPED)
def test_pages_and_recipes_say_what_their_cards_say(name: str) -> None:
    card, folder = zoo.load_card(name), zoo.zoo_folder() / name
    page = (folder / zoo.PAGE_FILE).read_text("utf-8")
    assert page == format_page(card), f"mtf zoo show {name} > {zoo.PAGE_FILE} writes it anew"
    assert (folder / zoo.RECIPE_FILE).read_text("utf-8") == format_recipe(card)


def test_the_table_in_the_readme_is_that_of_the_cards() -> None:
    table = format_cards(zoo.load_cards(), "markdown").partition("\n\n")[0]
    assert table in (ROOT / "README.md").read_text("utf-8"), "mtf zoo --markdown prints it"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_page_tells_everything_that_a_card_must(name: str) -> None:
    card, page = zoo.load_card(name), format_page(zoo.load_card(name))
    figures = describe_card(card)
    for key in ("float_top1", "int8_ptq_top1", "int8_qat_top1"):
        assert f"{100 * figures[key]:.2f}" in page
    for cls in card.classes:
        assert re.search(rf"^\| {cls} +\| +1,000 \|", page, re.MULTILINE)
    for said in (
        *(record.sha256 for record in card.files.values()),
        *(str(stage["commit"]) for stage in card.stages.values()),
        f"{figures['parameters']:,} parameters",
        f"{figures['int8_latency_median_ms']:.3f}",
        f"Seed: {card.recipe['seed']}.",
        f"Trained on {card.stages['train']['metrics']['train_count']:,} images",
        f"mtf run artifacts/zoo/{name}/recipe.toml",
        f"{100 * card.weights_top1:.2f} % of the same test images",
        "Wall time:",
        "## Intended use",
        "## Limits",
        "ByteBuffer.allocateDirect(",
    ):
        assert said in page, said


@pytest.mark.parametrize("name", SHIPPED)
def test_the_python_of_a_page_compiles(name: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", format_page(zoo.load_card(name)), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, f"{name}/{zoo.PAGE_FILE}", "exec")


def test_all_images_and_uint8_files_are_told_so() -> None:
    card = zoo.load_card(SHIPPED[0])
    plain = msgspec.to_builtins(card)
    fit = plain["stages"]["train"]["metrics"]
    fit["validation_count"], fit["train_count"] = 0, 50_000
    plain["stages"]["benchmark"]["metrics"]["rows"][-1]["io_type"] = "uint8"
    plain["recipe"]["export"]["logits"] = True
    page = format_page(msgspec.convert(plain, zoo.Card))
    assert "Trained on 50,000 images, none held out, so the last epoch stands" in page
    assert "input.put(Color.red(color).toByte())" in page
    assert "val probability" not in page


def test_a_page_says_what_a_model_comes_from() -> None:
    plain = msgspec.to_builtins(zoo.load_card(SHIPPED[0]))
    plain["recipe"]["train"] |= {"weights": "cifar100", "teacher": "artifacts/large"}
    page = format_page(msgspec.convert(plain, zoo.Card))
    assert "- Started from the weights cifar100.\n- Learned from the run artifacts/large.\n" in page
    assert "makes it again, with artifacts/large there to teach it, at the commits" in page


def test_a_page_says_what_making_it_again_takes_and_where_that_cannot_be() -> None:
    plain = msgspec.to_builtins(zoo.load_card(SHIPPED[0]))
    plain["recipe"]["train"] |= {"weights": "mine.safetensors"}
    page = format_page(msgspec.convert(plain, zoo.Card))
    assert "makes it again, with mine.safetensors there to start from, at the commits" in page
    plain["files"]["start.safetensors"] = plain["files"]["recipe.toml"]
    page = format_page(msgspec.convert(plain, zoo.Card))
    assert "makes it again, at the commits" in page
    change = "train.learning_rate: 0.1 there, 0.05 asked"
    plain["stages"]["train"]["metrics"]["changed_on_the_way"] = [change]
    page = format_page(msgspec.convert(plain, zoo.Card))
    assert f"Float training went on with other settings: {change}." in page
    assert "makes it again" not in page
    assert "has the settings that it ended with, and makes another." in page


def test_the_smallest_file_comes_first() -> None:
    card = zoo.load_card(SHIPPED[0])
    plain = msgspec.to_builtins(card) | {"name": "aaa_larger"}
    for row in plain["stages"]["benchmark"]["metrics"]["rows"]:
        row["size_bytes"] += 1
    lines = format_cards([msgspec.convert(plain, zoo.Card), card]).splitlines()
    assert lines[2].startswith(card.name)
    assert lines[3].startswith("aaa_larger")
