from __future__ import annotations

import numpy as np
import pytest

from mobilenet_tf.data.pipeline import normalise
from mobilenet_tf.data.sources import Split
from mobilenet_tf.evaluation.metrics import make_keras_predict_fn, predict_all
from mobilenet_tf.evaluation.score import score_probabilities
from mobilenet_tf.keras import keras


def make_split(count: int, classes: int = 10) -> Split:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % classes
    images[:, 0, 0, 0] = labels
    return Split(images, labels)


def read_the_label(images: np.ndarray) -> np.ndarray:
    """Predict what the first byte says, with probability 0.55."""
    return np.eye(10, dtype=np.float32)[images[:, 0, 0, 0]] * 0.5 + 0.05


def test_metrics_are_those_of_a_table_made_by_hand() -> None:
    probabilities = np.array(
        [[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.4, 0.1], [0.2, 0.2, 0.6]], np.float32
    )
    score = score_probabilities(probabilities, np.array([0, 1, 1, 2]))
    assert score.top1 == 0.75
    assert score.top5 is None  # of three classes it says nothing
    assert score.per_class == [1.0, 0.5, 1.0]
    assert score.confusion == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert score.loss == pytest.approx(-np.log([0.7, 0.6, 0.4, 0.6]).mean(), rel=1e-5)
    assert score.count == 4


def test_top_5_counts_the_five_best_and_a_tie_goes_to_the_lower_class() -> None:
    probabilities = np.array([[0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1]], np.float32)
    hits = [score_probabilities(probabilities, np.array([label])).top5 for label in range(7)]
    assert hits == [1, 1, 1, 1, 1, 0, 0]
    equal = np.full((1, 7), 1 / 7, np.float32)
    assert score_probabilities(equal, np.array([0])).top1 == 1
    assert score_probabilities(equal, np.array([1])).top1 == 0


def test_a_class_without_images_has_no_accuracy() -> None:
    score = score_probabilities(np.eye(3, dtype=np.float32)[[0, 2]], np.array([0, 2]))
    assert score.per_class == [1.0, None, 1.0]


def test_a_sure_mistake_has_a_finite_loss() -> None:
    score = score_probabilities(np.array([[1.0, 0.0]], np.float32), np.array([1]))
    assert np.isfinite(score.loss)
    assert score.loss > 10


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 23])
def test_the_last_batch_is_padded_and_every_image_counts_once(count: int) -> None:
    split = make_split(count)
    split.labels[-1] = (split.labels[-1] + 1) % 10  # the last image is told wrong
    sizes = []

    def predict(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        return read_the_label(images)

    score = score_probabilities(predict_all(predict, split.images, batch_size=8), split.labels)
    assert set(sizes) == {8}
    assert score.count == count == np.sum(score.confusion)
    assert score.top1 == pytest.approx((count - 1) / count)


def test_images_of_another_size_are_resized_on_the_way() -> None:
    split = make_split(5)
    shapes = []

    def predict(images: np.ndarray) -> np.ndarray:
        shapes.append((images.shape, images.dtype))
        return read_the_label(images)

    predict_all(predict, split.images, resolution_px=9, batch_size=4)
    assert shapes == [((4, 9, 9, 3), np.dtype(np.uint8))] * 2


def test_a_keras_model_of_logits_gives_probabilities_of_bytes() -> None:
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.layers.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    images = make_split(6).images
    found = make_keras_predict_fn(model)(images)
    logits = model(normalise(images)).numpy()
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    np.testing.assert_allclose(found, powers / powers.sum(-1, keepdims=True), rtol=1e-5)
