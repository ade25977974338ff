from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mobilenet_tf.data.folder import holds_images, index_images
from mobilenet_tf.data.index import TEST, TRAIN, VALIDATION
from mobilenet_tf.errors import UsageError


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"not looked at")
    return root


def test_a_folder_for_each_class_in_natural_order(tmp_path: Path) -> None:
    root = touch(tmp_path, "c10/b.jpg", "c2/a.PNG", "C1/x.webp", "C1/.hidden.jpg", ".git/x.jpg")
    touch(root, "notes.txt", "c2/notes.txt")
    index = index_images(root)
    assert index.classes == ("C1", "c2", "c10")
    assert index.paths == ("C1/x.webp", "c2/a.PNG", "c10/b.jpg")
    assert index.labels.tolist() == [0, 1, 2]
    assert index.parts.tolist() == [TRAIN] * 3
    assert index.ignored == ("c2/notes.txt", "notes.txt")


@pytest.mark.parametrize("validation", ["validation", "val", "Valid"])
def test_parts_with_classes_inside(tmp_path: Path, validation: str) -> None:
    root = touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", f"{validation}/b/2.jpg")
    index = index_images(root)
    assert index.classes == ("a", "b")
    assert index.rows(VALIDATION).tolist() == [2]
    assert not index.has(TEST)
    assert index.path(2) == root / validation / "b/2.jpg"


def test_train_may_be_a_class(tmp_path: Path) -> None:
    index = index_images(touch(tmp_path, "train/1.jpg", "bus/1.jpg", "test/1.jpg"))
    assert index.classes == ("bus", "test", "train")


def test_a_csv_file_with_and_without_a_split(tmp_path: Path) -> None:
    touch(tmp_path, "x/1.jpg", "x/2.jpg", "3")
    table = tmp_path / "l.csv"
    table.write_text("Path,Label\nx/1.jpg,b\n./x/2.jpg,a\n3,a\n", "utf-8-sig")
    index = index_images(table)
    assert (index.root, index.classes) == (tmp_path, ("a", "b"))
    assert index.paths == ("x/1.jpg", "x/2.jpg", "3")
    table.write_text("path,label,split\nx/1.jpg,b,train\nx/2.jpg,a,train\n3,a,val\n")
    assert index_images(table).parts.tolist() == [TRAIN, TRAIN, VALIDATION]


@pytest.mark.parametrize(
    ("paths", "named"),
    [
        ([], "holds no folder of images"),
        ([".hidden/a.jpg"], "holds no folder of images"),
        (["a.jpg", "b.jpg"], "a.jpg"),
        (["labels.csv"], "labels.csv"),
        (["a/1.jpg"], "one class, a"),
        (["a/notes.txt", "b/1.jpg"], "a holds no image"),
        (["a/x/1.jpg", "a/y/1.jpg"], "a/x is a folder inside"),
        (["a/x/y/1.jpg", "b/1.jpg"], "a/x is a folder inside"),
        (["Cat/1.jpg", "cat/1.jpg"], "Cat and cat differ only in case"),
        (["caf\u00e9/1.jpg", "cafe\u0301/1.jpg"], "differ only in case"),
        (["train/a/1.jpg", "train/b/1.jpg", "test/c/1.jpg"], "test has c"),
        (["train/a/1.jpg", "train/b/1.jpg", "c/1.jpg"], "holds c/ beside"),
        (["test/a/1.jpg", "test/b/1.jpg"], "without train/"),
        (["train/a/1.jpg", "train/b/1.jpg", "val/.keep"], "val holds no folder of a class"),
        (["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "valid/a/1.jpg"], "both for validation"),
    ],
)
def test_what_a_folder_cannot_be(tmp_path: Path, paths: list[str], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        index_images(touch(tmp_path, *paths))
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "name", ["a\tb", "a\nb", "\x1b[31mred", "a\u202eb", " a", os.fsdecode(b"\xff")]
)
def test_a_name_that_no_list_of_labels_can_hold_is_refused_on_one_line(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(UsageError) as caught:
        index_images(touch(tmp_path, f"{name}/1.jpg", "b/1.jpg"))
    assert str(caught.value).isprintable()


def test_markup_in_a_name_is_a_name_like_any_other(tmp_path: Path) -> None:
    index = index_images(touch(tmp_path, "<script>alert(1)<|script>/1.jpg", "b/1.jpg"))
    assert "<script>alert(1)<|script>" in index.classes


def test_more_classes_than_can_be_meant(tmp_path: Path) -> None:
    for number in range(10_001):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "1.jpg").touch()
    with pytest.raises(UsageError, match="10,001 classes"):
        index_images(tmp_path)


@pytest.mark.parametrize("what", ["file", "class", "csv"])
def test_a_link_that_leads_outside_is_refused(tmp_path: Path, what: str) -> None:
    root, outside = tmp_path / "data", touch(tmp_path / "outside", "1.jpg")
    touch(root, "a/1.jpg", "b/1.jpg")
    origin = root
    if what == "class":
        (root / "c").symlink_to(outside)
    else:
        (root / "a/2.jpg").symlink_to(outside / "1.jpg")
    if what == "csv":
        origin = root / "l.csv"
        origin.write_text("path,label\na/2.jpg,a\nb/1.jpg,b\n")
    with pytest.raises(UsageError, match="leads outside"):
        index_images(origin)


def test_a_link_inside_is_followed_and_what_is_no_file_is_ignored(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / "a/2.jpg").symlink_to(tmp_path / "b/1.jpg")
    (tmp_path / "a/3.jpg").symlink_to(tmp_path / "a/none.jpg")
    os.mkfifo(tmp_path / "a/4.jpg")
    index = index_images(tmp_path)
    assert index.paths == ("a/1.jpg", "a/2.jpg", "b/1.jpg")
    assert index.ignored == ("a/3.jpg", "a/4.jpg")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "first line must be"),
        ("file,class\na,b\n", "file,class"),
        ("path,label\n", "names no image"),
        ("path,label\na.jpg,x\nno.jpg,y\n", "line 3"),
        ("path,label\na.jpg,x\na.jpg,x\n", "in line 2 already"),
        ("path,label\na.jpg,x\n./a.jpg,y\n", "in line 2 already"),
        ("path,label\na.jpg,x\n../b.jpg,y\n", "lies outside"),
        ("path,label\na.jpg,x\n/etc/passwd,y\n", "lies outside"),
        ("path,label\na.jpg,\nb.jpg,y\n", "label is empty"),
        ("path,label\na.jpg\nb.jpg,y\n", "not as many values"),
        ("path,label\na.jpg,x,y\nb.jpg,y\n", "not as many values"),
        ("path,label,split\na.jpg,x,train\nb.jpg,y,dev\n", "the split is dev"),
        ("path,label,split\na.jpg,x,train\nb.jpg,y,\n", "no split"),
        ("path,label,split\na.jpg,x,train\nb.jpg,y,test\n", "test has y"),
        ('path,label\na.jpg,"x\ty"\nb.jpg,y\n', "control characters"),
        ("path,label\na.jpg,\ud83d\nb.jpg,y\n", "UTF-8"),
    ],
)
def test_what_a_csv_file_cannot_say(tmp_path: Path, text: str, named: str) -> None:
    touch(tmp_path, "data/a.jpg", "data/b.jpg", "b.jpg")
    table = tmp_path / "data/l.csv"
    table.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UsageError) as caught:
        index_images(table)
    assert named in str(caught.value).replace("'", "")


@pytest.mark.parametrize("name", ["none", "photos.zip", "notes.txt"])
def test_what_is_no_dataset(tmp_path: Path, name: str) -> None:
    if name != "none":
        touch(tmp_path, name)
    with pytest.raises(UsageError):
        index_images(tmp_path / name)


def test_a_short_look_finds_images(tmp_path: Path) -> None:
    assert not holds_images(touch(tmp_path, "cifar10/3.0.2/dataset_info.json"))
    assert holds_images(touch(tmp_path, "train/a/1.jpg"))
    assert not holds_images(tmp_path / "none")


def test_real_photographs(clothing_dir: Path) -> None:
    index = index_images(clothing_dir)
    counts: list[Any] = [len(index.rows(part)) for part in (TRAIN, VALIDATION, TEST)]
    assert counts == [3068, 341, 0]
    assert index.classes[-1] == "t-shirt"
