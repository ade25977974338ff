from __future__ import annotations

from pathlib import Path

import pytest

from mobilenet_tf.errors import MtfError
from mobilenet_tf.training.history import epochs_left, format_epoch, log_scalars


def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("in the way")
    with pytest.raises(MtfError, match=r"cannot write .*tensorboard: .*; make room") as caught:
        log_scalars(tmp_path, {"epoch": 1, "loss": 0.5})
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_an_epoch_says_how_long_the_rest_will_take() -> None:
    def sides(share_done: float) -> int:
        return 16 if share_done < 0.5 else 32

    assert [epochs_left(epoch, 4, None) for epoch in range(4)] == [3, 2, 1, 0]
    assert [epochs_left(epoch, 4, sides) for epoch in range(4)] == [1 + 4 + 4, 8, 1, 0]
    row = {"epoch": 3, "loss": 1.0, "accuracy": 0.5, "resolution_px": 16}
    row |= {"images_per_s": 1234.4, "epoch_s": 41.0, "validation_accuracy": 0.25}
    assert format_epoch("train", row, 12, 600.0) == (
        "train  3/12  loss 1.0000  accuracy 50.00%  validation 25.00%  16 px  1,234 images/s"
        "  41 s  about 10 min 00 s to go"
    )
    assert format_epoch("train", row, 12).endswith("  41 s")
