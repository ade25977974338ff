from __future__ import annotations

import pytest

from mobilenet_tf.system.duration import format_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"),
        (59.7, "59 s"),
        (60, "1 min 00 s"),
        (3599.4, "59 min 59 s"),
        (7384, "2 h 03 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
