from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.variant import Variant, make_variant, round_channels

CIFAR: dict[str, Any] = {
    "alpha": 0.5,
    "resolution_px": 32,
    "classes": 10,
    "stride_plan": "cifar",
}


def variant(**changes: Any) -> Variant:
    return make_variant("mobilenet_v1", **{**CIFAR, **changes})


@pytest.mark.parametrize(
    "alpha", [0, 0.0, -1, 1.51, float("nan"), float("inf"), -float("inf"), "0.5", None, True]
)
def test_bad_alpha_is_refused(alpha: Any) -> None:
    with pytest.raises(UsageError, match=r"model\.alpha is "):
        variant(alpha=alpha)


@pytest.mark.parametrize("alpha", [0.02, 0.1, 1, 1.5, np.float32(0.5)])
def test_any_alpha_in_range_is_taken(alpha: float) -> None:
    assert variant(alpha=alpha).channels(32) >= 8


@pytest.mark.parametrize("resolution_px", [31.5, 32.0, "32", None, True, (32, 31.5)])
def test_resolution_must_be_whole(resolution_px: Any) -> None:
    with pytest.raises(UsageError, match=r"model\.resolution_px is "):
        variant(resolution_px=resolution_px)


@pytest.mark.parametrize("resolution_px", [0, -32, 7, (32, 7), 1025])
def test_resolution_has_the_range_of_its_setting(resolution_px: Any) -> None:
    with pytest.raises(UsageError, match=r"model\.resolution_px is "):
        variant(resolution_px=resolution_px)


def test_too_small_for_imagenet_points_at_the_other_plan() -> None:
    with pytest.raises(UsageError, match="use at least 32 pixels, or the cifar stride plan"):
        variant(resolution_px=31, stride_plan="imagenet")
    assert variant(resolution_px=32, stride_plan="imagenet").input_shape == (32, 32, 3)
    assert variant(resolution_px=8).input_shape == (8, 8, 3)


def test_three_sides_are_refused() -> None:
    with pytest.raises(UsageError, match="neither one side nor"):
        variant(resolution_px=(32, 32, 3))


@pytest.mark.parametrize("classes", [0, 1, -1, 10.0, "10", True, None, 10**6])
def test_bad_class_count_is_refused(classes: Any) -> None:
    with pytest.raises(UsageError, match="classes"):
        variant(classes=classes)


def test_unknown_stride_plan_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'imagenet'"):
        variant(stride_plan="imagnet")


@pytest.mark.parametrize(
    ("alpha", "resolution_px", "name"),
    [
        (0.5, 32, "v1_050_r32"),
        (1, 224, "v1_100_r224"),
        (0.25, 128, "v1_025_r128"),
        (1.25, 96, "v1_125_r96"),
        (0.125, 96, "v1_0125_r96"),
        (0.05, 96, "v1_005_r96"),
        (0.5, (96, 128), "v1_050_r96x128"),
    ],
)
def test_names_follow_the_grammar(alpha: float, resolution_px: Any, name: str) -> None:
    assert variant(alpha=alpha, resolution_px=resolution_px).name == name


@pytest.mark.parametrize("alpha", [0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("filters", [32, 64, 128, 256, 512, 1024])
def test_published_alphas_are_not_rounded(alpha: float, filters: int) -> None:
    assert round_channels(filters * alpha) == int(filters * alpha)


@pytest.mark.parametrize(
    ("channels", "rounded"),
    [(0.1, 8), (8, 8), (11.9, 16), (12, 16), (19.9, 24), (20, 24), (35.9, 40), (92, 96), (91, 88)],
)
def test_rounding_at_known_points(channels: float, rounded: int) -> None:
    # 11.9 and 19.9 round down to 8 and 16, less than 90 %, and so go up; 91 may stay at 88
    assert round_channels(channels) == rounded


def test_rounding_holds_its_rules_everywhere() -> None:
    for channels in np.arange(0.5, 1600, 0.37):
        rounded = round_channels(channels)
        assert rounded % 8 == 0
        assert rounded >= 8
        assert rounded >= 0.9 * channels
        assert abs(rounded - channels) <= 4 or rounded - 8 < 0.9 * channels
