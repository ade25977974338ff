from __future__ import annotations

import itertools
import random
import re
from xml.etree import ElementTree

import pytest

from mobilenet_tf.report import plots
from mobilenet_tf.report.summary import summarise
from mobilenet_tf.report.svg import Box, Scale, log_ticks, mark_box, nice_ticks, place_labels

DRAW = [
    plots.plot_accuracy_size,
    plots.plot_accuracy_curves,
    plots.plot_loss_curves,
    plots.plot_confusion,
]


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("text")]  # noqa: S314


def numbers_in_box(svg):
    root = ElementTree.fromstring(svg)  # noqa: S314  # our own output
    _, _, width, height = map(float, root.get("viewBox").split())
    for element in root.iter():
        for name in ("x", "x1", "x2", "cx"):
            if element.get(name) is not None:
                assert -0.01 <= float(element.get(name)) <= width + 0.01
        for name in ("y", "y1", "y2", "cy"):
            if element.get(name) is not None:
                assert -0.01 <= float(element.get(name)) <= height + 0.01
        for pair in (element.get("points") or "").split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height


@pytest.mark.parametrize("draw", DRAW)
@pytest.mark.parametrize("class_count", [10, 100])
def test_plots_are_well_formed_and_inside_their_frame(make_run, draw, class_count):
    svg = draw(summarise(make_run(class_count)))
    numbers_in_box(svg)
    assert ElementTree.fromstring(svg).get("aria-label")  # noqa: S314


@pytest.mark.parametrize("draw", DRAW)
def test_plots_without_data_are_empty(draw):
    assert draw(summarise({"run": "new"})) == ""


def test_every_file_has_its_label_and_its_figures(run):
    svg = plots.plot_accuracy_size(summarise(run))
    assert {"float32", "float16", "dynamic range", "int8 PTQ", "int8 QAT"} <= set(texts(svg))
    assert "int8 QAT: 89.19 %, 918.0 KB" in svg


def test_keras_models_are_points_only_where_there_is_no_file(run, rows):
    assert "Keras QAT" not in texts(plots.plot_accuracy_size(summarise(run)))
    rows[:] = [row for row in rows if row["format"] == "keras"]
    assert "Keras QAT" in texts(plots.plot_accuracy_size(summarise(run)))


def test_higher_accuracy_is_higher_and_larger_files_are_farther_right(run):
    svg = plots.plot_accuracy_size(summarise(run))
    place = {}
    for element in ElementTree.fromstring(svg):  # noqa: S314
        title = element.find("title")
        if title is not None:
            points = element.get("points")
            x, y = (
                map(float, points.split()[0].split(","))
                if points
                else (float(element.get("cx")), float(element.get("cy")))
            )
            place[title.text.split(":")[0]] = (x, y)
    assert place["int8 PTQ"][1] > place["int8 QAT"][1] > place["float32"][1]
    assert place["int8 QAT"][0] < place["float16"][0] < place["float32"][0]


@pytest.mark.parametrize("seed", range(30))
def test_labels_touch_neither_each_other_nor_markers(seed):
    chance = random.Random(seed)  # noqa: S311  # places on paper
    x, y = chance.uniform(120, 300), chance.uniform(80, 200)
    points = [
        (x + chance.uniform(-60, 60), y + chance.uniform(-25, 25), f"int8 number {index}")
        for index in range(6)
    ]
    area = Box(40, 10, 410, 260)
    labels = place_labels(points, area)
    for one, other in itertools.combinations(labels, 2):
        assert one.box.overlap(other.box) == 0
    for label, (px, py, _) in itertools.product(labels, points):
        assert label.box.overlap(mark_box(px, py)) == 0
        assert area.holds(label.box)


def test_qat_continues_where_float_training_ends(run):
    svg = plots.plot_accuracy_curves(summarise(run))
    lines = [
        [tuple(map(float, pair.split(","))) for pair in match.split()]
        for match in re.findall(r'<polyline points="([^"]+)" class="curve validation"', svg)
    ]
    assert [len(line) for line in lines] == [30, 3]
    assert lines[0][-1][0] < lines[1][0][0]
    assert svg.count("was kept") == 2
    assert "QAT" in texts(svg)


def test_curves_without_validation_or_qat(run):
    run["history"]["qat"] = []
    for row in run["history"]["train"]:
        row["validation_accuracy"] = ""
    svg = plots.plot_accuracy_curves(summarise(run))
    assert "validation" not in texts(svg)
    assert "QAT" not in texts(svg)
    assert "was kept" not in svg


def test_one_epoch_is_a_dot_and_a_gap_breaks_the_line(run):
    run["history"] = {"train": run["history"]["train"][:1]}
    assert "<circle" in plots.plot_loss_curves(summarise(run))
    run["history"] = {
        "train": [{"epoch": i, "loss": None if i == 3 else 1.0 / (i + 1)} for i in range(6)]
    }
    assert plots.plot_loss_curves(summarise(run)).count("<polyline") == 2


def test_confusion_rows_are_normalised_to_their_class(run, rows):
    rows[-1]["confusion"] = [[3, 1], [0, 0]]
    rows[-1]["per_class"] = [0.75, None]
    svg = plots.plot_confusion(summarise(run))
    cells = [e.text for e in ElementTree.fromstring(svg).iter("text") if "cell" in e.get("class")]  # noqa: S314
    assert cells == ["75", "25"]


def test_a_hundred_classes_stay_small(make_run):
    assert len(plots.plot_confusion(summarise(make_run(100)))) < 100_000


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a" onload="x', "a & b"])
def test_class_names_are_escaped(run, name):
    run["stages"]["benchmark"]["metrics"]["classes"][0] = name
    svg = plots.plot_confusion(summarise(run))
    ElementTree.fromstring(svg)  # noqa: S314
    assert "<script" not in svg
    assert not ElementTree.fromstring(svg).get("onload")  # noqa: S314


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (88.6, 89.4), (0.001, 0.0012), (5.0, 5.0), (-3, 700)]
)
def test_ticks_span_the_values_in_round_steps(low, high):
    ticks = nice_ticks(low, high, 5)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert len(ticks) <= 8


def test_logarithmic_scale():
    scale = Scale(10, 1000, 0, 100, logarithmic=True)
    assert scale(100) == pytest.approx(50)
    assert log_ticks(9, 210) == pytest.approx([10, 20, 50, 100, 200])
