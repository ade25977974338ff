"""Of which network a file of weights is, told by the sizes of its kernels; no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.assembly import Assembler
from mobilenet_tf.models.blocks import POOLING
from mobilenet_tf.models.catalog import MODELS
from mobilenet_tf.models.cost import CostCounter, Shape
from mobilenet_tf.models.keras_file import plain_name
from mobilenet_tf.models.variant import Variant, make_variant

_ALPHAS = tuple(step / 20 for step in range(1, 31))  # tried after those that were published
_SIDE_PX = 224


def has_kernels(held: Mapping[str, int], variant: Variant, *, whole: bool) -> bool:
    """Tell whether a file has the kernels of a network, by their names or else by their order.

    `held` says how many values each kernel of the file has, by `plain_name` and in its order. Only
    those before the pooling over the whole image count; with `whole` it must not name others
    than the network has.
    """
    features, head = count_kernels(variant)
    if features.keys() <= held.keys():
        extra = held.keys() - features.keys() - head.keys()
        return not (whole and extra) and all(held[name] == size for name, size in features.items())
    return not whole and list(held.values())[: len(features)] == list(features.values())


def find_network(held: Mapping[str, int]) -> Variant | None:
    """Return the network of a paper that a file's kernels are of; None if it is of no other."""
    return next((v for v in _list_variants() if has_kernels(held, v, whole=False)), None)


def count_kernels(variant: Variant) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many values each kernel has, by `plain_name`: those before the pooling, others."""
    counter = _KernelCounter()
    Assembler(variant, counter).run(variant.input_shape)
    pooled_at = counter.pooled_at or len(counter.layers) - 1
    layers = (counter.layers[:pooled_at], counter.layers[pooled_at:])
    features, head = (
        {plain_name(f"{c.name}/kernel"): c.folded_weights for c in part if c.folded_weights}
        for part in layers
    )
    return features, head


def _list_variants() -> Iterator[Variant]:
    for table in MODELS.values():
        for alpha in (*table.published_alphas, *_ALPHAS):
            try:
                yield make_variant(table.name, alpha=alpha, resolution_px=_SIDE_PX, classes=2)
            except UsageError:  # too narrow
                continue


class _KernelCounter(CostCounter):
    """Notes, too, how many layers come before the pooling over the whole image."""

    pooled_at = 0

    def global_pool(self, x: Shape, name: str) -> Shape:
        if name == POOLING:
            self.pooled_at = len(self.layers)
        return super().global_pool(x, name)
