from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import msgspec
import pytest

from mobilenet_tf.errors import MtfError
from mobilenet_tf.recipe import Recipe, parse_recipe
from mobilenet_tf.report import plots
from mobilenet_tf.report.page import format_stages, render_json, write_report
from mobilenet_tf.report.provenance import environment_table, format_toml, run_files_table
from mobilenet_tf.report.sections import class_table, confusion_pairs, stage_table
from mobilenet_tf.report.summary import summarise
from mobilenet_tf.report.tables import Column, escape_markdown, format_table
from mobilenet_tf.report.templates import POLICY
from mobilenet_tf.report.usage import mapping_table, python_example
from mobilenet_tf.report.verdict import judge
from mobilenet_tf.runs.records import Paired
from mobilenet_tf.runs.results import RunRecord, Stages

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DRAW = [
    plots.plot_accuracy_size,
    plots.plot_accuracy_curves,
    plots.plot_loss_curves,
    plots.plot_confusion,
]
EMPTY = RunRecord(name="new", recipe=Recipe(), stages=Stages())
EVIL = "</style><script>alert('x')</script><img src=x onerror=\"y\">|`\x1b[2J\u202e\n```\n# h"


class Page(HTMLParser):
    """Collects tags and attributes, and checks that tags nest."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.open = [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def render(folder, record):
    return {path.name: path.read_text("utf-8") for path in write_report(folder, record)}


def paired(lost, gained, classes=10):
    return Paired(lost=(lost,) * classes, gained=(gained,) * classes)


# the verdict


def test_a_small_difference_on_many_images_passes(record):
    summary = summarise(record)
    assert summary.verdict.status == "pass"
    assert (summary.headline.label, summary.reference.label) == ("int8 QAT", "Keras float32")
    for part in ("-0.10 points", "10,000 test images", "918.0 KB", "27.5 %", "0.399 ms"):
        assert part in summary.verdict.sentence


def test_sixty_images_cannot_tell(record, with_int8):
    confusion = tuple(tuple(6 * (i == j) for j in range(10)) for i in range(10))
    changed = with_int8(record, confusion=confusion, paired=paired(0, 0))
    verdict = summarise(changed).verdict
    assert verdict.status == "unknown"
    assert "60 test images" in verdict.sentence
    assert "765" in verdict.basis


def test_one_bad_class_fails_whatever_the_mean(record, with_int8):
    lost, gained = [2] * 10, [35] * 10
    lost[3], gained[3] = 262, 2
    changed = with_int8(record, paired=Paired(lost=tuple(lost), gained=tuple(gained)))
    verdict = summarise(changed).verdict
    assert verdict.status == "fail"
    assert "26.0 points" in verdict.sentence
    assert "cat" in verdict.sentence
    assert "+0.37 points" in verdict.sentence


@pytest.mark.parametrize(
    ("lost", "gained", "status"),
    [(2, 20, "pass"), (0, 0, "pass"), (12, 2, "fail"), (8, 4, "unknown"), (100, 100, "unknown")],
)
def test_the_interval_decides_and_not_the_mean(record, with_int8, lost, gained, status):
    changed = with_int8(record, paired=paired(lost, gained))
    assert summarise(changed).verdict.status == status


@pytest.mark.parametrize("wrong", [None, paired(2, 2, 3), paired(600, 600)])
def test_a_benchmark_without_pairs_cannot_be_judged(record, with_int8, wrong):
    verdict = summarise(with_int8(record, paired=wrong)).verdict
    assert verdict.status == "unknown"
    assert "mtf benchmark" in verdict.basis


@pytest.mark.parametrize(
    ("size_bytes", "channels", "status"),
    [
        (1_001_952, 0, "pass"),  # exactly 30 %
        (1_005_292, 0, "fail"),
        (1_005_292, None, "fail"),
        (941_190, 5_482, "pass"),  # a quarter, 15 x 5,482 and 24,000
    ],
)
def test_size_has_its_own_limit(record, with_int8, size_bytes, channels, status):
    changed = with_int8(record, size_bytes=size_bytes, channels=channels)
    assert summarise(changed).verdict.status == status


def test_without_qat_the_calibrated_file_is_judged(record, with_rows):
    rows = [r for r in record.stages.benchmark.metrics.rows if r.quantization != "int8_qat"]
    summary = summarise(with_rows(record, rows))
    assert summary.headline.label == "int8 PTQ"
    assert summary.verdict.status == "unknown"


@pytest.mark.parametrize(
    ("recalls", "top1"),
    [((0.11,) * 10, 0.11), ((1.0,) + (0.0,) * 9, 0.9), ((1.0, 0.0) + (None,) * 8, 0.9)],
)
def test_a_float_model_that_guesses_proves_nothing(record, with_rows, recalls, top1):
    judged = record.stages.benchmark.metrics.rows
    rows = [msgspec.structs.replace(row, per_class=recalls, top1=top1) for row in judged]
    assert summarise(with_rows(record, rows)).verdict.status == "unknown"


def test_two_classes_are_not_guessed_at_70_percent(record):
    held, alike = record.stages.benchmark.metrics, paired(0, 0, classes=2)
    known = {"top1": 0.7, "per_class": (0.7, 0.7), "confusion": ((700, 300), (300, 700))}
    rows = tuple(msgspec.structs.replace(row, **known, paired=alike) for row in held.rows)
    metrics = msgspec.structs.replace(held, rows=rows, classes=("cat", "dog"), test_count=2000)
    verdict = judge(metrics.int8, metrics.find("keras", "float32"), metrics, 0.25)
    assert verdict.status == "pass"


@pytest.mark.parametrize("kind", ["int8", "float"])
def test_nothing_to_compare_is_unknown(record, with_rows, kind):
    rows = [r for r in record.stages.benchmark.metrics.rows if r.quantization.startswith(kind)]
    assert summarise(with_rows(record, rows)).verdict.status == "unknown"


# pages


def test_the_page_asks_for_nothing_and_every_file_holds_the_proof(tmp_path, record):
    texts = render(tmp_path, record)
    html = texts["report.html"]
    page = Page(html)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not [a for a in page.attributes if a[0] == "href" or a[0].startswith("on")]
    images = [value for name, value in page.attributes if name == "src"]
    assert images == [f"data:image/jpeg;base64,{code}" for code in ("YSBKUEVH", "YW5vdGhlcg==")]
    assert ("content", POLICY) in page.attributes
    assert page.tags.count("svg") == 4
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    for text in texts.values():
        for proof in ("mtf run cifar10 --out", "0123abc", "d" * 64, "6" * 64, "tensorflow"):
            assert proof in text


def test_no_text_of_the_results_becomes_markup(tmp_path, record):
    benchmark = record.stages.benchmark
    metrics = msgspec.structs.replace(benchmark.metrics, classes=(EVIL,) * 10)
    stages = msgspec.structs.replace(
        record.stages,
        benchmark=msgspec.structs.replace(
            benchmark, metrics=metrics, versions={EVIL: EVIL}, commit=EVIL
        ),
    )
    texts_of = dict.fromkeys(("image", "label", "predicted", "float_predicted"), EVIL)
    mistakes = (msgspec.structs.replace(record.mistakes[0], **texts_of),)
    wicked = {"name": EVIL, "command": EVIL, "stages": stages, "mistakes": mistakes}
    texts = render(tmp_path, msgspec.structs.replace(record, **wicked))
    tags = Page(texts["report.html"]).tags
    assert (tags.count("script"), tags.count("img")) == (0, 2)
    json.loads(texts["report.json"])
    fence = ""
    for line in texts["report.md"].splitlines():
        if line.startswith("```"):
            marks = line[: len(line) - len(line.lstrip("`"))]
            fence = fence or marks if line != fence else ""
        elif not fence:
            assert not line.startswith("# h")
            assert "<" not in re.sub(r"(`+).*?\1", "", line)
    assert fence == ""
    for name in ("report.md", "report.html"):
        assert not {"\x1b", "\u202e"} & set(texts[name])


@pytest.mark.parametrize("stage", ["train", "qat", "export", "benchmark"])
def test_any_stage_may_be_missing(tmp_path, record, stage):
    stages = msgspec.structs.replace(record.stages, **{stage: None})
    texts = render(tmp_path, msgspec.structs.replace(record, stages=stages))
    Page(texts["report.html"])
    assert "Not in this report" in texts["report.md"]


def test_an_empty_run_has_a_report(tmp_path):
    texts = render(tmp_path, EMPTY)
    assert json.loads(texts["report.json"])["verdict"]["status"] == "unknown"
    Page(texts["report.html"])


def test_json_holds_everything_and_knows_no_nan(record, with_int8):
    text = render_json(summarise(with_int8(record, loss=float("nan"))))
    document = json.loads(text, parse_constant=pytest.fail)
    assert document["verdict"]["status"] == "pass"
    assert document["rows"][-1]["label"] == "int8 QAT"
    assert document["stages"]["benchmark"]["metrics"]["rows"][-1]["loss"] is None
    assert len(document["history"]["train"]) == 30


def test_the_same_run_gives_the_same_bytes(tmp_path, make_record):
    assert render(tmp_path / "a", make_record()) == render(tmp_path / "b", make_record())


def test_an_unwritable_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MtfError):
        write_report(tmp_path / "file" / "report", EMPTY)


# plots


@pytest.mark.parametrize("draw", DRAW)
@pytest.mark.parametrize("classes", [10, 100])
def test_plots_are_well_formed_small_and_in_the_page_s_colours(make_record, draw, classes):
    svg = draw(summarise(make_record(classes))).svg
    root = ElementTree.fromstring(svg)  # noqa: S314  # our own output
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert len(svg) < 100_000
    assert "var(--" in svg
    assert "#0" not in svg


@pytest.mark.parametrize("draw", DRAW)
def test_plots_without_data_are_none(draw):
    assert draw(summarise(EMPTY)) is None


def test_a_name_in_any_script_is_drawn_without_a_warning(recwarn):
    assert "猫" in plots.plot_matrix("Confusion", ["猫", "dog"], ((1, 2), (0, 3))).svg
    assert not recwarn.list


def test_a_full_matrix_of_a_hundred_classes_stays_small(make_record, with_int8):
    record = make_record(100)
    line = tuple(2 if j % 3 == 0 else 0 for j in range(100))
    svg = plots.plot_confusion(summarise(with_int8(record, confusion=(line,) * 100))).svg
    assert len(svg) < 100_000


def test_layers_are_a_file_of_their_own():
    svg = plots.plot_layers("net", {"<a>": (1.0, 2.0, None), "b": (3.0, None, 4.0)}, "b")
    assert ElementTree.fromstring(svg).get("aria-label")  # noqa: S314
    assert "--page:" in svg


def test_importing_the_report_loads_nothing_heavy():
    heavy = "('tensorflow', 'tf_keras', 'matplotlib', 'numpy', 'jinja2', 'rich')"
    code = f"import sys, mobilenet_tf.report.page; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == "[]"


# tables


def test_a_text_table_is_plain_escaped_and_at_most_100_wide():
    columns = [Column("name", align="left"), Column("size in KB", "KB")]
    text = format_table(columns, [("a" * 150, "1.0"), ("\x1b[31m\u202e[b]red", "2,000.5")])
    lines = text.splitlines()
    assert lines[0].split() == ["name", "KB"]
    assert set(lines[1]) == {"-", " "}
    assert max(map(len, lines)) <= 100
    assert not {"\x1b", "\u202e"} & set(text)
    assert "[b]red" in text


def test_a_markdown_cell_stays_a_cell():
    columns = [Column("class", align="left"), Column("file", align="left", code=True)]
    lines = format_table(columns, [("a|b\n<b>*x*", "`c`|d")], "markdown").splitlines()
    assert lines[2] == r"| a\|b\\n&lt;b&gt;\*x\* | `` `c`\|d `` |"
    assert escape_markdown("v1_050_r32") == "v1_050_r32"


@pytest.mark.parametrize("style", ["text", "markdown"])
def test_a_row_of_another_length_is_refused(style):
    with pytest.raises(ValueError, match="zip"):
        format_table([Column("one")], [("a", "b")], style)


def test_stages_fit_eighty_characters_of_ascii(record):
    table, verdict = format_stages(record).split("\n\n")
    assert max(map(len, table.splitlines())) <= 90
    assert table.isascii()
    assert verdict == summarise(record).verdict.sentence


def test_stage_rows_round_and_compare(record, make_record):
    rows = {row[0]: row for row in stage_table(summarise(record)).rows}
    assert rows["int8 QAT"][1:] == ("89.20", "-0.10", "918.0", "27.5", "0.399", "0.439", "3.4")
    assert "top-5 %" in [c.title for c in stage_table(summarise(make_record(100))).columns]


def test_classes_and_mistakes(record, make_record):
    assert len(class_table(summarise(record)).rows) == 10
    assert len(class_table(summarise(make_record(100))).rows) == 10
    assert confusion_pairs(summarise(record)).rows[0] == ("plane", "car", "108", "10.8")


def test_values_that_differ_between_stages_are_told_apart(record):
    stage = record.stages.benchmark
    changed = msgspec.structs.replace(stage, versions=stage.versions | {"tensorflow": "2.21.9"})
    stages = msgspec.structs.replace(record.stages, benchmark=changed)
    values = dict(environment_table(summarise(msgspec.structs.replace(record, stages=stages))).rows)
    assert values["versions: tensorflow (benchmark)"] == "2.21.9"
    assert values["seed"] == "1"
    assert run_files_table(summarise(record)).rows[0][1:] == ("917,960", "6" * 64)


def test_settings_read_back_as_a_recipe(record):
    assert parse_recipe(tomllib.loads(format_toml(record.recipe)), "test") == record.recipe


@pytest.mark.parametrize("io_type", ["int8", "uint8", "float32"])
def test_how_to_feed_the_file(record, with_int8, io_type):
    summary = summarise(with_int8(record, io_type=io_type))
    ast.parse(python_example(summary))
    assert mapping_table(summary).rows[0][1:3] == ("1 x 32 x 32 x 3", io_type)
