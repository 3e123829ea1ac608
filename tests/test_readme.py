"""What the READMEs show is run as it stands, with a client, on a free port."""

import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = ["README.md", "README.zh-CN.md"]
if not all((ROOT / name).exists() for name in FILES):
    pytest.skip("not in a source tree", allow_module_level=True)
BLOCKS = [
    pytest.param(block, id=f"{name}-{number}")
    for name in FILES
    for number, block in enumerate(
        re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S)
    )
]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def connect(port, server, seconds=20):
    """A connection to the server once it listens, unless it ends before."""
    give_up_at = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10)
        except ConnectionRefusedError:
            assert server.poll() is None, server.communicate()[1]
            assert time.monotonic() < give_up_at, "the server does not listen"
            time.sleep(0.01)


@pytest.mark.parametrize("block", BLOCKS)
def test_example_answers_line_by_line(block):
    port = free_port()
    assert "5000" in block
    server = subprocess.Popen(
        [sys.executable, "-c", block.replace("5000", str(port))],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with connect(port, server) as client, client.makefile("rb") as lines:
            client.sendall(b"Hello\r\nwor")
            assert lines.readline() == b"HELLO\n"
            client.sendall(b"ld\n")
            assert lines.readline() == b"WORLD\n"
        assert server.poll() is None
    finally:
        server.kill()
        server.communicate()
