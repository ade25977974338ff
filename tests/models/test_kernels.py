from __future__ import annotations

import pytest

from mobilenet_tf.models.catalog import MODELS
from mobilenet_tf.models.kernels import count_kernels, find_network, has_kernels
from mobilenet_tf.models.variant import Variant, make_variant
from mobilenet_tf.recipe import Options


def variant(name: str, alpha: float, **options: int) -> Variant:
    return make_variant(name, alpha=alpha, resolution_px=224, classes=5, options=Options(**options))


@pytest.mark.parametrize("name", MODELS)
def test_a_network_is_told_by_its_kernels(name: str) -> None:
    for alpha in MODELS[name].published_alphas:
        features, head = count_kernels(variant(name, alpha))
        found = find_network(features | head)
        assert found is not None
        assert (found.table.name, found.alpha) == (name, alpha)
        assert has_kernels(features | head, found, whole=True)


def test_kernels_of_other_names_are_told_by_their_order() -> None:
    features, head = count_kernels(variant("mobilenet_v2", 0.35))
    renamed = {f"old_{name}": size for name, size in (features | head).items()}
    assert has_kernels(renamed, variant("mobilenet_v2", 0.35), whole=False)
    assert not has_kernels(renamed, variant("mobilenet_v2", 0.35), whole=True)
    assert not has_kernels(
        dict(reversed(renamed.items())), variant("mobilenet_v2", 0.35), whole=False
    )
    assert find_network({"conv1/kernel": 432}) is None


def test_a_part_of_a_network_takes_whole_ones_of_keras_alone() -> None:
    whole, first = variant("mobilenet_v1", 0.25), variant("mobilenet_v1", 0.25, block_count=8)
    features, head = count_kernels(whole)
    assert has_kernels(features | head, first, whole=False)
    assert not has_kernels(features | head, first, whole=True)
    cut, _ = count_kernels(first)
    assert not has_kernels(cut, whole, whole=False)
