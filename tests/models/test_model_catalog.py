from __future__ import annotations

import subprocess
import sys

import pytest

from mobilenet_tf.errors import UsageError
from mobilenet_tf.models.blocks import DepthwiseSeparableBlock
from mobilenet_tf.models.catalog import MODELS, model_names, model_table


def test_names_and_aliases_are_unique() -> None:
    assert model_names() == tuple(MODELS)
    assert "mobilenet_v1" in model_names()
    aliases = [table.alias for table in MODELS.values()]
    assert len(set(aliases)) == len(aliases)


def test_unknown_model_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'mobilnet_v1'; did you mean 'mobilenet_v1'\?"):
        model_table("mobilnet_v1")


def test_v1_has_the_papers_blocks_and_strides() -> None:
    table = model_table("mobilenet_v1")
    blocks = [block for block in table.blocks if isinstance(block, DepthwiseSeparableBlock)]
    assert [block.index for block in blocks] == list(range(1, 14))
    assert [block.filters for block in blocks] == [64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
    assert [block.index for block in blocks if block.strides.imagenet == 2] == [2, 4, 6, 12]
    assert table.total_stride("imagenet") == 32


def test_cifar_plan_keeps_the_resolution_at_the_start() -> None:
    table = model_table("mobilenet_v1")
    assert table.total_stride("cifar") == 8
    assert [row.strides.cifar for row in table.blocks[:4]] == [1, 1, 1, 1]  # type: ignore[union-attr]


def test_tables_and_costs_load_neither_tensorflow_nor_numpy() -> None:
    code = (
        "import sys\n"
        "from mobilenet_tf.models.catalog import model_names\n"
        "from mobilenet_tf.models.cost import count_costs\n"
        "from mobilenet_tf.models.variant import make_variant\n"
        "variant = make_variant(model_names()[0], alpha=1, resolution_px=224, classes=1000)\n"
        "count_costs(variant)\n"
        "heavy = {'tensorflow', 'tf_keras', 'keras', 'numpy'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
