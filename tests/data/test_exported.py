from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.data.exported import export_images
from mobilenet_tf.data.folder import index_images
from mobilenet_tf.data.image import load_image
from mobilenet_tf.data.index import TEST, TRAIN
from mobilenet_tf.data.sources import find_dataset, import_tfds, prepare_dataset
from mobilenet_tf.errors import UsageError
from mobilenet_tf.keras import tf

IMAGES = np.random.RandomState(0).randint(0, 256, (6, 10, 8, 3)).astype(np.uint8)
LABELS = [1, 0, 1, 0, 1, -1]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two prepared datasets: one for classification, one not."""
    tfds: Any = import_tfds()
    root = tmp_path_factory.mktemp("tfds")

    def split(rows: slice) -> Any:
        return tf.data.Dataset.from_tensor_slices({"photo": IMAGES[rows], "kind": LABELS[rows]})

    features = tfds.features.FeaturesDict(
        {
            "photo": tfds.features.Image(shape=(None, None, 3)),
            "kind": tfds.features.ClassLabel(names=["b/c", "a"]),
        }
    )
    for name, kept in (
        ("tiny", features),
        ("other", tfds.features.FeaturesDict({"kind": tf.int64})),
    ):
        parts = {"train": split(slice(0, 3)), "test": split(slice(3, 6))}
        if name == "other":
            parts = {key: its.map(lambda row: {"kind": row["kind"]}) for key, its in parts.items()}
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name, version="1.0.0", features=kept, split_datasets=parts, data_dir=root
        )
    return root


@pytest.mark.slow
def test_a_prepared_set_becomes_files_of_the_same_images(data_dir: Path) -> None:
    table = export_images("tfds:tiny", data_dir)
    index = index_images(table)
    assert index.classes == ("a", "b/c")
    assert index.parts.tolist() == [TRAIN] * 3 + [TEST] * 2  # the one without a label is left out
    known = {
        image.tobytes(): ("b/c", "a")[label]
        for image, label in zip(IMAGES[:5], LABELS[:5], strict=True)
    }
    for row, label in enumerate(index.labels.tolist()):
        assert known.pop(load_image(index.path(row), 10, 8).tobytes()) == index.classes[label]
    before = table.stat().st_mtime_ns
    assert export_images("tiny", data_dir) == table
    assert table.stat().st_mtime_ns == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["other", "none", "../tiny", "", "tfds:"])
def test_what_is_no_set_for_classification_is_refused(data_dir: Path, name: str) -> None:
    with pytest.raises(UsageError):
        export_images(name, data_dir)


def test_nothing_is_downloaded_among_photographs(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats/1.jpg").write_bytes(b"")
    for look in (find_dataset, prepare_dataset):
        with pytest.raises(UsageError, match=r"data\.path"):
            look("cifar10", tmp_path)
    with pytest.raises(UsageError, match=r"data\.path"):
        export_images("tfds:oxford_flowers102", tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["cats", "1.jpg"]
