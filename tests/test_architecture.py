"""The house rules that the source itself can prove: who imports whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
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
    "pipeline",
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
    "sklearn": ("data/embedded",),
    "ai_edge_litert": ("tflite",),
    "ai_edge_litert.interpreter": ("tflite/interpreter",),
    "PIL": ("data/image",),
    "imagehash": ("data/survey",),
    "flatbuffers": ("tflite/schema",),
    "filelock": ("runs/folder", "zoo/folder"),
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports_of(path: Path) -> Iterator[str]:
    """Yield the dotted name of everything that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__") and isinstance(node.args[0], ast.Constant):
                yield node.args[0].value


def part_of(path: Path) -> str:
    """Return the first name below the package: a folder or a module."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def module_id(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_imports_point_one_way(path: Path) -> None:
    room = part_of(path)
    if room == "__init__":
        return
    for name in imports_of(path):
        words = name.split(".")
        if words[0] == "mobilenet_tf" and words[1] not in ("__version__", room):
            assert ROOMS.index(words[1]) < ROOMS.index(room), (
                f"{module_id(path)} imports {name}, which is not above it in ROOMS"
            )


def test_the_package_itself_loads_nothing_at_once() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    at_once = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    allowed = {"__future__", "typing", "importlib"}
    assert {getattr(node, "module", None) for node in at_once} <= allowed


@pytest.mark.parametrize("library", DOORS)
def test_a_library_has_one_door(library: str) -> None:
    for path in MODULES:
        for name in imports_of(path):
            if name == library or name.startswith(f"{library}."):
                place = module_id(path)
                doors = DOORS[library]
                assert any(place == door or place.startswith(f"{door}/") for door in doors), (
                    f"{place} imports {name}; go through {' or '.join(doors) or 'tf_keras'}"
                )


def test_the_benchmark_alone_reads_the_test_split() -> None:
    readers = {
        module_id(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.Name) and node.id == "load_test_split")
        or (isinstance(node, ast.Attribute) and node.attr == "load_test_split")
        or (isinstance(node, ast.ImportFrom) and "load_test_split" in {a.name for a in node.names})
    }
    # What a user asks for by name in Python is the user's own affair.
    assert readers == {"pipeline/benchmark", "api/training"}


def test_only_the_data_door_knows_that_there_is_a_test_part() -> None:
    readers = {
        module_id(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in ("_load", "_read")
        and any(isinstance(a, ast.Constant) and a.value == "test" for a in node.args)
    }
    assert readers == {"data/sources"}


@pytest.mark.parametrize(
    "module",
    [
        "report",
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
    for path in sorted((PACKAGE / "report").glob("*.py")):
        parts = {
            name.split(".")[1] for name in imports_of(path) if name.startswith("mobilenet_tf.")
        }
        above = {"report", "files", "errors", "runs", "recipe", "system", "evaluation"}
        assert parts <= above, path


def test_no_file_outgrows_a_head() -> None:
    long = {
        module_id(path): lines
        for path in MODULES
        if (lines := len(path.read_text("utf-8").splitlines())) > 420
    }
    assert not long, "split by noun"


def test_no_catch_all_and_no_swallowed_typo() -> None:
    for path in MODULES:
        assert path.stem not in ("utils", "helpers", "misc", "common"), path
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            assert not (isinstance(node, ast.ExceptHandler) and node.type is None), (
                f"{module_id(path)}:{node.lineno} catches everything"
            )
            assert not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "eval")
