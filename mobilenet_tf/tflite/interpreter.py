"""Running .tflite classifiers with LiteRT; the one door to its interpreter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.system.quiet import quiet_stderr
from mobilenet_tf.tflite import schema
from mobilenet_tf.tflite.constants import expose_tensors
from mobilenet_tf.tflite.info import ModelInfo, get_info
from mobilenet_tf.tflite.schema import Source
from mobilenet_tf.tflite.trial import prove

BATCH_SIZE = 100
_BATCH_PIXELS = BATCH_SIZE * 224 * 224  # the most at a time: activations take memory


class Classifier:
    """A .tflite file that maps images to class scores.

    Attributes:
        classes: the class names in the output's order; their numbers where the file has none.
        input_shape: (H, W, 3) of one image.
        input_type: "float32", "int8" or "uint8"; images are given as uint8 bytes for each.
        output_type: the type of `predict_raw`'s scores.
        output_scale: the real value of one output step; 1.0 for float outputs.
        output_zero_point: the output that stands for zero.
        info: what the file says of itself, whoever wrote it.
    """

    def __init__(self, interpreter: Any, info: ModelInfo, name: str) -> None:
        self._interpreter = interpreter
        self._name = name
        self._fixed_batch = False
        self.info = info
        image, scores = self._check_signature()
        self._image_at, self._scores_at = int(image["index"]), int(scores["index"])
        self._batch = int(image["shape"][0])
        self._first_batch = self._batch
        self.input_shape: tuple[int, ...] = tuple(int(side) for side in image["shape"][1:])
        self.input_type = np.dtype(image["dtype"]).name
        self.output_type = np.dtype(scores["dtype"]).name
        scale, zero_point = scores["quantization"]
        if self.output_type != "float32" and not scale > 0:
            raise MtfError(
                f"the output of {name} has scale {scale:g}, so that its scores mean nothing;"
                " convert the model again, with images to calibrate it"
            )
        self.output_scale, self.output_zero_point = float(scale) or 1.0, int(zero_point)
        count = int(scores["shape"][-1])
        self.classes = info.classes or tuple(str(i) for i in range(count))
        if len(self.classes) != count:
            raise MtfError(
                f"{name} gives {count} scores and names {len(self.classes)} classes;"
                " export it again"
            )
        if not {len(info.mean), len(info.std)} <= {0, 1, 3}:
            raise MtfError(
                f"{name} is normalised by mean {info.mean} and std {info.std}; there are 3 channels"
            )

    @classmethod
    def load(
        cls,
        source: Source,
        *,
        name: str = "",
        threads: int = 1,
        reference_kernels: bool = False,
        keep_tensors: bool = False,
    ) -> Classifier:
        """Return the classifier in a file, given by its path or its bytes.

        A file given by its path is run in a process of its own first; bytes are trusted, and
        `name` is what messages call them. `reference_kernels` replaces XNNPACK's kernels;
        `read_tensors` needs `keep_tensors`.

        Raises:
            UsageError: there is no such file, or `threads` is below 1.
            MtfError: the file is not a .tflite classifier, or needs ops LiteRT has not.
        """
        if threads < 1:
            raise UsageError(f"threads is {threads}; give 1 or more")
        content, found = schema.read_content(source)
        name = name or found
        info = get_info(schema.parse(content, name), content, name)
        if not isinstance(source, bytes):
            prove(content, name, reference_kernels=reference_kernels)
        resolver = OpResolverType.BUILTIN_REF if reference_kernels else OpResolverType.AUTO
        interpreter = _open(content, name, threads, resolver)
        classifier = cls(interpreter, info, name)
        if keep_tensors:  # only now: a classifier has one output
            classifier._interpreter = _open(expose_tensors(content), name, threads, resolver)
        return classifier

    def predict(self, images: np.ndarray, *, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Return float32 (N, C) scores, dequantized, of uint8 (N, H, W, 3) images.

        Raises:
            UsageError: the images are not uint8 or not of the model's size.
        """
        scores = self.predict_raw(images, batch_size=batch_size)
        if self.output_type == "float32":
            return scores
        steps = scores.astype(np.float32) - self.output_zero_point
        return steps * np.float32(self.output_scale)

    def predict_raw(self, images: np.ndarray, *, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Return the (N, C) scores of uint8 (N, H, W, 3) images as the file gives them.

        A graph that cannot be resized to `batch_size` takes images in its own batch; the last
        batch is padded.

        Raises:
            UsageError: the images are not uint8 or not of the model's size.
        """
        return self._run(images, [self._scores_at], batch_size)[0]

    def load_image(self, image: np.ndarray) -> None:
        """Put one uint8 (H, W, 3) image into the interpreter, ready for `invoke`.

        Raises:
            UsageError: the image is not uint8 or not of the model's size.
        """
        self._check_images(image[np.newaxis])
        images = np.broadcast_to(image, (self.resize_batch(1), *image.shape))
        self._interpreter.set_tensor(self._image_at, self.map_bytes(images))

    def invoke(self) -> None:
        """Run the graph on what was loaded; nothing else, so that it can be timed."""
        self._interpreter.invoke()

    def read_tensors(self, images: np.ndarray, numbers: Sequence[int]) -> dict[int, np.ndarray]:
        """Return tensors (N, …) by number for uint8 (N, H, W, 3) images.

        Those inside the graph need `keep_tensors`.

        Raises:
            UsageError: the images are not uint8 or not of the model's size.
        """
        return dict(zip(numbers, self._run(images, numbers, len(images)), strict=True))

    def _run(self, images: np.ndarray, numbers: Sequence[int], batch_size: int) -> list[np.ndarray]:
        """Return tensors of all images by number; the last batch is padded."""
        self._check_images(images)
        batch = self.resize_batch(min(batch_size, max(len(images), 1)))
        parts: list[list[np.ndarray]] = [[] for _ in numbers]
        for start in range(0, max(len(images), 1), batch):
            part = images[start : start + batch]
            filling = np.zeros((batch - len(part), *self.input_shape), dtype=np.uint8)
            self._interpreter.set_tensor(
                self._image_at, self.map_bytes(np.concatenate([part, filling]))
            )
            try:
                self._interpreter.invoke()
            except (RuntimeError, ValueError) as error:
                raise _refuse(self._name, error) from error
            for number, values in zip(numbers, parts, strict=True):
                values.append(self._interpreter.get_tensor(number)[: len(part)])
        return [np.concatenate(values) for values in parts]

    def map_bytes(self, images: np.ndarray) -> np.ndarray:
        """Return image bytes as the file's input: normalised, byte - 128, or the byte."""
        if self.input_type == "float32":
            return self.info.normalise(images)
        if self.input_type == "int8":
            return (images ^ 0x80).view(np.int8)  # flipping the top bit subtracts 128
        return images

    def _check_signature(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the details of the one image input and the one score output."""
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise MtfError(
                f"{self._name} has {len(inputs)} inputs and {len(outputs)} outputs;"
                " a classifier has one of each"
            )
        image, scores = inputs[0], outputs[0]
        shape = image["shape"]
        if len(shape) != 4 or shape[3] != 3 or min(shape) < 1 or len(scores["shape"]) != 2:
            raise MtfError(
                f"{self._name} maps {tuple(map(int, image['shape']))} to"
                f" {tuple(map(int, scores['shape']))}; a classifier maps"
                " (batch, height, width, 3) to (batch, classes)"
            )
        for what, details in (("input", image), ("output", scores)):
            if np.dtype(details["dtype"]).name not in ("float32", "int8", "uint8"):
                raise MtfError(
                    f"the {what} of {self._name} is {np.dtype(details['dtype']).name};"
                    " float32, int8 and uint8 are supported"
                )
        return image, scores

    def _check_images(self, images: np.ndarray) -> None:
        if images.dtype != np.uint8:
            raise UsageError(f"images are {images.dtype}; give uint8 bytes, not normalised values")
        if images.shape[1:] != self.input_shape:
            wanted = ", ".join(map(str, self.input_shape))
            raise UsageError(
                f"images have shape {images.shape} and {self._name} takes (N, {wanted}); resize"
                " them first"
            )

    def resize_batch(self, batch: int) -> int:
        """Make the graph take `batch` images at a time; return what it takes in fact.

        Where so many large images would take too much memory, that is an equal part of them.
        """
        if batch < 1:
            raise UsageError(f"batch_size is {batch}; give 1 or more")
        height_px, width_px, _ = self.input_shape
        most = max(1, _BATCH_PIXELS // (height_px * width_px))
        batch = math.ceil(batch / math.ceil(batch / most))
        if batch == self._batch or self._fixed_batch:
            return self._batch
        with quiet_stderr():
            try:
                self._allocate(batch)
            except (RuntimeError, ValueError):  # a reshape to a fixed size is in the way
                self._fixed_batch = True
                self._allocate(self._first_batch)
        return self._batch

    def _allocate(self, batch: int) -> None:
        self._interpreter.resize_tensor_input(self._image_at, [batch, *self.input_shape])
        self._interpreter.allocate_tensors()
        self._batch = batch
        given = int(self._interpreter.get_output_details()[0]["shape"][0])
        if given != batch:
            raise ValueError(f"the output keeps batch {given}")


def _open(content: bytes, name: str, threads: int, resolver: OpResolverType) -> Any:
    """Return an interpreter with its tensors allocated, without LiteRT's messages."""
    failure: Exception
    with quiet_stderr():
        try:
            interpreter = Interpreter(
                model_content=content,
                num_threads=threads,
                experimental_op_resolver_type=resolver,
            )
            interpreter.allocate_tensors()
            return interpreter
        except (ValueError, RuntimeError, MemoryError) as error:
            failure = error
    raise _refuse(name, failure) from failure


def _refuse(name: str, error: Exception) -> MtfError:
    reason = " ".join(str(error).split())[:500]
    return MtfError(f"LiteRT cannot run {name}: {reason}; `mtf audit` lists its ops")


def load_interpreter(source: str | Path, threads: int) -> Any:
    """Return a bare LiteRT interpreter of a file on disk, its tensors allocated."""
    interpreter = Interpreter(model_path=str(source), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter
