from __future__ import annotations

import pytest

from mobilenet_tf.zoo.packaging import without_machine


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("mtf run cifar10", "mtf run cifar10"),
        ("mtf run a --out /data/x/artifacts/a -q", "mtf run a --out artifacts/a -q"),
        ("mtf run /home/me/my.toml --data-dir=~/tfds", "mtf run my.toml --data-dir=tfds"),
        (r"mtf run C:\Users\me\artifacts\b", "mtf run artifacts/b"),
        ("--set train.teacher='/x/run'", "--set train.teacher='run'"),
        ("artifacts/zoo/a/recipe.toml ./b ../c", "artifacts/zoo/a/recipe.toml ./b ../c"),
        ("https://arxiv.org/abs/1704.04861", "https://arxiv.org/abs/1704.04861"),
        ("1 / 2, 32x32/64, AVX-512", "1 / 2, 32x32/64, AVX-512"),
    ],
)
def test_texts_name_no_folder_of_the_machine(text: str, kept: str) -> None:
    assert without_machine({"a": [text, 1, None]}) == {"a": [kept, 1, None]}
