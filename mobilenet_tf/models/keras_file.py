"""Weights files of Keras as tensors by name, read without TensorFlow.

`.h5` of weights or of a whole model, by any version of Keras; `.keras`; and the `.weights.h5` of
Keras 3, which notes the layers' names.
"""

from __future__ import annotations

import io
import itertools
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobilenet_tf.errors import MtfError

SUFFIXES = (".h5", ".hdf5", ".keras")
OWN_INPUT = "image"  # the name of the input of every model of ours
OWN_SCALE = (1 / 128, -1.0)
KERAS_SCALE = (1 / 127.5, -1.0)  # of all its MobileNets: `preprocess_input`, or a Rescaling layer
KINDS = {  # class of a layer -> its weights in the order of a `.keras` file
    "conv2d": ("kernel", "bias"),
    "depthwise_conv2d": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}

_CONVOLVING = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense")
_SCALE_KEEPING = (  # beside augmentation, which is called Random…
    *("input_layer", "functional", "sequential", "model", "activation", "dropout"),
    *("resizing", "center_crop", "cropping2d", "zero_padding2d"),
)

if TYPE_CHECKING:  # what only names weights loads neither numpy nor h5py
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class KerasFile:
    """The tensors of a file by `plain_name`, and what its network sees of a byte.

    `scale` is (multiplier, offset): its first convolution takes multiplier * byte + offset.
    """

    tensors: dict[str, Array]
    scale: tuple[float, float]


def plain_name(weight: str) -> str:
    """Return the name by which weights of all versions of Keras are compared.

    "Conv/BatchNorm/gamma:0" is "conv_bn/gamma"; a depthwise kernel is a kernel.
    """
    layer, _, kind = weight.removesuffix(":0").rpartition("/")
    layer = layer.replace("/", "_").lower().replace("_batchnorm", "_bn")
    return f"{layer}/{kind.removeprefix('depthwise_')}"


def read_keras_file(path: Path) -> KerasFile:
    """Read the weights of a Keras file.

    Raises:
        MtfError: it cannot be read, is damaged, or does not say which weight is which.
    """
    import h5py

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                config = json.loads(archive.read("config.json"))
                content: Any = io.BytesIO(archive.read("model.weights.h5"))
        else:
            with path.open("rb"):  # for the operating system's own words
                config, content = None, path
        with h5py.File(content, "r") as file:
            if "model_config" in file.attrs:
                config = json.loads(file.attrs["model_config"])
            named = file.get("model_weights", file)
            listed = [_text(name) for name in named.attrs.get("layer_names", ())]
            tensors = dict(_read_named(named, listed) if listed else _read_numbered(file, config))
        scale = _find_scale(path, config) if config else (1.0, 0.0)
        if scale == (1.0, 0.0):  # preprocessed outside
            scale = OWN_SCALE if OWN_INPUT in (*listed, *_names(config)) else KERAS_SCALE
    except OSError as error:
        if error.strerror:
            raise MtfError(f"cannot read weights file {path}: {error.strerror}") from error
        raise _damaged(path, error) from error
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise _damaged(path, error) from error
    except zipfile.BadZipFile as error:
        raise _damaged(path, error) from error
    if not tensors:
        raise MtfError(
            f"{path} does not name the layers of its weights; save the whole model as .keras"
        )
    return KerasFile(tensors, scale)


def _damaged(path: Path, error: Exception) -> MtfError:
    return MtfError(f"weights file {path} is damaged, or not of Keras ({error})")


def _read_named(group: Any, layers: Iterable[str]) -> Iterator[tuple[str, Array]]:
    """Yield the weights of a `.h5` file: each layer lists the names of its own."""
    for layer in layers:
        for name in group[layer].attrs["weight_names"]:
            yield plain_name(_text(name)), group[layer][_text(name)][()]


def _read_numbered(file: Any, config: Any) -> Iterator[tuple[str, Array]]:
    """Yield the weights of a `.keras` file: layers are numbered by class, weights by place.

    The configuration, or newer files themselves, say what those layers are called.
    """
    names = dict(_list_layers(config, "layers")) if config else {}
    groups: list[Any] = []
    file.visititems(lambda name, item: groups.append(item) if name.endswith("/vars") else None)
    for group in groups:
        place = group.name.strip("/").removesuffix("/vars")
        name = names.get(place) or group.attrs.get("name") or group.parent.attrs.get("name")
        kinds = KINDS.get(re.sub(r"_\d+$", "", place.rpartition("/")[2]), ())
        if name and place.startswith("layers/"):
            for number, kind in enumerate(kinds):
                if str(number) in group:
                    yield plain_name(f"{_text(name)}/{kind}"), group[str(number)][()]


def _list_layers(config: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield the place of every layer of a model within a `.keras` file, and its name."""
    counts: dict[str, int] = {}
    for layer in config["config"].get("layers", ()):
        kind = _snake_case(layer["class_name"])
        number = counts[kind] = counts.get(kind, -1) + 1
        inner = f"{place}/{kind}_{number}" if number else f"{place}/{kind}"
        yield inner, layer["config"]["name"]
        yield from _list_layers(layer, f"{inner}/layers")


def _snake_case(name: str) -> str:
    """Return a class's name as Keras writes it in files: "Conv2D" is "conv2d"."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _find_scale(path: Path, config: Any) -> tuple[float, float]:
    """Return what the first convolution of a network sees of a byte, (1, 0) for the byte itself.

    Raises:
        MtfError: a layer before it does what no multiplier and offset can express.
    """
    multiplier, offset = 1.0, 0.0
    for layer in itertools.takewhile(
        lambda each: each["class_name"] not in _CONVOLVING, _walk(config)
    ):
        settings, kind, number = layer["config"], _operation(layer), _operand(layer)
        if kind == "rescaling" and isinstance(settings["scale"], int | float):
            multiplier, offset = (value * settings["scale"] for value in (multiplier, offset))
            offset += settings["offset"]
        elif kind in ("truediv", "true_divide") and number:
            multiplier, offset = multiplier / number, offset / number
        elif kind == "multiply" and number:
            multiplier, offset = multiplier * number, offset * number
        elif kind in ("subtract", "add") and number is not None:
            offset += number if kind == "add" else -number
        elif kind not in _SCALE_KEEPING and not kind.startswith("random_"):
            raise MtfError(
                f"{path}: the input scale of this network is unknown, as its layer"
                f" {settings['name']} ({layer['class_name']}) comes before the first convolution;"
                " save it without that layer, or with a Rescaling layer of one scale instead"
            )
    return multiplier, offset


def _operation(layer: Any) -> str:
    """Return what a layer does: its class, or the function that tf_keras has wrapped."""
    if layer["class_name"] == "TFOpLambda":
        return str(layer["config"]["function"].rpartition(".")[2])
    return _snake_case(layer["class_name"])


def _operand(layer: Any) -> float | None:
    """Return the number that an operation takes beside its input; None if it takes none."""
    match layer.get("inbound_nodes"):
        case [[_, _, _, {"y": int() | float() as number}]]:  # tf_keras
            return number
        case [{"args": [dict(), int() | float() as number]}]:  # Keras 3
            return number
    return None


def _names(config: Any) -> list[str]:
    """Return the names of all layers of a model, if there is one."""
    return [layer["config"]["name"] for layer in _walk(config)] if config else []


def _walk(config: Any) -> Iterator[Any]:
    for layer in config["config"].get("layers", ()):
        yield layer
        yield from _walk(layer)


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
