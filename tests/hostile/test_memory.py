"""Memory has a bound that is known before: of one huge image, and of a data set."""

from __future__ import annotations

import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from mobilenet_tf.data import sources
from mobilenet_tf.data.catalog import dataset_info
from mobilenet_tf.errors import MtfError
from mobilenet_tf.system.child import python_command

pytestmark = pytest.mark.slow
SIDE = 13_000
MOST_BYTES = 1_600_000_000


def write_huge(path: Path, depth: int, kind: int, row_bytes: int) -> None:
    """Write a PNG of 169 million pixels that takes a few hundred kilobytes on disk."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    packer = zlib.compressobj(1)
    rows = [packer.compress(bytes(1 + row_bytes)) for _ in range(SIDE)]
    header = struct.pack(">IIBBBBB", SIDE, SIDE, depth, kind, 0, 0, 0)
    body = b"".join(rows) + packer.flush()
    content = chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc/self/status")
@pytest.mark.parametrize(
    ("depth", "kind", "pixel_bytes"),
    [(16, 0, 2), (8, 6, 4), (8, 4, 2)],
    ids=["grey16", "rgba", "grey-alpha"],
)
def test_a_huge_image_takes_a_bounded_amount(
    depth: int, kind: int, pixel_bytes: int, tmp_path: Path
) -> None:
    write_huge(tmp_path / "huge.png", depth, kind, SIDE * pixel_bytes)
    code = (
        "from pathlib import Path;"
        "from mobilenet_tf.data.image import load_image;"
        "print(load_image(Path('huge.png'), 32, 32).shape);"
        "status = Path('/proc/self/status').read_text();"  # ru_maxrss would be that of pytest too
        "print(int(status.partition('VmHWM:')[2].split()[0]) * 1024)"
    )
    done = subprocess.run(
        python_command(code), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    shape, peak_bytes = done.stdout.splitlines()
    assert shape == "(32, 32, 3)"
    assert int(peak_bytes) < MOST_BYTES


@pytest.mark.parametrize("times", [1, 10, 50])
def test_images_that_do_not_fit_are_refused_before_they_are_read(
    times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, count = dataset_info("cifar10"), 50_000 * times
    needed = 3 * count * 32 * 32 * 3
    monkeypatch.setattr(sources, "memory_bytes", lambda: (needed, needed))
    sources._check_memory(info, count)
    monkeypatch.setattr(sources, "memory_bytes", lambda: (needed - 1, needed))
    with pytest.raises(MtfError, match="mtf run tfds:cifar10"):
        sources._check_memory(info, count)
