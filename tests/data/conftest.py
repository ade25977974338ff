"""Small generated photographs, each unlike every other, and real ones where they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SavePhoto = Callable[..., Path]
MakeFolder = Callable[..., Path]


def _save_photo(path: Path, seed: int, *, size: tuple[int, int] = (48, 40), **options: object):
    coarse = np.random.RandomState(seed).randint(0, 256, (6, 6, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path, **options)
    return path


@pytest.fixture(scope="session")
def save_photo() -> SavePhoto:
    """Return save(path, seed, size=, **options of Pillow)."""
    return _save_photo


@pytest.fixture(scope="session")
def make_folder() -> MakeFolder:
    """Return make(root, {folder: count}, first seed), which gives a folder of photographs."""

    def make(root: Path, counts: dict[str, int], first: int = 0) -> Path:
        for name, count in counts.items():
            for number in range(count):
                _save_photo(root / name / f"{number}.png", first)
                first += 1
        return root

    return make


@pytest.fixture(scope="session")
def clothing_dir() -> Path:
    """Return the clothing photographs, or skip: they are not in the repository."""
    place = Path(os.environ.get("MTF_CLOTHING_DIR") or ROOT.parent / "shared" / "clothing")
    if not (place / "train").is_dir():
        pytest.skip("the clothing photographs are not here: set MTF_CLOTHING_DIR")
    return place
