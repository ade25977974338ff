from __future__ import annotations

import ast
import itertools
import json
import os
import subprocess
import sys
import types
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from mobilenet_tf.errors import MtfError
from mobilenet_tf.report import write_report
from mobilenet_tf.report.provenance import (
    environment_table,
    files_table,
    format_toml,
    selection_note,
)
from mobilenet_tf.report.summary import summarise
from mobilenet_tf.report.usage import mapping_table, python_example

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

VOID = {"meta"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that tags nest."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.open, self.text = [], [], [], ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data


def render(folder, run):
    paths = {path.suffix: path for path in write_report(folder, run)}
    assert {path.name for path in paths.values()} == {"report.md", "report.json", "report.html"}
    return {suffix: path.read_text("utf-8") for suffix, path in paths.items()}


def test_all_three_files_answer_first_and_hold_the_proof(tmp_path, run):
    texts = render(tmp_path, run)
    page = Page(texts[".html"])
    for text in (texts[".md"], page.text.replace("\u2212", "-").replace("\u00a0", " ")):
        assert (
            text.index("Yes, the int8 file") < text.index("dynamic range") < text.index("SHA-256")
        )
        for proof in ("mtf run cifar10 --out", "0123abc", "d" * 64, "5" * 64, "918,120", "-0.12"):
            assert proof in text
        assert "epoch 29 of 30 was chosen on validation" in text
    assert page.tags.count("svg") == 4


def test_html_makes_no_request_and_runs_nothing(tmp_path, run):
    page = Page(render(tmp_path, run)[".html"])
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [a for a in page.attributes if a[0] in ("src", "href") or a[0].startswith("on")]
    policy = dict(page.attributes)["content"]
    assert (
        "content",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    ) in page.attributes, policy
    assert "url(" not in render(tmp_path, run)[".html"]
    assert "@import" not in render(tmp_path, run)[".html"]


def poison(value, text):
    """Return `value` with every user-supplied string replaced by `text`."""
    if isinstance(value, dict):
        return {key: poison(inner, text) for key, inner in value.items()}
    if isinstance(value, list):
        return [poison(inner, text) for inner in value]
    return text if isinstance(value, str) else value


EVIL = "</style><script>alert('x')</script><img src=x onerror=\"y\">|`\x1b[2J\n```\n# h"


def test_no_text_of_the_results_becomes_markup(tmp_path, run):
    kept = ("format", "quantization", "io_type", "stage", "selection")
    rows = run["stages"]["benchmark"]["metrics"]["rows"]
    original = [{key: row[key] for key in kept if key in row} for row in rows]
    wicked = poison(run, EVIL)
    for row, values in zip(wicked["stages"]["benchmark"]["metrics"]["rows"], original, strict=True):
        row.update(values)
    wicked["stages"][EVIL] = wicked["stages"].pop("export")
    texts = render(tmp_path, wicked)
    page = Page(texts[".html"])
    assert not {"script", "img"} & set(page.tags)
    assert "alert('x')" in page.text
    fence = ""
    for line in texts[".md"].splitlines():
        if line.startswith("```"):
            marks = line[: len(line) - len(line.lstrip("`"))]
            fence = fence or marks if line != fence else ""
        assert fence or not line.startswith("# h")
    assert fence == ""
    json.loads(texts[".json"])


@pytest.mark.parametrize(
    "run",
    [
        {},
        {"run": "r", "stages": None, "history": None, "recipe": None},
        {"run": "r", "stages": {"train": {}}},
        {"run": "r", "stages": {"benchmark": {"metrics": {"rows": [{}]}}}},
        {
            "run": "r",
            "stages": {"benchmark": {"metrics": {"rows": [{"top1": 0.5}], "classes": []}}},
        },
        {"run": "r", "history": {"train": [{}]}, "stages": {"train": {"metrics": None}}},
    ],
)
def test_whatever_is_missing_the_report_is_written(tmp_path, run):
    texts = render(tmp_path, run)
    assert Page(texts[".html"]).tags.count("h1") == 1
    assert json.loads(texts[".json"])["verdict"]["status"] == "unknown"
    assert "Nothing is shown yet" in texts[".md"] or "Not comparable" in texts[".md"]


@pytest.mark.parametrize("stage", ["train", "qat", "export", "benchmark"])
def test_any_stage_may_be_missing(tmp_path, run, stage):
    del run["stages"][stage]
    run["history"].pop(stage, None)
    Page(render(tmp_path, run)[".html"])


def test_json_holds_everything_and_knows_no_nan(tmp_path, run, rows):
    rows[-1]["loss"] = float("nan")
    rows[-2]["latency_p90_ms"] = float("inf")
    document = json.loads(render(tmp_path, run)[".json"], parse_constant=pytest.fail)
    assert document["verdict"]["status"] == "pass"
    assert document["verdict"]["int8"] == "int8 QAT"
    assert document["rows"][-1]["delta_points"] == pytest.approx(-0.12)
    saved = document["stages"]["benchmark"]["metrics"]["rows"]
    assert saved[-1]["loss"] is None
    assert saved[-1]["confusion"] == rows[-1]["confusion"]
    assert document["history"] == run["history"]


def test_the_same_run_gives_the_same_bytes(tmp_path, make_run):
    assert render(tmp_path / "a", make_run()) == render(tmp_path / "b", make_run())


def test_an_unwritable_folder_is_a_clear_error(tmp_path, run):
    (tmp_path / "file").write_text("")
    with pytest.raises(MtfError, match="cannot write"):
        write_report(tmp_path / "file" / "report", run)


def test_values_that_differ_between_stages_are_told_apart(run):
    run["stages"]["benchmark"]["versions"]["tensorflow"] = "2.21.9"
    values = dict(environment_table(summarise(run)).rows)
    assert values["versions: tensorflow (train, qat, export)"] == "2.21.0"
    assert values["versions: tensorflow (benchmark)"] == "2.21.9"
    assert values["seed"] == "1"
    assert values["data: test"] == "d" * 64


def test_last_epoch_is_said_where_nothing_was_selected(run):
    run["stages"]["train"]["metrics"] = {"selection": "last epoch"}
    assert "Float training: the last epoch stands" in selection_note(summarise(run))


def test_files_have_size_and_digest(run):
    rows = {row[0]: row[1:] for row in files_table(summarise(run)).rows}
    assert rows["export/v1_050_r32_int8_qat.tflite"] == ("917,960", "6" * 64)


def test_settings_read_back_as_toml():
    values = {
        "seed": 1,
        "name": 'a "b" \\ c\n\u732b\x7f',
        "none": None,
        "data": {"flip": True, "share": 0.25, "tiny": 1e-05, "odd key": ["x", 2]},
        "deep": {"inner": {"a": -1}},
        "empty": {},
    }
    assert tomllib.loads(format_toml(values)) == {
        "seed": 1,
        "name": values["name"],
        "data": values["data"],
        "deep": values["deep"],
    }


@pytest.mark.parametrize("kind", itertools.product(["int8", "uint8", "float32"], [False, True]))
def test_the_python_example_feeds_bytes_as_documented(tmp_path, monkeypatch, capsys, run, kind):
    io_type, logits = kind
    run["stages"]["benchmark"]["metrics"]["rows"][-1]["io_type"] = io_type
    run["recipe"]["export"]["logits"] = logits
    code = python_example(summarise(run))
    ast.parse(code)
    pixels = np.arange(32 * 32 * 3, dtype=np.uint32).reshape(32, 32, 3) % 256
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    fed = {}
    name = "logits" if logits else "probabilities"

    class Interpreter:
        def __init__(self, path):
            assert path == "v1_050_r32_int8_qat.tflite"

        def get_output_details(self):
            return [{"quantization": (0.5, -100)}]

        def get_signature_runner(self, key):
            assert key == "serving_default"

            def classify(image):
                fed["image"] = image
                values = {"int8": -128, "uint8": 0, "float32": 0.0}
                scores = np.full((1, 10), values[io_type], dtype=io_type)
                scores[0, 3] = {"int8": 64, "uint8": 192, "float32": 0.75}[io_type]
                return {name: scores}

            return classify

    module = types.ModuleType("ai_edge_litert.interpreter")
    module.Interpreter = Interpreter
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
    exec(code, {})  # noqa: S102  # the report promises that this program works
    assert fed["image"].shape == (1, 32, 32, 3)
    assert fed["image"].dtype == io_type
    expected = {"int8": pixels - 128.0, "uint8": pixels, "float32": (pixels - 128.0) / 128}
    np.testing.assert_array_equal(fed["image"][0], expected[io_type])
    best, score = capsys.readouterr().out.split()
    quantized = {"int8": (64 + 100) * 0.5, "uint8": (192 + 100) * 0.5, "float32": 0.75}
    assert best == "cat"
    assert float(score) == pytest.approx(quantized[io_type] if logits else 0.75)


def test_many_classes_are_read_from_the_report(tmp_path, monkeypatch, make_run):
    run = make_run(100)
    code = python_example(summarise(run))
    ast.parse(code)
    write_report(tmp_path, run)
    monkeypatch.chdir(tmp_path)
    names = {}
    line = next(line for line in code.splitlines() if line.startswith("classes"))
    exec(f"import json\nfrom pathlib import Path\n{line}", names)  # noqa: S102
    assert names["classes"][42] == "kind 42"


def test_io_mapping_follows_the_type_of_the_file(run, rows):
    rows[-1]["io_type"] = "uint8"
    table = mapping_table(summarise(run))
    assert [row[3] for row in table.rows] == ["the byte itself", "value / 256"]
    assert table.rows[0][1] == "1 x 32 x 32 x 3"


def test_report_loads_neither_tensorflow_nor_a_plotting_library():
    code = (
        "import sys, mobilenet_tf.report as r;"
        "print([m for m in ('tensorflow', 'tf_keras', 'matplotlib', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == "[]"
