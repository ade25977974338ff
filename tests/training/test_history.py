from __future__ import annotations

from pathlib import Path

import pytest

from mobilenet_tf.errors import MtfError
from mobilenet_tf.training.history import log_scalars


def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("in the way")
    with pytest.raises(MtfError, match=r"cannot write .*tensorboard: .*; make room") as caught:
        log_scalars(tmp_path, {"epoch": 1, "loss": 0.5})
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
