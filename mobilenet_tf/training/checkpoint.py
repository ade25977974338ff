"""Checkpoints: the whole state of a training run after an epoch, in one file with its hash."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mobilenet_tf.errors import MtfError
from mobilenet_tf.files import write_bytes
from mobilenet_tf.runs.folder import CHECKPOINT_FILE
from mobilenet_tf.runs.results import Epoch

BEST = "best/"  # before the names of the best weights so far


class FitState(msgspec.Struct):
    """What a training knows beside its variables; changes with every epoch.

    `best_epoch` has the highest validation accuracy so far, `kept_epoch` the best weights.
    """

    history: list[Epoch] = []
    best_epoch: int = 0
    best_accuracy: float = -1.0
    kept_epoch: int = 0

    def keeps(self, epoch: int, accuracy: float, count: int) -> bool:
        """Note the accuracy of `epoch` on `count` images; tell whether its weights are to be kept.

        They are, if it is within a standard error of the highest (Breiman 1984): the highest of
        many is that by luck, and rates fall to the end.
        """
        if accuracy > self.best_accuracy:
            self.best_epoch, self.best_accuracy = epoch, accuracy
        error = math.sqrt(self.best_accuracy * (1 - self.best_accuracy) / count)
        if accuracy < self.best_accuracy - error:
            return False
        self.kept_epoch = epoch
        return True


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: every variable, the best weights so far, and the state."""

    arrays: dict[str, np.ndarray]
    best: dict[str, np.ndarray]
    state: FitState


def save_checkpoint(
    folder: Path, arrays: Mapping[str, np.ndarray], best: Mapping[str, np.ndarray], state: FitState
) -> None:
    """Write the folder's checkpoint; the old one stands until then."""
    named = {**arrays, **{f"{BEST}{name}": array for name, array in best.items()}}
    ordered = {name: np.asarray(array, order="C") for name, array in named.items()}
    text = msgspec.json.encode(state).decode()
    metadata = {"state": text, "sha256": digest_of(ordered, text)}
    write_bytes(folder / CHECKPOINT_FILE, save(ordered, metadata))


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the folder's checkpoint, None without one; MtfError if its content has changed."""
    path = folder / CHECKPOINT_FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            named = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
        if digest_of(named, metadata["state"]) != metadata["sha256"]:
            raise ValueError("its content does not match its hash")
        state = msgspec.json.decode(metadata["state"], type=FitState)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise MtfError(
            f"the checkpoint {path} is damaged ({error}); remove it to start the stage over"
        ) from error
    best = {name.removeprefix(BEST): named[name] for name in named if name.startswith(BEST)}
    arrays = {name: array for name, array in named.items() if not name.startswith(BEST)}
    return Checkpoint(arrays, best, state)


def digest_of(arrays: Mapping[str, np.ndarray], text: str) -> str:
    """Return the SHA-256 over names, shapes and bytes of all arrays and the state's text."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
