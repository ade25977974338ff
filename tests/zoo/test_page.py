from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mobilenet_tf.app.selftest import draw
from mobilenet_tf.data.image import load_image
from mobilenet_tf.recipe import load_recipe
from mobilenet_tf.report.units import ms_decimals
from mobilenet_tf.tflite.interpreter import Classifier
from mobilenet_tf.zoo import shelf as zoo
from mobilenet_tf.zoo.page import describe_card, format_cards, format_page, format_short_card

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = zoo.model_names()


@pytest.mark.parametrize("name", SHIPPED)
def test_pages_and_recipes_say_what_their_cards_say(name: str) -> None:
    card, folder = zoo.load_card(name), zoo.zoo_folder() / name
    page = (folder / zoo.PAGE_FILE).read_text("utf-8")
    assert page == format_page(card), f"mtf zoo show {name} --markdown > {zoo.PAGE_FILE}"
    assert load_recipe(str(folder / zoo.RECIPE_FILE)) == card.recipe


def test_the_table_in_the_readme_is_that_of_the_cards() -> None:
    table = format_cards(zoo.load_cards(), "markdown").partition("\n\n")[0]
    assert table in (ROOT / "README.md").read_text("utf-8"), "mtf zoo --markdown prints it"


def test_every_row_of_the_table_leads_in_size_or_arithmetic() -> None:
    cards = zoo.load_cards()
    table, _, note = format_cards(cards, "markdown").partition("\n\n")
    assert {card.name for card in cards} == {c.name for c in cards if c.name in table + note}
    shown = [card.int8_row for card in cards if f"`{card.name}`" in table]
    for row in shown:
        for other in shown:
            smaller = other.size_bytes < row.size_bytes
            cheaper = other.macs <= row.macs
            assert not (smaller and cheaper and other.top1 > row.top1)


def test_a_model_that_is_beaten_in_everything_is_only_named() -> None:
    card = zoo.load_card(SHIPPED[0])
    rows = [
        msgspec.structs.replace(row, top1=row.top1 / 2, size_bytes=2 * row.size_bytes)
        for row in card.benchmark.rows
    ]
    benchmark = msgspec.structs.replace(card.benchmark, rows=tuple(rows))
    stage = msgspec.structs.replace(card.stages.benchmark, metrics=benchmark)
    stages = msgspec.structs.replace(card.stages, benchmark=stage)
    worse = msgspec.structs.replace(card, name="worse", stages=stages)
    table, _, note = format_cards([worse, card], "markdown").partition("\n\n")
    assert "worse" not in table
    assert "worse" in note
    assert card.name in table


@pytest.mark.parametrize("name", SHIPPED)
def test_a_page_tells_everything_that_a_card_must(name: str) -> None:
    card, page = zoo.load_card(name), format_page(zoo.load_card(name))
    figures = describe_card(card)
    for key in ("float_top1", "int8_ptq_top1", "int8_qat_top1"):
        assert f"{100 * figures[key]:.2f}" in page
    for cls in card.classes:
        assert re.search(rf"^\| {cls} +\| +1,000 \|", page, re.MULTILINE)
    rows = card.stages.benchmark.metrics.rows
    digits = max(ms_decimals(row.latency_median_ms) for row in rows)  # of the whole column
    for said in (
        *(record.sha256 for record in card.files.values()),
        *(str(record.commit) for _, record in card.stages.items()),
        f"{figures['parameters']:,} parameters",
        f" {figures['int8_latency_median_ms']:.{digits}f} |",
        f"{card.stages.train.metrics.train_count:,} images",
        f"mtf run artifacts/zoo/{name}/recipe.toml",
        f"{100 * card.weights_top1:.2f} %",
        "## Intended use",
        "## Limits",
        f"mtf app {name} --for all",
    ):
        assert said in page, said


@pytest.mark.parametrize("name", SHIPPED)
def test_a_short_card_has_the_figures_and_the_paths(name: str) -> None:
    card, folder = zoo.load_card(name), zoo.zoo_folder() / name
    text = format_short_card(card, folder)
    assert len(text.splitlines()) <= 24
    for said in (
        f"{100 * card.int8_row.top1:.2f}",
        f"{100 * card.float_row.top1:.2f}",
        f"{card.int8_row.latency_median_ms:.3f}",
        "byte - 128",
        str(folder / card.tflite),
        str(folder / card.weights),
        f"mtf predict {name}",
    ):
        assert said in text, said


@pytest.mark.parametrize("name", SHIPPED)
def test_the_python_of_a_page_runs_and_says_what_predict_does(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card = zoo.load_card(name)
    with_litert, with_keras = re.findall(r"```python\n(.*?)```", format_page(card), re.DOTALL)
    image = draw(1, (90, 61))
    shutil.copy(zoo.zoo_folder() / name / card.tflite, tmp_path)
    image.save(tmp_path / "image.jpg")
    monkeypatch.chdir(tmp_path)
    exec(compile(with_litert, "card.md", "exec"), {})  # noqa: S102  # what is tested
    scores = Classifier.load(Path(card.tflite)).predict(load_image(Path("image.jpg"), 32, 32)[None])
    best = int(scores.argmax())
    assert capsys.readouterr().out.split() == [card.classes[best], str(float(scores[0, best]))]
    compile(with_keras, "card.md", "exec")  # executed in the tests of create_model


def changed(name: str, change: Callable[[dict[str, Any]], None]) -> zoo.Card:
    plain = msgspec.to_builtins(zoo.load_card(name))
    change(plain)
    return msgspec.convert(plain, zoo.Card)


def test_the_code_of_a_page_follows_the_file() -> None:
    def change(plain: dict[str, Any]) -> None:
        plain["stages"]["benchmark"]["metrics"]["rows"][-1]["io_type"] = "uint8"
        plain["recipe"]["export"]["logits"] = True

    page = format_page(changed(SHIPPED[0], change))
    assert 'classify(image=pixels)["logits"]' in page
    assert "probabilities" not in page.partition("```python")[2].partition("```")[0]


def test_a_page_names_what_a_model_comes_from() -> None:
    def change(plain: dict[str, Any]) -> None:
        plain["recipe"]["train"] |= {"weights": "mine.safetensors", "teacher": "artifacts/large"}

    page = format_page(changed(SHIPPED[0], change))
    assert "needs the teacher artifacts/large and the initial weights mine.safetensors" in page


def test_a_page_escapes_the_names_of_classes() -> None:
    hostile = "<img src=x>\n# \x1b[31m"

    def change(plain: dict[str, Any]) -> None:
        metrics = plain["stages"]["benchmark"]["metrics"]
        metrics["classes"] = [hostile if c == "cat" else c for c in metrics["classes"]]
        for row in metrics["rows"]:  # the class that lost most, which a note names
            top1 = 0.9 if row["format"] == "keras" else 0.1
            row["per_class"] = [*row["per_class"][:3], top1, *row["per_class"][4:]]

    text = re.sub(r"```.*?```", "", format_page(changed(SHIPPED[0], change)), flags=re.DOTALL)
    assert "Largest loss in a class: &lt;img" in text
    assert "<img" not in text
    assert "\x1b" not in text


def test_a_page_says_where_a_model_cannot_be_made_again() -> None:
    setting = "train.learning_rate: 0.1 there, 0.05 asked"

    def change(plain: dict[str, Any]) -> None:
        plain["stages"]["train"]["metrics"]["changed_on_the_way"] = [setting]

    page = format_page(changed(SHIPPED[0], change))
    assert setting in page
    assert "makes another model" in page
    assert "makes it again" not in page


def test_the_smallest_file_comes_first() -> None:
    card = zoo.load_card(SHIPPED[0])
    plain = msgspec.to_builtins(card) | {"name": "aaa_larger"}
    for row in plain["stages"]["benchmark"]["metrics"]["rows"]:
        row["size_bytes"] += 1
    lines = format_cards([msgspec.convert(plain, zoo.Card), card]).splitlines()
    assert lines[2].startswith(card.name)
    assert lines[3].startswith("aaa_larger")


def test_a_page_of_a_folder_of_images_says_where_they_are_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imgs").mkdir()
    monkeypatch.chdir(tmp_path)  # where the dataset's name is also a path
    card = zoo.load_card(SHIPPED[0])
    data = msgspec.structs.replace(
        card.recipe.data, name="imgs", path="photos/imgs", classes=card.classes
    )
    recipe = msgspec.structs.replace(card.recipe, data=data)
    page = format_page(msgspec.structs.replace(card, recipe=recipe, dataset="imgs"))
    assert f"images of {len(card.classes)} classes from photos/imgs." in page
