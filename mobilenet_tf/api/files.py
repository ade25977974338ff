"""The `.tflite` file of a model, and what a model or a file predicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilenet_tf.errors import UsageError
from mobilenet_tf.zoo.shelf import find_tflite

if TYPE_CHECKING:
    import numpy as np

    from mobilenet_tf.evaluation.score import Score
    from mobilenet_tf.recipe import ResizeRule


def export(
    model: Any,
    path: str | Path,
    *,
    quantization: str = "int8_qat",
    classes: Sequence[str] | None = None,
    calibration: np.ndarray | None = None,
    io_type: str = "int8",
    logits: bool = False,
    resize: ResizeRule = "crop",
) -> Path:
    """Write an audited `.tflite` file of a model that gives logits, and return its path.

    Args:
        model: a model of `create_model`; for "int8_qat" one of `quantize`.
        path: the file to write, whole or not at all.
        quantization: "float32", "float16", "dynamic_range", "int8_ptq" or "int8_qat".
        classes: their names in the order of the output; by default their numbers.
        calibration: uint8 (N, H, W, 3) training images, for "int8_ptq".
        io_type: type of input and output of int8 files: "int8", "uint8" or "float32".
        logits: leave out the softmax.
        resize: how images were made square for training: "crop" (the centre), "pad" (grey bars)
            or "stretch"; the file says so, and whoever uses it follows.

    Raises:
        UsageError: an argument does not fit, or the model ends in a softmax already.
        MtfError: the converter failed, or the file cannot be written.

    Examples:
        >>> import mobilenet_tf as mtf
        >>> data = mtf.load_dataset("cifar10")
        >>> model = mtf.create_model("cifar10_v1_025_r32")
        >>> mtf.export(model, "model.tflite", quantization="int8_ptq", classes=data.classes,
        ...            calibration=data.train.images[:512])
    """
    from mobilenet_tf.files import write_bytes
    from mobilenet_tf.models.outputs import check_model
    from mobilenet_tf.tflite.convert import convert

    check_model(model, "export")
    content = convert(
        model,
        quantization=quantization,
        classes=list(map(str, range(model.output_shape[-1]) if classes is None else classes)),
        description=model.name,
        io_type=io_type,
        logits=logits,
        resize=resize,
        calibration_images=calibration,
    )
    write_bytes(Path(path), content)
    return Path(path)


def evaluate(model: Any, images: np.ndarray, labels: np.ndarray) -> Score:
    """Return accuracy, loss and confusion matrix of a Keras model or a `.tflite` file.

    `model` is also the name of a model that ships. Images are uint8 (N, H, W, 3), resized by the
    file's rule if the model takes another size; labels are whole numbers (N,).

    Raises:
        UsageError: there is no such file, or the arrays do not fit.
        MtfError: the file is not a `.tflite` classifier.

    Examples:
        >>> import mobilenet_tf as mtf
        >>> test = mtf.load_dataset("cifar10", "test")
        >>> mtf.evaluate("cifar10_v1_025_r32", test.images[:1000], test.labels[:1000]).top1
    """
    import numpy as np

    from mobilenet_tf.data.splits import Split, check_labels
    from mobilenet_tf.evaluation.score import score_probabilities

    split = Split(images, np.asarray(labels, np.int64))
    probabilities = predict(model, images)
    check_labels(split, probabilities.shape[1], "labels")
    return score_probabilities(probabilities, split.labels)


def predict(model: Any, images: Any, *, top: int = 5) -> Any:
    """Return what a Keras model, a `.tflite` file or a model that ships predicts.

    For an array of images, uint8 (N, H, W, 3): probabilities (N, C) float32. For paths of image
    files, which take a file or a model that ships: a list of `Prediction`s, the `top` classes each.

    Raises:
        UsageError: there is no such file, or the images do not fit.
        MtfError: the file is not a `.tflite` classifier.

    Examples:
        >>> import mobilenet_tf as mtf
        >>> test = mtf.load_dataset("cifar10", "test")
        >>> mtf.predict("cifar10_v1_025_r32", test.images[:3]).argmax(-1)
    """
    import numpy as np

    from mobilenet_tf.evaluation.metrics import predict_all
    from mobilenet_tf.evaluation.predict import Predictor

    is_file = isinstance(model, (str, Path))
    if isinstance(images, np.ndarray):
        if images.dtype != np.uint8 or images.ndim != 4 or not len(images):
            raise UsageError(
                f"images are {images.dtype} {images.shape}; give one or more, uint8 (N, H, W, 3)"
            )
        forward, (height_px, width_px), rule = _of_file(model) if is_file else _of_keras(model)
        side_px = height_px if height_px == width_px else None
        if side_px is None and images.shape[1:3] != (height_px, width_px):
            raise UsageError(
                f"images are {images.shape[1]} x {images.shape[2]} px and the model takes"
                f" {height_px} x {width_px}; resize them first"
            )
        return predict_all(forward, images, resolution_px=side_px, rule=rule)
    if not is_file:
        raise UsageError("image files are classified by a .tflite file; give arrays to a model")
    paths = [images] if isinstance(images, (str, Path)) else images
    return list(
        Predictor(find_tflite(Path(model))).predict([Path(path) for path in paths], top=top)
    )


def _of_file(model: str | Path) -> tuple[Any, Sequence[int], ResizeRule]:
    """Return what maps bytes to probabilities, the height and width it takes, and by which rule."""
    from mobilenet_tf.evaluation.predict import to_probabilities
    from mobilenet_tf.tflite.interpreter import Classifier

    classifier = Classifier.load(find_tflite(Path(model)))
    return to_probabilities(classifier), classifier.input_shape[:2], classifier.info.resize


def _of_keras(model: Any) -> tuple[Any, Sequence[int], ResizeRule]:
    from mobilenet_tf.data.pipeline import normalise
    from mobilenet_tf.evaluation.metrics import make_keras_predict_fn
    from mobilenet_tf.keras import tf
    from mobilenet_tf.models.outputs import check_model, ends_in_softmax

    check_model(model, "predict")
    sides_px = model.input_shape[1:3]
    if not ends_in_softmax(model):
        return make_keras_predict_fn(model), sides_px, "crop"
    return (
        lambda images: model(normalise(tf.constant(images)), training=False).numpy(),
        sides_px,
        "crop",
    )
