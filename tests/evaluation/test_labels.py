from __future__ import annotations

from pathlib import Path

import pytest

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.evaluation.labels import match_classes, read_labels

KNOWN = ("t-shirt", "Long Sleeve", "shoes", "hat", "HAT")


def test_names_match_whatever_their_case_and_spaces() -> None:
    names = ("T_Shirt", "long sleeve", "Shoes", "sandals")
    assert match_classes(names, KNOWN) == {"T_Shirt": 0, "long sleeve": 1, "Shoes": 2}


def test_an_exact_name_is_not_ambiguous() -> None:
    assert match_classes(("HAT", "hat"), KNOWN) == {"HAT": 4, "hat": 3}


@pytest.mark.parametrize(
    ("names", "known"), [(("Hat",), KNOWN), (("crane",), ("crane", "x", "crane"))]
)
def test_a_name_that_fits_two_classes_is_refused(names: tuple, known: tuple) -> None:
    with pytest.raises(MtfError, match=names[0]):
        match_classes(names, known)


def test_two_names_of_one_class_are_refused() -> None:
    with pytest.raises(MtfError, match="shoes"):
        match_classes(("Shoes", "sho-es"), KNOWN)


def test_labels_are_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes(b"\xef\xbb\xbfrose\r\ntulip \r\n\r\n")
    assert read_labels(file, 2) == ("rose", "tulip")
    with pytest.raises(UsageError, match="2 lines"):
        read_labels(file, 3)
    file.write_bytes(b"\xff\xfe\x00")
    for path in (file, tmp_path, tmp_path / "gone"):
        with pytest.raises(UsageError, match=path.name):
            read_labels(path, 2)
