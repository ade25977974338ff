from __future__ import annotations

import numpy as np

from mobilenet_tf.evaluation.grad_cam import SHADOW, spotlight
from mobilenet_tf.keras import keras


def test_what_speaks_for_the_class_is_lit() -> None:
    image = keras.Input((32, 32, 3))
    x = keras.layers.AveragePooling2D(4, name="features")(image)
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.layers.Conv2D(3, 1, use_bias=False, name="head")(x)
    model = keras.Model(image, keras.layers.Reshape((3,))(x))
    model.get_layer("head").set_weights([np.eye(3, dtype=np.float32)[None, None]])
    images = np.full((2, 32, 32, 3), 128, np.uint8)
    images[:, :8, :8, 0] = 255  # class 0 is red, class 2 blue
    images[:, 24:, 24:, 2] = 255
    lit = spotlight(model, images, np.array([0, 2]))
    assert lit.dtype == np.uint8
    for place, (bright, dark) in enumerate((((2, 2), (29, 29)), ((29, 29), (2, 2)))):
        shares = [lit[place][at].max() / images[place][at].max() for at in (bright, dark)]
        np.testing.assert_allclose(shares, [1, SHADOW], atol=0.02)
