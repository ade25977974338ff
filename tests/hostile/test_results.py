"""Results and cards that somebody edited are read or refused by field; nothing falls over them."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mobilenet_tf.errors import MtfError
from mobilenet_tf.runs.results import load_result
from mobilenet_tf.zoo import shelf
from tests.hostile.conftest import STAGES, seal

pytestmark = pytest.mark.slow

ABSENT = object()
WAYS = (ABSENT, None, "\x1b]0;x\x07\n../../x", -1, 10**400, [[]])  # the six ways
COMPARED = 5  # of so many cases one goes through a command; in turn each of the ways
SLOW_CASES = 1  # of those that are read, for each verb that draws or loads TensorFlow
Path_ = tuple[str | int, ...]


def list_fields(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Yield the path of every field; of a list the first item stands for all."""
    if path:
        yield path
    items: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = list(enumerate(value))[:1]
    for key, item in items:
        yield from list_fields(item, (*path, key))


def edit(value: Any, path: Path_, new: Any) -> Any:
    """Return a copy of JSON's `value` with one field another, or absent."""
    changed = json.loads(json.dumps(value))
    place = changed
    for key in path[:-1]:
        place = place[key]
    if new is ABSENT:
        del place[path[-1]]
    else:
        place[path[-1]] = new
    return changed


def find_fault(read: Callable[..., Any], *arguments: Any) -> str:
    """Return the sentence with which a file is refused, "" if it is read."""
    try:
        read(*arguments)
    except MtfError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("stage", STAGES)
def test_every_field_of_a_result_edited_in_six_ways(
    stage: str, finished_run: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    results = {each: (finished_run / each / "result.json").read_text() for each in STAGES}
    content = json.loads(results[stage])
    file = finished_run / stage / "result.json"
    cases = [(path, way) for path in list_fields(content) for way in WAYS]
    read, seen = [], Counter[str]()
    for number, (path, way) in enumerate(cases):
        file.write_text(json.dumps(edit(content, path, way)))
        fault = find_fault(load_result, finished_run / stage, stage)
        if fault:
            assert str(file) in fault, (path, way)
            seen["refused"] += 1
        else:
            read.append((path, way))
            seal(finished_run)
        if number % COMPARED == 0:
            refused("compare", str(finished_run), codes=(0, 1, 2))
        for each, text in results.items() if not fault else ():
            (finished_run / each / "result.json").write_text(text)
    assert seen["refused"] > len(cases) / 3
    name = str(finished_run)
    slow = (
        ("report", name, "--overwrite"),
        ("benchmark", name),
        ("quant-debug", name, "--images", "2"),
        ("zoo", "add", name, "--out", str(tmp_path / "zoo"), "--name", "x"),
        ("run", "--set", f"train.teacher={name}", "--set", "data.name=digits", "--out", "new"),
        ("predict", name, "none.png"),
        ("audit", name),
        ("app", name, "--for", "python", "--out", "app"),
    )
    random.Random(1).shuffle(read)  # noqa: S311  # seeded
    kept = tmp_path / "kept"
    shutil.copytree(finished_run, kept)
    for number, (path, way) in enumerate(read[: SLOW_CASES * len(slow)]):
        file.write_text(json.dumps(edit(content, path, way)))
        seal(finished_run)
        refused(*slow[number % len(slow)], codes=(0, 1, 2))
        shutil.rmtree(finished_run)
        shutil.copytree(kept, finished_run)


def test_every_field_of_a_card_edited_in_six_ways(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = shelf.model_names()[0]
    zoo = tmp_path / "zoo"
    shutil.copytree(shelf.zoo_folder() / name, zoo / name)
    monkeypatch.setattr(shelf, "zoo_folder", lambda: zoo)
    file = zoo / name / shelf.CARD_FILE
    content = json.loads(file.read_text())
    verbs = (
        ("zoo", "verify"),
        ("zoo",),
        ("zoo", "show", name),
        ("zoo", "show", name, "--markdown"),
        ("audit", name),
        ("models",),
    )
    cases = [(path, way) for path in list_fields(content) for way in WAYS]
    seen = Counter[str]()
    for number, (path, way) in enumerate(cases):
        file.write_text(json.dumps(edit(content, path, way)))
        fault = find_fault(shelf.load_card, name)
        if fault:
            assert str(file) in fault, (path, way)
            if number % COMPARED == 0:
                refused("zoo", "verify")
            seen["refused"] += 1
        else:
            refused(*verbs[number % len(verbs)], codes=(0, 1, 2))
    assert seen["refused"] > len(cases) / 3
