"""Train mobile image classifiers, quantize them to int8 and prove what the file in the app does.

>>> import mobilenet_tf as mtf
>>> data = mtf.load_dataset("digits")
>>> model = mtf.create_model("mobilenet_v2", alpha=0.35, resolution=32, classes=10)
>>> model = mtf.train(model, data, epochs=5)
>>> quantized = mtf.quantize(model, data, epochs=1)
>>> path = mtf.export(quantized, "digits.tflite", classes=data.classes)
>>> mtf.evaluate(path, data.test.images, data.test.labels).top1

Nothing is loaded before it is used: TensorFlow comes with the first model.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
_ROOMS = {
    "Dataset": "api.training",
    "MobileNetV1": "api.models",
    "Options": "recipe",
    "create_model": "api.models",
    "evaluate": "api.files",
    "export": "api.files",
    "list_models": "api.models",
    "load_dataset": "api.training",
    "predict": "api.files",
    "quantize": "api.training",
    "train": "api.training",
}
__all__ = [  # spelt out for editors; the tests hold it to _ROOMS
    "Dataset",
    "MobileNetV1",
    "Options",
    "__version__",
    "create_model",
    "evaluate",
    "export",
    "list_models",
    "load_dataset",
    "predict",
    "quantize",
    "train",
]

if TYPE_CHECKING:
    from mobilenet_tf.api.files import evaluate, export, predict
    from mobilenet_tf.api.models import MobileNetV1, create_model, list_models
    from mobilenet_tf.api.training import Dataset, load_dataset, quantize, train
    from mobilenet_tf.recipe import Options


def __getattr__(name: str) -> Any:
    """Load a part of the front door when it is first asked for (PEP 562)."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return what tab completion shows."""
    return sorted({*globals(), *__all__})
