"""Checkpoints: the whole state of a training run after an epoch, in one file with its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mobilenet_tf.errors import MtfError
from mobilenet_tf.files import write_bytes
from mobilenet_tf.runs.folder import CHECKPOINT_FILE


def save_checkpoint(folder: Path, arrays: Mapping[str, np.ndarray], state: dict[str, Any]) -> None:
    """Write arrays and a JSON state as the folder's checkpoint; the old one stands until then."""
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps(state)
    metadata = {"state": text, "sha256": digest_of(arrays, text)}
    write_bytes(folder / CHECKPOINT_FILE, save(arrays, metadata))


def load_checkpoint(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Return the arrays and the state of the folder's checkpoint; None if there is none.

    Raises:
        MtfError: the file is truncated or its content is not what was written.
    """
    path = folder / CHECKPOINT_FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
        if digest_of(arrays, metadata["state"]) != metadata["sha256"]:
            raise ValueError("its content does not match its hash")
        return arrays, json.loads(metadata["state"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise MtfError(
            f"the checkpoint {path} is damaged ({error}); remove it to start the stage over,"
            " what was finished before stands"
        ) from error


def digest_of(arrays: Mapping[str, np.ndarray], text: str) -> str:
    """Return the SHA-256 over names, shapes and bytes of all arrays and the state's text."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
