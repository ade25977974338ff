from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from mobilenet_tf.pipeline.comparison import describe_model
from mobilenet_tf.report.comparison import ComparisonRow, comparison_table
from mobilenet_tf.report.pareto import (
    COSTS,
    Point,
    find_frontier,
    find_frontiers,
    list_points,
    render_pareto,
)
from mobilenet_tf.report.rivals import RIVALS
from mobilenet_tf.zoo.shelf import model_names

SIZE, MACS, LATENCY, TIME = COSTS


@pytest.fixture(scope="module")
def rows() -> list[ComparisonRow]:
    """Return the zoo's rows; two others stand for runs with a report."""
    rows = [describe_model(name) for name in model_names()]
    return [*rows[:-1], replace(rows[-1], report="/runs/a <b>/report/report.html")]


def test_nothing_on_the_frontier_is_beaten() -> None:
    points = [
        Point(str(i), cost, top1, "int8", i)
        for i, (cost, top1) in enumerate(
            [(3, 0.9), (1, 0.5), (2, 0.4), (3, 0.8), (4, 0.9), (1, 0.6)]
        )
    ]
    assert [point.name for point in find_frontier(points)] == ["5", "0"]


def test_runs_on_other_data_are_not_compared(rows: list[ComparisonRow]) -> None:
    easy = replace(rows[0], dataset="digits", test_count=360, float_top1=0.999, int8_top1=0.999)
    small = replace(easy, int8_size_bytes=1, test_count=500)
    mixed = [*rows, easy, small]
    alone, of_digits = find_frontiers(list_points(SIZE, mixed), mixed)
    assert [alone] == find_frontiers(list_points(SIZE, rows), rows)
    assert {point.row for point in of_digits} == {len(rows) + 1}
    table = comparison_table(mixed)
    column = [c.title for c in table.columns].index("data")
    assert [row[column] for row in table.rows][-3:] == [rows[0].dataset, "digits", "digits"]
    assert "digits (360 test images), digits (500 test images)" in table.note
    assert "data" not in [c.title for c in comparison_table(rows).columns]


def test_each_network_of_a_run_stands_at_its_own_cost(rows: list[ComparisonRow]) -> None:
    row = replace(rows[0], float_size_bytes=4000, int8_size_bytes=1000, dataset="digits")
    points = list_points(SIZE, [row])
    assert [(point.series, point.cost) for point in points] == [("float", 4000), ("int8", 1000)]
    assert [point.top1 for point in points] == [row.float_top1, row.int8_top1]
    assert list_points(LATENCY, [replace(row, int8_latency_median_ms=None)]) == []


def test_others_stand_beside_runs_on_their_data_alone(rows: list[ComparisonRow]) -> None:
    others = [point for point in list_points(MACS, rows) if point.row is None]
    assert [point.name for point in others] == [rival.name for rival in RIVALS if rival.macs]
    mixed = [*rows, replace(rows[0], dataset="digits")]
    assert all(point.row is not None for point in list_points(MACS, mixed))
    assert "Published" not in render_pareto("mixed", mixed, Path("page.html"))


def test_settings_that_vary_have_a_column(rows: list[ComparisonRow]) -> None:
    alike = replace(rows[0], settings={"train.epochs": "3", "model.alpha": "0.5"})
    table = comparison_table([alike, replace(alike, settings={"train.epochs": "4"})])
    column = [c.title for c in table.columns].index("other settings")
    assert [row[column] for row in table.rows] == ["train.epochs=3", "train.epochs=4"]
    assert "other settings" not in [c.title for c in comparison_table([alike, alike]).columns]


@pytest.fixture
def page(rows: list[ComparisonRow], tmp_path: Path) -> Iterator[Any]:
    """Yield the page in Chromium, on a phone's screen, with what it asked for and complained of."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs chromium")
    file = tmp_path / "page.html"
    file.write_text(render_pareto("zoo", rows, file))
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 400, "height": 800})
        page.said = []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.said.append(request.url))
        page.goto(file.as_uri())
        yield page
        assert page.said == [file.as_uri()]
        browser.close()


@pytest.mark.slow
def test_the_page_sorts_and_points_at_runs(page: Any, rows: list[ComparisonRow]) -> None:
    def shown() -> list[str]:
        return page.eval_on_selector_all("tr[id] th", "all => all.map((one) => one.textContent)")

    assert page.evaluate("document.documentElement.scrollWidth") == 400
    by_size = sorted(rows, key=lambda row: row.int8_size_bytes or 0)
    heading = page.locator("th button", has_text="int8 KB")
    heading.click()
    assert shown() == [row.run for row in reversed(by_size)]
    heading.click()
    assert shown() == [row.run for row in by_size]
    assert page.get_attribute("th[aria-sort]", "aria-sort") == "ascending"
    mark = page.locator('svg a[*|href="#run-1"]').first
    assert re.search(r"^\S+, int8: \d+\.\d+ %", mark.locator("title").text_content())
    mark.hover()
    assert page.get_attribute("tr.lit", "id") == "run-1"
    mark.click()
    assert page.url.endswith("#run-1")
    assert page.get_attribute("tr[id] a", "href").endswith("a%20%3Cb%3E/report/report.html")
