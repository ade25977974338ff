"""Projects for apps: written whole, repeatable, and never over what a user edited."""

from __future__ import annotations

import html
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from mobilenet_tf.app import litertjs
from mobilenet_tf.app.model import AppModel, load_model
from mobilenet_tf.app.project import (
    MANIFEST,
    PLATFORMS,
    build_app,
    check_package,
    write_app,
)
from mobilenet_tf.app.selftest import draw
from mobilenet_tf.errors import UsageError
from mobilenet_tf.tflite import schema
from mobilenet_tf.zoo.shelf import find_tflite


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for LiteRT.js."""
    monkeypatch.setattr(litertjs, "load", lambda: {"litertjs-core/dist/index.js": b"//"})


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("platform", PLATFORMS)
def test_equal_models_give_equal_projects(model: AppModel, platform: str) -> None:
    files = build_app(model, platform)
    assert files == build_app(model, platform)
    assert not [name for name in files if "jinja" in name or "__" in name]
    described = json.loads(next(v for k, v in files.items() if k.endswith("model.json")))
    assert described["classes"][0] == "airplane"
    assert described["output"]["scale"] == 1 / 256
    tests = json.loads(next(v for k, v in files.items() if k.endswith("selftest.json")))
    assert len(tests["images"]) == 6
    assert len({image["top"] for image in tests["images"]}) > 1  # a constant would not do
    margins = [np.diff(np.sort(image["output"])[-2:]) for image in tests["images"]]
    assert min(margins) > 2 * tests["tolerance"]  # what is allowed makes no other class the first


@pytest.mark.usefixtures("runtime")
def test_a_project_is_written_again_but_not_over_what_was_edited(
    model: AppModel, tmp_path: Path
) -> None:
    files, out = build_app(model, "web"), tmp_path / "site"
    assert write_app(files, out) == len(files)
    assert write_app(files, out) == 0
    (out / "style.css").write_text("body {}")
    with pytest.raises(UsageError, match=r"style\.css was edited"):
        write_app({**files, "app.mjs": b"new"}, out)
    assert (out / "app.mjs").read_bytes() == files["app.mjs"]
    assert write_app(files, out, overwrite=True) == 1
    assert write_app({**files, "app.mjs": b"new"}, out) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"site"}


def test_what_a_folder_held_before_stays_known(tmp_path: Path) -> None:
    write_app({"web/a": b"1", "ios/a": b"1"}, tmp_path / "app")
    write_app({"a": b"1"}, tmp_path / "app")
    assert write_app({"web/a": b"2", "ios/a": b"2"}, tmp_path / "app") == 2


def test_another_package_leaves_no_code_of_the_first(model: AppModel, tmp_path: Path) -> None:
    write_app(build_app(model, "android"), tmp_path / "app")
    write_app(build_app(model, "android", "org.example.pets"), tmp_path / "app")
    code = [path.read_text("utf-8") for path in (tmp_path / "app").rglob("*.kt")]
    assert code
    assert {text.splitlines()[0] for text in code} == {"package org.example.pets"}


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not a project"):
        write_app({"a": b"b"}, tmp_path)
    (tmp_path / MANIFEST).write_text("[]")
    with pytest.raises(UsageError, match="not a project"):
        write_app({"a": b"b"}, tmp_path)
    with pytest.raises(UsageError, match="not a folder"):
        write_app({"a": b"b"}, tmp_path / "thesis.txt")
    link = tmp_path / "linked"
    link.mkdir()
    (link / MANIFEST).write_text("{}")
    (link / "a").symlink_to(tmp_path / "thesis.txt")
    with pytest.raises(UsageError, match="not of mtf app"):
        write_app({"a": b"b"}, link)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.usefixtures("runtime")
def test_hostile_names_are_text_on_every_platform(hostile: AppModel) -> None:
    web, *others = (build_app(hostile, platform) for platform in PLATFORMS)
    assert b"</script>\"'" not in web["index.html"]
    assert html.unescape(web["index.html"].decode()).count(f"<title>{hostile.name}</title>") == 1
    for files in (web, *others):
        described, labels = (
            next(content for name, content in files.items() if name.endswith(end))
            for end in ("model.json", "labels.txt")
        )
        assert json.loads(described)["classes"] == list(hostile.classes)
        assert len(labels.decode().splitlines()) == len(hostile.classes)


@pytest.mark.parametrize(
    "package", ["", "a", "a.class", "a.B", "a..b", "a.fun", "1.b", "a.b-c", "a/b.c"]
)
def test_a_package_that_cannot_be_one_is_refused(package: str) -> None:
    with pytest.raises(UsageError, match="--package"):
        check_package(package)


@pytest.mark.parametrize("content", ["one\ntwo\n", "\xff"])
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, content: str) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError, match="labels"):
        load_model(find_tflite(Path("cifar10_v1_028_r32_b8")), labels=labels)


def test_a_model_without_names_asks_for_them(tmp_path: Path) -> None:
    model = schema.parse(find_tflite(Path("cifar10_v1_028_r32_b8")).read_bytes())
    model.metadata = []
    path, labels = tmp_path / "theirs.tflite", tmp_path / "labels.txt"
    path.write_bytes(schema.pack(model))
    with pytest.raises(UsageError, match="--labels FILE"):
        load_model(path)
    labels.write_text("\n".join("abcdefghij"))
    found = load_model(path, labels=labels)
    assert (found.name, found.classes, found.own_type) == ("theirs", tuple("abcdefghij"), "int8")


@pytest.mark.parametrize("signature", [(4, 32, 32, 3), (-1, -1, -1, 3)])
def test_shapes_that_an_app_cannot_give_are_refused(
    tmp_path: Path, signature: tuple[int, ...]
) -> None:
    model = schema.parse(find_tflite(Path("cifar10_v1_028_r32_b8")).read_bytes())
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].shapeSignature = np.array(signature, np.int32)
    path = tmp_path / "theirs.tflite"
    path.write_bytes(schema.pack(model))
    with pytest.raises(UsageError, match="one image of one size"):
        load_model(path)


@pytest.mark.parametrize("scale", [None, 0.0])
def test_an_output_without_a_scale_is_refused(tmp_path: Path, scale: float | None) -> None:
    model = schema.parse(find_tflite(Path("cifar10_v1_028_r32_b8")).read_bytes())
    graph = model.subgraphs[0]
    quantization = schema.tables.QuantizationParametersT()
    if scale is not None:
        quantization.scale, quantization.zeroPoint = np.zeros(1, np.float32), np.zeros(1, np.int64)
    graph.tensors[graph.outputs[0]].quantization = quantization
    path = tmp_path / "theirs.tflite"
    path.write_bytes(schema.pack(model))
    with pytest.raises(UsageError, match="no scale for its outputs"):
        load_model(path)


def test_an_open_batch_becomes_one_image(tmp_path: Path) -> None:
    model = schema.parse(find_tflite(Path("cifar10_v1_028_r32_b8")).read_bytes())
    for tensor in model.subgraphs[0].tensors:
        if len(tensor.shape) > 1:
            tensor.shapeSignature = np.array([-1, *tensor.shape[1:]], np.int32)
    path = tmp_path / "theirs.tflite"
    path.write_bytes(schema.pack(model))
    (graph,) = schema.parse(load_model(path).content).subgraphs
    assert all(tensor.shapeSignature is None for tensor in graph.tensors)


def test_a_name_of_other_bytes_is_text() -> None:
    model = load_model(find_tflite(Path("cifar10_v1_028_r32_b8")), name="caf\udce9")
    assert model.name == "caf?"
    assert build_app(model, "ios")["project.yml"]


def test_the_python_app_says_what_is_unsure_and_fails_with_its_test(
    model: AppModel, tmp_path: Path
) -> None:
    files, image = build_app(model, "python"), tmp_path / "image.png"
    for name, key, value in (("model.json", "threshold", 1.1), ("selftest.json", "tolerance", -1)):
        files[name] = json.dumps(json.loads(files[name]) | {key: value}).encode()
    write_app(files, tmp_path / "app")
    draw(1, (40, 40)).save(image)

    def classify(*images: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, tmp_path / "app" / "classify.py", *images]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert classify(image).stdout.endswith("\tunsure\n")
    assert classify().returncode == 1


def test_a_bundle_has_no_underscore(model: AppModel) -> None:
    spec = build_app(model, "ios", "org.my_pets.app")["project.yml"].decode()
    assert "PRODUCT_BUNDLE_IDENTIFIER: org.my-pets.app" in spec
    assert "my_pets" not in spec


@pytest.mark.parametrize(("given", "shown"), [("a\x01\n\x1bb\uffff", "a b"), ("\x02", "model")])
def test_a_name_is_one_that_xml_can_hold(given: str, shown: str) -> None:
    model = load_model(find_tflite(Path("cifar10_v1_028_r32_b8")), name=given)
    assert model.name == shown
    strings = build_app(model, "android")["app/src/main/res/values/strings.xml"]
    root = ElementTree.fromstring(strings)  # noqa: S314  # our own
    assert root.findtext("string[@name='app_name']") == shown


@pytest.mark.usefixtures("runtime")
def test_ten_thousand_classes_are_as_many_everywhere(model: AppModel) -> None:
    classes = tuple(f"class {number}" for number in range(10_000))
    files = build_app(replace(model, classes=classes), "web")
    assert json.loads(files["model.json"])["classes"] == list(classes)
    assert files["labels.txt"].decode().splitlines() == list(classes)


def test_a_runtime_that_cannot_be_had_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    with pytest.raises(Exception, match="npm pack @litertjs/core"):
        litertjs.load()
    assert not list(tmp_path.rglob("*.tgz"))


def test_writing_an_app_needs_no_tensorflow(tmp_path: Path) -> None:
    code = (
        "import sys; from mobilenet_tf.cli.main import run_command;"
        "arguments = ['app', 'cifar10_v1_028_r32_b8', '--for', 'ios', '--out', sys.argv[1]];"
        "code = run_command(arguments);"
        "print(code, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "app"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 False"
