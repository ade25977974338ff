"""The worked example in docs/howto/extend.md is true: a table, a block, and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobilenet_tf.models import assembly, catalog
from mobilenet_tf.models.blocks import KEPT, ModelTable, Residual
from mobilenet_tf.models.cost import count_costs
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.models.weights import count_parameters
from mobilenet_tf.quantization.qat import calibrate, quantize_model
from mobilenet_tf.tflite.audit import audit
from mobilenet_tf.tflite.convert import convert

pytestmark = pytest.mark.slow  # converts with TensorFlow

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "extend.md"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ModelTable:
    """The documented table with the documented block in it."""
    text = PAGE.read_text("utf-8")
    example, block = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {"dataclass": dataclass, "T": assembly.T, "__name__": __name__}
    names |= {"Assembler": assembly.Assembler, "Residual": Residual}
    exec(compile(example, str(PAGE), "exec"), names)  # noqa: S102  # the example itself
    exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102
    rows = names["POCKET_NET"].blocks
    plain = names["PlainResidual"](16, KEPT)
    made = replace(names["POCKET_NET"], blocks=(*rows[:3], plain, *rows[3:]))
    monkeypatch.setitem(catalog.MODELS, made.name, made)
    return made


def test_a_table_alone_goes_all_the_way_to_int8(table: ModelTable) -> None:
    settings: dict[str, Any] = {
        "alpha": 1.0,
        "resolution_px": 16,
        "classes": 3,
        "stride_plan": "cifar",
    }
    model = build_variant(make_variant(table.name, **settings), batch_norm_momentum=0.0, seed=1)
    assert count_parameters(model) == count_costs(make_variant(table.name, **settings)).parameters
    images = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3)).astype(np.uint8)
    model((images.astype(np.float32) - 128) / 128, training=True)
    quantized = quantize_model(model)
    calibrate(quantized, images)
    content = convert(quantized, quantization="int8_qat", classes="abc", description="a test")
    found = audit(content)
    assert sum(op.name == "ADD" for op in found.ops) == 2
    assert not found.float_tensors
