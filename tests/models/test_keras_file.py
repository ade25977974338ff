"""Weights that Keras wrote: read by name, folded to our input scale, downloaded and cached."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mobilenet_tf.api.models import create_model
from mobilenet_tf.errors import MtfError, UsageError
from mobilenet_tf.keras import keras
from mobilenet_tf.models import published
from mobilenet_tf.models.catalog import MODELS, model_table
from mobilenet_tf.models.keras_builder import build_variant
from mobilenet_tf.models.keras_file import KERAS_SCALE, OWN_SCALE, read_keras_file
from mobilenet_tf.models.published import PublishedFile
from mobilenet_tf.models.variant import make_variant
from mobilenet_tf.models.weights import load_features, weight_variables
from mobilenet_tf.recipe import Options

SMALL: dict[str, Any] = {
    "alpha": 0.25,
    "resolution_px": 32,
    "classes": 4,
    "stride_plan": "imagenet",
    "options": Options(block_count=1),
}
HEAD = ("conv_preds/kernel", "conv_preds/bias")


def write_h5(path: Path, weights: dict[str, Any], model_config: Any = None) -> Path:
    """Write weights by name as Keras writes a `.h5` file."""
    with h5py.File(path, "w") as file:
        layers = list(dict.fromkeys(name.rpartition("/")[0] for name in weights))
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer in layers:
            names = [name for name in weights if name.rpartition("/")[0] == layer]
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{name}:0".encode() for name in names]
            for name in names:
                group[f"{name}:0"] = weights[name]
        if model_config:
            file.attrs["model_config"] = json.dumps(model_config)
    return path


def named(kind: str, name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **config}}


def op(kind: str, number: Any, function: str | None = None) -> dict[str, Any]:
    """Return an operation with a number: of tf_keras with `function`, else of Keras 3."""
    nodes: list[Any] = [{"args": [{"class_name": "__keras_tensor__"}, number], "kwargs": {}}]
    if function:
        nodes = [["before", 0, 0, {"y": number, "name": None}]]
    return named(kind, "o", function=function) | {"inbound_nodes": nodes}


@pytest.fixture(scope="module")
def small() -> Any:
    """Return a network whose every weight matters."""
    model = build_variant(make_variant("mobilenet_v1", **SMALL), seed=1)
    random = np.random.default_rng(1)
    for name, variable in weight_variables(model).items():
        if not name.endswith("kernel"):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
    return model


def values(model: Any) -> dict[str, Any]:
    return {name: variable.numpy() for name, variable in weight_variables(model).items()}


def test_slashes_case_and_versions_of_keras_do_not_count(tmp_path: Path) -> None:
    ones = np.ones(3, np.float32)
    written = {"Conv/BatchNorm/gamma": ones, "block_1_BN/beta": ones, "a/depthwise_kernel": ones}
    read = read_keras_file(write_h5(tmp_path / "a.h5", written))
    assert list(read.tensors) == ["conv_bn/gamma", "block_1_bn/beta", "a/kernel"]
    assert read.scale == KERAS_SCALE


def test_a_keras_archive_names_its_layers_by_its_configuration(tmp_path: Path) -> None:
    inner = {"class_name": "Functional", "config": {"name": "base", "layers": []}}
    inner["config"]["layers"] = [named("Conv2D", "first"), named("BatchNormalization", "norm")]
    layers = [named("Rescaling", "r", scale=0.5, offset=-1), inner, named("Conv2D", "last")]
    path, weights = tmp_path / "a.keras", tmp_path / "model.weights.h5"
    with h5py.File(weights, "w") as file:
        below = "layers/functional/layers"
        for place in (f"{below}/conv2d", f"{below}/batch_normalization", "layers/conv2d"):
            file[f"{place}/vars/0"] = np.full(2, len(place), np.float32)
        file["optimizer/vars/0"] = 1
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(weights, "model.weights.h5")
        archive.writestr("config.json", json.dumps({"config": {"layers": layers}}))
    read = read_keras_file(path)
    assert set(read.tensors) == {"first/kernel", "norm/gamma", "last/kernel"}
    assert read.tensors["last/kernel"][0] == len("layers/conv2d")
    assert read.scale == (0.5, -1)
    with pytest.raises(MtfError, match=r"does not name the layers"):
        read_keras_file(weights)


@pytest.mark.parametrize("content", [None, b"", b"text", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"])
def test_what_is_no_file_of_keras_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(MtfError, match=r"a\.h5"):
        read_keras_file(tmp_path / "a.h5")


def test_our_own_models_keep_their_scale(small: Any, tmp_path: Path) -> None:
    config = {"config": {"layers": [named("InputLayer", "image")]}}
    path = write_h5(tmp_path / "own.h5", values(small), config)
    assert read_keras_file(path).scale == OWN_SCALE
    model = build_variant(make_variant("mobilenet_v1", **SMALL))
    assert load_features(model, path) == ()
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, values(small)[name], err_msg=name)


@pytest.mark.parametrize("scale", [KERAS_SCALE, (1 / 255, 0.0)])
def test_the_input_scale_is_folded_exactly(
    small: Any, tmp_path: Path, scale: tuple[float, float]
) -> None:
    layers = [named("Rescaling", "rescaling", scale=scale[0], offset=scale[1])]
    path = write_h5(tmp_path / "theirs.h5", values(small), {"config": {"layers": layers}})
    model = build_variant(make_variant("mobilenet_v1", **SMALL))
    load_features(model, path)
    byte = np.random.default_rng(2).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)

    def first(network: Any, image: Any) -> Any:
        layer = network.get_layer("conv1_bn")
        return keras.Model(network.input, layer.output)(image).numpy()[:, :-1, :-1]

    theirs = first(small, byte * scale[0] + scale[1])
    np.testing.assert_allclose(first(model, (byte - 128) / 128), theirs, atol=2e-5)


@pytest.mark.parametrize(
    ("before", "scale"),
    [
        ([named("Rescaling", "r", scale=2.0, offset=-1), named("RandomFlip", "f")], (2.0, -1.0)),
        (
            [op("TFOpLambda", 4.0, "math.truediv"), op("TFOpLambda", 1.0, "math.subtract")],
            (0.25, -1),
        ),
        ([op("TrueDivide", 4.0), op("Add", 3)], (0.25, 3)),
        ([op("Subtract", 3), op("Multiply", 0.5)], (0.5, -1.5)),
        ([named("Rescaling", "r", scale=[1, 2, 3], offset=0)], "r (Rescaling)"),
        ([named("Normalization", "n")], "n (Normalization)"),
        ([named("Lambda", "l")], "l (Lambda)"),
        ([op("TFOpLambda", [1, 2, 3], "math.subtract")], "o (TFOpLambda)"),
    ],
)
def test_what_comes_before_the_first_convolution_is_its_scale_or_is_refused(
    tmp_path: Path, before: list[dict[str, Any]], scale: Any
) -> None:
    layers = [named("InputLayer", "i"), *before, named("Conv2D", "c"), named("Lambda", "after")]
    path = write_h5(tmp_path / "a.h5", {"c/kernel": np.ones(3)}, {"config": {"layers": layers}})
    if isinstance(scale, str):
        with pytest.raises(MtfError, match=re.escape(scale)):
            read_keras_file(path)
    else:
        assert read_keras_file(path).scale == scale


def test_the_head_is_loaded_where_it_fits_and_others_are_left(small: Any, tmp_path: Path) -> None:
    weights = values(small)
    path = write_h5(tmp_path / "theirs.h5", weights)
    other = build_variant(make_variant("mobilenet_v1", **{**SMALL, "classes": 5}))
    assert load_features(other, path) == HEAD
    assert (
        load_features(build_variant(make_variant("mobilenet_v1", **SMALL)), path, dataset="flowers")
        == HEAD
    )
    theirs = {name: value for name, value in weights.items() if name not in HEAD}
    headless = write_h5(tmp_path / "no_top.h5", {**theirs, "dense/kernel": np.ones((3, 3))})
    hidden = build_variant(
        make_variant("mobilenet_v1", **{**SMALL, "options": Options(block_count=1, head_units=8)})
    )
    assert load_features(hidden, headless) == ("head/kernel", "head/bias", *HEAD)
    np.testing.assert_array_equal(values(hidden)["conv_pw_1/kernel"], weights["conv_pw_1/kernel"])


def test_older_names_are_paired_in_order_of_kinds_and_shapes(small: Any, tmp_path: Path) -> None:
    weights = values(small)
    old = {f"mobl_{name.replace('conv_', 'c')}": value for name, value in weights.items()}
    model = build_variant(make_variant("mobilenet_v1", **{**SMALL, "classes": 7}))
    assert load_features(model, write_h5(tmp_path / "old.h5", old)) == HEAD
    for name in ("conv_dw_1/depthwise_kernel", "conv_pw_1_bn/moving_variance"):
        np.testing.assert_array_equal(values(model)[name], weights[name])
    before = values(model)
    first, *rest = old
    swapped = write_h5(tmp_path / "swapped.h5", {name: old[name] for name in (*rest, first)})
    with pytest.raises(MtfError, match="it belongs to another model"):
        load_features(model, swapped)
    np.testing.assert_array_equal(values(model)["conv1/kernel"], before["conv1/kernel"])


def test_another_alpha_is_named(small: Any, tmp_path: Path) -> None:
    path = write_h5(tmp_path / "theirs.h5", values(small))
    with pytest.raises(MtfError, match=r"another width \(alpha\)"):
        load_features(build_variant(make_variant("mobilenet_v1", **{**SMALL, "alpha": 0.5})), path)


def test_every_published_network_has_its_files() -> None:
    tables = [table for table in MODELS.values() if published.is_published(table)]
    assert len(tables) == 6
    for table in tables:
        for alpha in table.published_alphas:
            files = published.list_published(table, alpha, top=False)
            (with_top,) = published.list_published(table, alpha, top=True)
            assert {"no_top" in file.name for file in files} == {False, True}
            assert with_top in files
            assert all(file.url.startswith("https://") for file in files)
    (first, _) = published.list_published(model_table("mobilenet_v1"), 0.25, top=False)
    assert first.name == "mobilenet_2_5_224_tf_no_top.h5"
    assert published.describe(Path("cache") / first.name) == first.url


@pytest.mark.parametrize(
    ("name", "alpha", "said"),
    [
        ("mobilenet_v1", 0.3, "0.25, 0.5, 0.75, 1"),
        ("mobilenet_v2", 0.25, "0.35, 0.5"),
        ("mobilenet_v4_conv_small", 1.0, "mobilenet_v1, mobilenet_v2"),
    ],
)
def test_unpublished_weights_are_refused_with_those_there_are(
    name: str, alpha: float, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        create_model(name, alpha=alpha, weights="imagenet")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache of Keras."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "keras" / "models"


@contextlib.contextmanager
def serving(contents: dict[str, bytes], cut: int = 0) -> Iterator[str]:
    """Serve files by the end of their address; `cut` bytes fewer than announced."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            content = contents.get(self.path.rpartition("/")[2])
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write((content or b"")[: len(content or b"") - cut])

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_download_is_cached_where_keras_looks(
    small: Any, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = write_h5(tmp_path / "theirs.h5", values(small)).read_bytes()
    name = "mobilenet_2_5_224_tf_no_top.h5"
    with serving({name: content}) as address:
        monkeypatch.setattr(published, "SERVER", address)
        file = published.provide(model_table("mobilenet_v1"), 0.25)
    assert (file, file.read_bytes()) == (cache / name, content)
    assert published.provide(model_table("mobilenet_v1"), 0.25) == file  # the server is gone
    home = tmp_path / "home" / ".keras" / "models"
    home.parent.mkdir(parents=True)
    cache.rename(home)
    assert published.provide(model_table("mobilenet_v1"), 0.25) == home / name


@pytest.mark.parametrize("how", ["cut", "html", "md5", "missing", "offline"])
def test_a_failed_download_leaves_nothing_and_says_what_to_do(
    how: str, small: Any, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = write_h5(tmp_path / "theirs.h5", values(small)).read_bytes()
    served = {"a.h5": b"<html>" if how == "html" else content} if how != "missing" else {}
    with serving(served, cut=10 if how == "cut" else 0) as address:
        monkeypatch.setattr(published, "SERVER", address)
        file = PublishedFile("v1", "a.h5", hashlib.md5(b"").hexdigest() if how == "md5" else None)  # noqa: S324
        if how != "offline":
            with pytest.raises(MtfError, match=r"/v1/a\.h5.*--weights FILE"):
                published.download(file)
    if how == "offline":
        with pytest.raises(MtfError, match=r"/v1/a\.h5.*refused.*--weights FILE"):
            published.download(file)
    assert not cache.is_dir() or list(cache.iterdir()) == []


def test_a_cached_file_is_checked_where_its_sum_is_known(cache: Path) -> None:
    table = model_table("mobilenet_v3_small")
    cache.mkdir(parents=True)
    for file in published.list_published(table, 1.0, top=True):
        (cache / file.name).write_bytes(b"half")
    with pytest.raises(MtfError, match="remove it to download it again"):
        published.provide(table, 1.0)
    with pytest.raises(MtfError, match="not cached here"):
        published.provide(table, 0.75, fetch=False)
