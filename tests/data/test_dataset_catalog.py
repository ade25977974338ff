from __future__ import annotations

import subprocess
import sys

import pytest

from mobilenet_tf.data.catalog import DATASETS, dataset_info
from mobilenet_tf.errors import UsageError


def test_classes_are_distinct_and_as_many_as_published() -> None:
    assert {name: info.class_count for name, info in DATASETS.items()} == {
        "digits": 10,
        "cifar10": 10,
        "cifar100": 100,
        "synthetic": 10,
    }
    for info in DATASETS.values():
        assert len(set(info.classes)) == len(info.classes)
    assert list(dataset_info("cifar100").classes) == sorted(dataset_info("cifar100").classes)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'cifar1O'.*did you mean 'cifar10'"):
        dataset_info("cifar1O")


def test_finding_datasets_loads_neither_tensorflow_nor_scikit_learn() -> None:
    code = (
        "import sys\n"
        "from mobilenet_tf.data import catalog\n"
        "assert 'numpy' not in sys.modules\n"
        "from mobilenet_tf.data.sources import find_dataset\n"
        "print([find_dataset(name).ready for name in catalog.DATASETS])\n"
        "heavy = {'tensorflow', 'tensorflow_datasets', 'sklearn', 'tf_keras'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
