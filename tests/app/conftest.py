"""What tests of apps share: a model, its web app, and the Kotlin of an app, compiled once."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from chromium import find_chromium
from mobilenet_tf.app.model import AppModel, load_model
from mobilenet_tf.app.project import TEMPLATES, build_app
from mobilenet_tf.errors import MtfError
from mobilenet_tf.report.templates import TEMPLATES as REPORT_TEMPLATES
from mobilenet_tf.zoo.shelf import find_tflite

STUBS = Path(__file__).parent / "stubs"  # of the Android types that the app uses
KOTLIN = "KOTLIN_COMPILER"  # folder of the npm package kotlin-compiler
HOSTILE = """?x</script>"'$HOME \\u0041 &<b>\u202e\U0001f600\n\u2028]]>"""
COMPILER = "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"
USAGE = """
package app
import android.content.ContentResolver
import android.content.res.AssetManager
import android.net.Uri
fun usage(assets: AssetManager, contentResolver: ContentResolver, uri: Uri): Score? {
%s
return best
}
"""


@pytest.fixture(scope="session")
def model() -> AppModel:
    """Return the smallest model of the zoo, with uint8 edges."""
    return load_model(find_tflite(Path("cifar10_v1_028_r32_b8")))


@pytest.fixture(scope="session")
def hostile(model: AppModel) -> AppModel:
    """Return a model whose names are the worst that a language can be given."""
    classes = tuple(f"{HOSTILE}{number}" for number in range(len(model.classes)))
    return dataclasses.replace(model, name=HOSTILE, classes=classes)


@pytest.fixture(scope="session")
def web_files(model: AppModel) -> dict[str, bytes]:
    """Return the files of the model's web app, where there is a Chromium to show them."""
    pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if find_chromium() is None:
        pytest.skip("needs chromium")
    try:
        return build_app(model, "web")
    except MtfError as error:
        pytest.skip(f"needs LiteRT.js: {error}")


@pytest.fixture(scope="session")
def compile_kotlin(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[Path]], Path]:
    """Return what compiles Kotlin files to a jar."""
    java = shutil.which("java")
    if KOTLIN not in os.environ or java is None:
        pytest.skip(f"needs Java and {KOTLIN}, the folder of the npm package kotlin-compiler")

    def run(sources: list[Path]) -> Path:
        jar = tmp_path_factory.mktemp("jar") / "all.jar"
        compiler = ["-cp", f"{os.environ[KOTLIN]}/lib/*", COMPILER]
        done = subprocess.run(
            [java, *compiler, *sources, "-d", jar], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return jar

    return run


@pytest.fixture(scope="session")
def run_kotlin(
    compile_kotlin: Callable[[list[Path]], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """Return what runs check.kt beside an app's Kotlin on a JVM: its output for an input.

    All files of the app are compiled with it, against stubs, and so is the code of reports.
    """
    folder = tmp_path_factory.mktemp("kotlin")
    for path in (TEMPLATES / "android" / "app" / "src").glob("*/kotlin/*.kt.jinja"):
        source = path.read_text("utf-8").replace("{{ package }}", "app")
        (folder / path.stem).write_text(source)
    usage = (REPORT_TEMPLATES / "code" / "usage.kt").read_text("utf-8")
    (folder / "Usage.kt").write_text(USAGE % usage)
    jar = compile_kotlin([*folder.glob("*.kt"), *STUBS.glob("*.kt"), STUBS.parent / "check.kt"])
    library = Path(os.environ[KOTLIN]) / "lib" / "kotlin-stdlib.jar"
    java, classpath = str(shutil.which("java")), f"{jar}:{library}:{TEMPLATES / 'shared'}"

    def run(given: str) -> str:
        command = [java, "-cp", classpath, "app.CheckKt"]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
