"""What datasets there are; answers at once, without TensorFlow or numpy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mobilenet_tf.errors import UsageError, check_known
from mobilenet_tf.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """One dataset: its classes in label order, its sizes, and how it is had.

    `image_shape` is (height, width, channels) in pixels. `flip_safe` says whether a mirrored
    image still shows its class. `download_bytes` is 0 for what needs no network. `recipe` names
    the recipe that ships for it.
    """

    name: str
    description: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    train_count: int
    test_count: int
    source: Literal["tensorflow-datasets", "scikit-learn", "generated", "folder"]
    download_bytes: int
    flip_safe: bool
    recipe: str

    @property
    def class_count(self) -> int:
        """The number of classes."""
        return len(self.classes)

    @property
    def needs_download(self) -> bool:
        """Whether the images come over the network the first time."""
        return self.download_bytes > 0


# Alphabetical, which is the order of the archive's own fine_label_names.txt.
_CIFAR100_CLASSES = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle
    bowl boy bridge bus butterfly camel can castle caterpillar cattle
    chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
    dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard
    lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
    mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree
    plain plate poppy porcupine possum rabbit raccoon ray road rocket
    rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
    train trout tulip turtle wardrobe whale willow_tree wolf woman worm
    """.split()  # noqa: SIM905  # ten to a line is how a person checks a hundred names
)

DATASETS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        DatasetInfo(
            name="digits",
            description="1,797 handwritten digits from scikit-learn, 8x8 enlarged to 32x32",
            classes=tuple("0123456789"),
            image_shape=(32, 32, 3),
            train_count=1437,
            test_count=360,
            source="scikit-learn",
            download_bytes=0,
            flip_safe=False,
            recipe="quickstart",
        ),
        DatasetInfo(
            name="cifar10",
            description="60,000 colour photographs of 10 kinds of animals and vehicles",
            classes=tuple(
                "airplane automobile bird cat deer dog frog horse ship truck".split()  # noqa: SIM905
            ),
            image_shape=(32, 32, 3),
            train_count=50_000,
            test_count=10_000,
            source="tensorflow-datasets",
            download_bytes=170_052_171,
            flip_safe=True,
            recipe="cifar10",
        ),
        DatasetInfo(
            name="cifar100",
            description="60,000 colour photographs of 100 kinds of things, 600 each",
            classes=_CIFAR100_CLASSES,
            image_shape=(32, 32, 3),
            train_count=50_000,
            test_count=10_000,
            source="tensorflow-datasets",
            download_bytes=168_513_733,
            flip_safe=True,
            recipe="cifar100",
        ),
        DatasetInfo(
            name="synthetic",
            description="640 generated images of coloured shapes, for tests and first tries",
            classes=tuple(
                f"{colour}_{shape}"
                for colour in ("red", "yellow", "green", "blue", "white")
                for shape in ("disc", "stripes")
            ),
            image_shape=(32, 32, 3),
            train_count=512,
            test_count=128,
            source="generated",
            download_bytes=0,
            flip_safe=True,
            recipe="quickstart",
        ),
    )
}


def dataset_info(name: str) -> DatasetInfo:
    """Return the catalog's entry for `name`.

    Raises:
        UsageError: there is no such dataset; the message names the nearest.
    """
    if name and name not in DATASETS and Path(name).exists():
        raise UsageError(
            f"{name} is no dataset's name but a path; to train on the images there: mtf run"
            f" {name}, or --set data.path={name}"
        )
    check_known("dataset", name, DATASETS)
    return DATASETS[name]


def recipe_dataset(recipe: Recipe) -> DatasetInfo:
    """Return the dataset of a recipe: the catalog's, or what the recipe notes of a folder.

    The number of a folder's images is not noted, and given as 0.

    Raises:
        UsageError: there is no such dataset.
    """
    data, side_px = recipe.data, recipe.model.resolution_px
    if not data.classes:
        return dataset_info(data.name)
    return DatasetInfo(
        name=data.name,
        description=f"images of {len(data.classes)} classes from {data.path}",
        classes=data.classes,
        image_shape=(side_px, side_px, 3),
        train_count=0,
        test_count=0,
        source="folder",
        download_bytes=0,
        flip_safe=True,
        recipe="folder",
    )
