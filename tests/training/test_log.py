from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from msgspec.structs import replace

from mobilenet_tf.errors import MtfError
from mobilenet_tf.recipe import AugmentationSettings, FitSettings
from mobilenet_tf.runs.results import Epoch
from mobilenet_tf.training.log import format_epoch, scalar_log
from mobilenet_tf.training.loop import FitPlan

EPOCH = Epoch(epoch=3, loss=1.0, accuracy=0.5, learning_rate=0.1, images_per_s=1234.4, epoch_s=41.0)


def test_a_run_of_a_stage_writes_one_event_file(tmp_path: Path) -> None:
    with scalar_log(tmp_path) as write:
        for number in (1, 2, 3):
            write(replace(EPOCH, epoch=number))
    (file,) = (tmp_path / "tensorboard").iterdir()
    content = file.read_bytes()
    assert content.count(b"learning_rate") == 3
    assert b"validation_loss" not in content


def test_a_log_without_an_epoch_writes_nothing(tmp_path: Path) -> None:
    with scalar_log(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("in the way")
    with scalar_log(tmp_path) as write, pytest.raises(MtfError) as caught:
        write(EPOCH)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_the_time_left_grows_with_the_images_and_counts_what_comes_later() -> None:
    def sides(share_done: float) -> int:
        return 16 if share_done < 0.5 else 32

    settings, folder = FitSettings(epochs=4), Path("unused")
    plain = FitPlan("train", settings, AugmentationSettings(), 1, folder)
    assert [plain.estimate_left_s(epoch, 1.0)[0] for epoch in range(4)] == [3, 2, 1, 0]
    growing = dataclasses.replace(plain, sides=sides)
    left = [growing.estimate_left_s(epoch, 1.0) for epoch in range(4)]
    assert left == [(9, 9), (8, 8), (1, 1), (0, 0)]
    busy = dataclasses.replace(growing, later_s=lambda epoch_s: 10 * epoch_s)
    assert busy.estimate_left_s(0, 1.0) == (9, 49)


def test_the_line_of_an_epoch_has_what_is_known() -> None:
    assert "validation" not in format_epoch("train", EPOCH, 12)
    line = format_epoch(
        "train", replace(EPOCH, validation_accuracy=0.25, resolution_px=16), 12, (600.0, 900.0)
    )
    for figure in ("3/12", "50.00%", "25.00%", "16 px", "1,234 images/s", "41 s", "15 min 00 s"):
        assert figure in line
