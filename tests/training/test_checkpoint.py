from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mobilenet_tf.errors import MtfError
from mobilenet_tf.runs.folder import CHECKPOINT_FILE
from mobilenet_tf.runs.results import Epoch
from mobilenet_tf.training.checkpoint import FitState, load_checkpoint, save_checkpoint

ARRAYS = {
    "model/conv1/kernel:0": np.arange(12, dtype=np.float32).reshape(3, 4),
    "optimizer/0": np.array(2**40, np.int64),
    "empty": np.empty((0, 3), np.float32),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
}
BEST = {"conv1/kernel:0": np.ones((3, 4), np.float32)}
STATE = FitState(
    history=[
        Epoch(epoch=1, loss=2.5, accuracy=0.1, learning_rate=0.1, images_per_s=1.0, epoch_s=2.0)
    ],
    best_epoch=1,
)


def test_arrays_and_state_come_back_bit_for_bit(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, ARRAYS, BEST, STATE)
    found = load_checkpoint(tmp_path)
    assert found is not None
    arrays = found.arrays
    assert found.state == STATE
    np.testing.assert_array_equal(found.best["conv1/kernel:0"], BEST["conv1/kernel:0"])
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(arrays[name], array)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_FILE]


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, -1, -40])
def test_a_truncated_checkpoint_is_refused_by_its_name(keep: int, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, ARRAYS, BEST, STATE)
    file = tmp_path / CHECKPOINT_FILE
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(MtfError, match=r"checkpoint\.safetensors is damaged .*remove it"):
        load_checkpoint(tmp_path)


def test_one_flipped_bit_anywhere_is_noticed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, ARRAYS, BEST, STATE)
    file = tmp_path / CHECKPOINT_FILE
    whole = file.read_bytes()
    for place in range(0, len(whole), 5):
        content = bytearray(whole)
        content[place] ^= 1
        file.write_bytes(content)
        try:
            found = load_checkpoint(tmp_path)
        except MtfError as error:
            assert "damaged" in str(error)  # noqa: PT017  # some bits are spaces of the header
        else:
            assert found is not None
            assert found.state == STATE
            for name, array in ARRAYS.items():
                np.testing.assert_array_equal(found.arrays[name], array)


@pytest.mark.parametrize("content", [b"hello", b"\x00" * 64, b"\xff" * 64])
def test_another_file_is_no_checkpoint(content: bytes, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT_FILE).write_bytes(content)
    with pytest.raises(MtfError, match="is damaged"):
        load_checkpoint(tmp_path)


def test_a_failed_write_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, ARRAYS, BEST, STATE)

    def fill_the_disk(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(MtfError, match="No space left on device"):
        save_checkpoint(tmp_path, ARRAYS, BEST, FitState())
    monkeypatch.undo()
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found.state == STATE
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_FILE]
