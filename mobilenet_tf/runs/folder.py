"""A run on disk: artifacts/<run>/<stage>/, each stage whole or not there.

recipe.json       every setting of the run
train/            a finished stage: its files and result.json
qat.partial/      a stage at work: settings.json, a checkpoint; becomes qat/ when it is done
previous/         finished stages that were made again
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.files import (
    hash_file,
    locked,
    read_json,
    refuse_links,
    remove_leftovers,
    rename,
    to_utf8,
    write_bytes,
    write_json,
    writing,
)
from mobilenet_tf.recipe import Recipe, list_differences, parse_recipe, settings_of
from mobilenet_tf.runs.records import Record
from mobilenet_tf.runs.results import RESULT_FILE, StageResult, damaged, load_result

RECIPE_FILE = "recipe.json"
SETTINGS_FILE = "settings.json"
CHECKPOINT_FILE = "checkpoint.safetensors"
PRECISION_FILE = "precision.json"
START_FILE = "start.json"
# of a stage at work; a finished one has none
WORKING_FILES = (SETTINGS_FILE, CHECKPOINT_FILE, PRECISION_FILE, START_FILE)
IDENTITY = ("data", "model")  # with the seed: what makes two runs two

Note = TypeVar("Note")


class StageSettings(Record, frozen=True, kw_only=True):
    """What a stage at work was begun with: its settings, and the SHA-256 of each of its inputs."""

    settings: dict[str, Any]
    inputs: dict[str, str]
    changed_on_the_way: tuple[str, ...] = ()  # settings it was continued with, other than at first


def read_note(path: Path, kind: type[Note]) -> Note:
    """Return what a stage at work noted for the process that goes on; MtfError if damaged."""
    return read_json(path, kind, f"remove {path.parent} to start the stage over")


class RunFolder:
    """The folder of one run; every path and every rename of a stage goes through it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The run's name: its folder's."""
        return to_utf8(self.path.resolve().name)

    def stage(self, name: str) -> Path:
        """Return the folder of a finished stage."""
        return self.path / name

    def partial(self, name: str) -> Path:
        """Return the folder of a stage at work."""
        return self.path / f"{name}.partial"

    def has_recipe(self) -> bool:
        """Tell whether this is the folder of a run."""
        return (self.path / RECIPE_FILE).is_file()

    def load_recipe(self) -> Recipe:
        """Return the recipe of the run.

        Raises:
            UsageError: the folder is missing, or no run.
            MtfError: recipe.json is damaged.
        """
        file = self.path / RECIPE_FILE
        if not self.path.exists():
            raise UsageError(
                f"no run at {self.path}: the folder does not exist; see mtf train --help"
            )
        if not file.is_file():
            raise UsageError(f"{self.path} is not the folder of a run: it has no {RECIPE_FILE}")
        content = read_json(file, dict[str, Any], "start the run in another folder")
        try:
            return parse_recipe(content, origin=str(file))
        except UsageError as error:
            raise MtfError(
                f"{error}; another version of mobilenet-tf wrote it, or it was edited: use that"
                " version, correct the file, or start the run in another folder"
            ) from error

    def save_recipe(self, recipe: Recipe) -> None:
        """Write the settings that the next stage runs with."""
        write_json(self.path / RECIPE_FILE, recipe)

    def claim(self, recipe: Recipe) -> None:
        """Make this the folder of a run with `recipe`.

        Raises:
            UsageError: the folder holds another run (other data, model or seed), or other files.
            MtfError: its recipe.json is damaged.
        """
        if self._is_unclaimed(recipe):
            self.save_recipe(recipe)

    def _is_unclaimed(self, recipe: Recipe) -> bool:
        """Tell whether recipe.json is still to be written; refuse what `claim` refuses."""
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"--out {self.path} is a file; give a folder")
        if self.has_recipe():
            held, asked = (settings_of(r, IDENTITY) for r in (self.load_recipe(), recipe))
            differences = list_differences(held, asked)
            if differences and self.holds_work():
                raise UsageError(
                    f"{self.path} holds another run ({'; '.join(differences)});"
                    " choose another folder with --out"
                )
            return bool(differences)
        if self.path.is_dir() and any(not p.name.startswith(".") for p in self.path.iterdir()):
            raise UsageError(
                f"{self.path} is not empty and holds no run; choose another folder with --out"
            )
        return True

    def holds_work(self) -> bool:
        """Tell whether any stage has left a result or a checkpoint here, now or previously."""
        places = (f"*/{RESULT_FILE}", f"*.partial/{CHECKPOINT_FILE}", "previous/*")
        return any(True for place in places for _ in self.path.glob(place))

    @contextlib.contextmanager
    def lock(self, recipe: Recipe) -> Iterator[None]:
        """Claim this folder for a run with `recipe`, and keep a second mtf out of it.

        A folder that was made here is removed again if the block fails before any work is in it.

        Raises:
            MtfError: it cannot be claimed or written, links lead out of it, or another mtf is at
                work in it.
        """
        self._is_unclaimed(recipe)  # refuse before anything is written
        refuse_links(path for place in ("*", "*.partial/*") for path in self.path.glob(place))
        made = [path for path in (self.path, *self.path.parents) if not path.exists()]
        busy = f"another mtf is at work in {self.path}; wait for it, or use another --out"
        with locked(self.path / ".lock", busy):
            try:
                self.claim(recipe)  # with the lock: the recipe of a run at work is not touched
                remove_leftovers(self.path)
                yield
            except BaseException:
                if made and not self.holds_work():
                    shutil.rmtree(self.path, ignore_errors=True)
                    with contextlib.suppress(OSError):  # somebody else has put something there
                        for folder in made[1:]:
                            folder.rmdir()
                raise

    def load_stage(self, name: str, *, verify: bool = True) -> StageResult[Any]:
        """Return the result of a finished stage, its files checked against their hashes.

        Raises:
            MtfError: the result or a file is damaged, or another version wrote it.
        """
        folder = self.stage(name)
        result = load_result(folder, name)
        for file, record in result.files.items() if verify else ():
            path = folder / file
            if not path.is_file():
                raise damaged(path, "the file is missing")
            if path.stat().st_size != record.size_bytes or hash_file(path) != record.sha256:
                raise damaged(path, "its content is not what result.json recorded")
        return result

    def digest(self, name: str) -> str:
        """Return what identifies a finished stage for those that build on it."""
        return hash_file(self.stage(name) / RESULT_FILE)

    def is_finished(self, name: str) -> bool:
        """Tell whether a stage has its result."""
        return (self.stage(name) / RESULT_FILE).is_file()

    def has_checkpoint(self, name: str) -> bool:
        """Tell whether a stage at work has finished an epoch."""
        return (self.partial(name) / CHECKPOINT_FILE).is_file()

    def begin(self, name: str, settings: StageSettings) -> Path:
        """Make the folder of a stage at work and note its settings there."""
        write_json(self.partial(name) / SETTINGS_FILE, settings)
        return self.partial(name)

    @contextlib.contextmanager
    def keeping_settings(self, name: str) -> Iterator[None]:
        """Put the settings back if the block fails before a stage has finished an epoch in it.

        So recipe.json and what an unfinished stage noted are those of what is on disk.
        """
        checkpoint = self.partial(name) / CHECKPOINT_FILE
        notes = [self.partial(name) / file for file in WORKING_FILES if file != CHECKPOINT_FILE]
        files = (self.path / RECIPE_FILE, *notes)
        held = {file: file.read_bytes() for file in files if file.is_file()}
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
        try:
            yield
        except BaseException:
            now = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
            if now is None:  # with no epoch there is nothing to continue
                self.discard_partial(name)
            for file, content in held.items() if now in (None, before) else ():
                if file.parent.exists():
                    with contextlib.suppress(MtfError):  # a full disk: the first error says so
                        write_bytes(file, content)
            raise

    def partial_settings(self, name: str) -> StageSettings | None:
        """Return the settings of a stage at work, None without one; MtfError if damaged."""
        if not self.partial(name).is_dir():
            return None
        return read_note(self.partial(name) / SETTINGS_FILE, StageSettings)

    def discard_partial(self, name: str) -> None:
        """Remove what an unfinished stage left."""
        shutil.rmtree(self.partial(name), ignore_errors=True)

    def commit(self, name: str) -> None:
        """Turn a stage at work, its result written, into the finished one."""
        self.set_aside(self.stage(name))
        with writing(self.stage(name)):
            rename(self.partial(name), self.stage(name))
        for file in WORKING_FILES:  # last: until the rename, a killed run continues from them
            with contextlib.suppress(OSError):  # left behind, it is only space
                (self.stage(name) / file).unlink()

    def set_aside(self, folder: Path) -> Path | None:
        """Move the folder of a stage to previous/, so that making it again loses nothing."""
        if not folder.exists():
            return None
        stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%f")
        target = self.path / "previous" / f"{folder.name}-{stamp}"
        with writing(target):
            target.parent.mkdir(exist_ok=True)
            rename(folder, target)
        return target
