"""The house rules that the source itself can prove: who imports whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "mobilenet_tf"
ROOMS = (  # a module imports from rooms above its own in this list, and from its own room
    "errors",
    "system",
    "files",
    "recipe",
    "keras",
    "models",
    "data",
    "tflite",
    "quantization",
    "runs",
    "evaluation",
    "training",
    "report",
    "zoo",
    "app",
    "pipeline",
    "sweep",
    "debugging",
    "api",
    "cli",
)
DOORS = {  # a library -> the modules that may import it
    "tensorflow": ("keras",),
    "tf_keras": ("keras",),
    "keras": (),
    "tensorflow_model_optimization": ("quantization",),
    "tensorflow_datasets": ("data/sources",),
    "sklearn": ("data/embedded", "training/head"),
    "ai_edge_litert": ("tflite",),
    "ai_edge_litert.interpreter": ("tflite/interpreter",),
    "h5py": ("models/keras_file",),
    "PIL": ("data/image", "app/selftest"),
    "imagehash": ("data/survey",),
    "flatbuffers": ("tflite/schema", "tflite/standard"),
    "filelock": ("files",),
    "fsspec": ("data/bucket",),
    "ray": ("sweep/cluster",),
}
MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix(): ast.parse(path.read_text("utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
    if "templates" not in path.parts  # programs of their own, for apps
}


@cache
def imports_of(module: str) -> tuple[str, ...]:
    """Return the dotted names of everything that a module imports, inside functions too."""
    names: list[str] = []
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__") and isinstance(node.args[0], ast.Constant):
                names.append(node.args[0].value)
    return tuple(names)


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_one_way(room: str) -> None:
    allowed = {"__version__", *ROOMS[: ROOMS.index(room) + 1]}
    modules = [module for module in MODULES if module.split("/")[0] == room]
    assert modules, f"there is no {room}"
    for module in modules:
        for name in imports_of(module):
            package, *words = name.split(".")
            assert package != "mobilenet_tf" or words[0] in allowed, f"{module} imports {name}"


def test_every_module_has_a_room() -> None:
    assert {module.split("/")[0] for module in MODULES} == {"__init__", *ROOMS}


def test_the_package_itself_loads_nothing_at_once() -> None:
    body = MODULES["__init__"].body
    at_once = [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]
    allowed = {"__future__", "typing", "importlib"}
    assert {getattr(node, "module", None) for node in at_once} <= allowed


@pytest.mark.parametrize("library", DOORS)
def test_a_library_has_one_door(library: str) -> None:
    for module in MODULES:
        for name in imports_of(module):
            if f"{name}.".startswith(f"{library}."):
                doors = DOORS[library]
                assert any(f"{module}/".startswith(f"{door}/") for door in doors), (
                    f"{module} imports {name}; go through {' or '.join(doors) or 'tf_keras'}"
                )


def test_the_benchmark_alone_reads_the_test_split() -> None:
    readers = {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if "load_test_split" in (getattr(node, "id", ""), getattr(node, "attr", ""))
        or (isinstance(node, ast.ImportFrom) and "load_test_split" in {a.name for a in node.names})
    }
    # In Python, users choose a split by name themselves.
    assert readers == {"pipeline/benchmark", "api/training"}


def test_only_the_data_door_knows_that_there_is_a_test_part() -> None:
    readers = {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in ("_load", "_read")
        and any(isinstance(a, ast.Constant) and a.value == "test" for a in node.args)
    }
    assert readers == {"data/sources"}


@pytest.mark.parametrize(
    "module",
    [
        "report.audit",
        "report.data_page",
        "report.page",
        "report.variants",
        "api.models",
        "zoo.page",
        "pipeline.runner",
        "models.cost",
        "data.catalog",
        "runs.folder",
        "runs.names",
        "system.terminal",
    ],
)
def test_what_answers_at_once_loads_no_tensorflow(module: str) -> None:
    heavy = "{'tensorflow', 'tf_keras', 'keras', 'tensorflow_datasets', 'sklearn'}"
    code = f"import sys, mobilenet_tf.{module}; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_the_report_reads_plain_results_and_nothing_of_tensorflow() -> None:
    allowed = {"report", "files", "errors", "runs", "recipe", "system", "evaluation", "data"}
    allowed |= {"models", "tflite"}  # costs of variants and audits of files, which need none either
    for module in MODULES:
        if module.startswith("report/"):
            names = [name.split(".") for name in imports_of(module)]
            assert {words[1] for words in names if words[0] == "mobilenet_tf"} <= allowed, module


def test_no_file_outgrows_a_head() -> None:
    assert [module for module, tree in MODULES.items() if tree.body[-1].end_lineno > 420] == []


def test_no_catch_all_and_no_swallowed_typo() -> None:
    for module, tree in MODULES.items():
        assert module.split("/")[-1] not in ("utils", "helpers", "misc", "common"), module
        for node in ast.walk(tree):
            assert not (isinstance(node, ast.ExceptHandler) and node.type is None), module
            assert not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "eval")
