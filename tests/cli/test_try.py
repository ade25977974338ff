"""`mtf try`: what it serves, and how it ends."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from mobilenet_tf.app import litertjs, server
from mobilenet_tf.cli.main import run_command


class Interrupted:
    """A server that Ctrl-C ends at once."""

    server_port = 1

    def __enter__(self) -> Interrupted:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        pass

    def serve_forever(self) -> None:
        raise KeyboardInterrupt


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, bytes]]:
    """Return what is served, without LiteRT.js and a server."""
    given: list[dict[str, bytes]] = []

    def make_server(files: dict[str, bytes], _port: int) -> Any:
        given.append(files)
        return Interrupted()

    monkeypatch.setattr(litertjs, "load", dict)
    monkeypatch.setattr(server, "make_server", make_server)
    return given


def test_a_file_has_no_examples(served: list[dict[str, bytes]]) -> None:
    assert run_command(["try", "cifar10_v1_028_r32_b8", "--no-browser"]) == 0
    assert json.loads(served[0]["model.json"])["examples"] == []
    assert b"unregister" in served[0]["sw.js"]


@pytest.mark.slow
def test_a_run_has_validation_images_to_click_on(
    served: list[dict[str, bytes]], finished_run: Path
) -> None:
    assert run_command(["try", str(finished_run), "--no-browser"]) == 0
    examples = json.loads(served[0]["model.json"])["examples"]
    assert len(examples) == 12
    classes = json.loads(served[0]["model.json"])["classes"]
    for example in examples:
        assert served[0][example["file"]].startswith(b"\x89PNG")
        assert {example["label"], example["predicted"]} <= set(classes)


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8000", 200), ("localhost", 200), ("127.0.0.1", 200), ("elsewhere.org:8000", 404)],
)
def test_only_this_machine_is_answered_on_port_80_too(host: str, status: int) -> None:
    with server.make_server({"index.html": b"here"}, 0) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        connection = http.client.HTTPConnection("127.0.0.1", serving.server_port, timeout=10)
        connection.request("GET", "/", headers={"Host": host})
        assert connection.getresponse().status == status
        connection.close()
        serving.shutdown()


def test_a_port_in_use_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(litertjs, "load", dict)
            command = ["try", "cifar10_v1_028_r32_b8", "--no-browser", "--port", str(port)]
            assert run_command(command) == 1
    assert f"port {port}" in capsys.readouterr().err
