"""What the READMEs show is run as it stands, with a client, on a free port."""

import os
import re
import shlex
import shutil
import signal
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
            client.sendall(b"bye\n")
            client.shutdown(socket.SHUT_WR)
            assert lines.read() == b"BYE\n"
        assert server.poll() is None
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("name", [*FILES, "docs/README.md", "examples/README.md"])
def test_links_lead_somewhere(name):
    path = ROOT / name
    for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
        assert "://" in target or (path.parent / target).exists(), target


@pytest.mark.parametrize("name", FILES)
def test_the_gcc_command_makes_a_server_of_a_program_for_libevent(name, tmp_path):
    if not (ROOT / "build/lib/libpyevent.a").exists():
        pytest.skip("build/lib/libpyevent.a is not there: make lib builds it")
    (command,) = re.findall(r"^    (gcc .*)$", (ROOT / name).read_text(encoding="utf-8"), re.M)
    replaced = {
        "server.c": ROOT / "tests/c/programs/rot13_bufferevent.c",
        "server": tmp_path / "server",
    }
    words = [str(replaced.get(word, word)) for word in shlex.split(command)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    with subprocess.Popen([tmp_path / "server"], stdout=subprocess.PIPE, text=True) as server:
        port = int(server.stdout.readline().rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"Hello, World!\n")
            assert client.recv(100) == b"Uryyb, Jbeyq!\n"
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0


def clean_env():
    """Without what a make around this run tells its own children."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}


def make_variables():
    """What makes `make` take the Python that runs the tests, if make has built for it."""
    venv = Path(sys.prefix)
    if venv.parent != ROOT or not (venv / ".built").exists():
        pytest.skip("these tests do not run in an environment that make has built")
    variables = [] if venv.name == ".venv" else [f"PYTHON={sys._base_executable}"]
    command = ["make", "--dry-run", "build", *variables]
    planned = subprocess.run(command, cwd=ROOT, env=clean_env(), capture_output=True, text=True)
    if " -m venv " in planned.stdout:
        pytest.skip("python3 is another one now: make would replace the environment")
    return variables


def ask(port, line):
    """The answer of netcat-openbsd, as the READMEs call it; of a socket where there is none."""
    netcat = shutil.which("nc")
    if (
        netcat
        and "OpenBSD" in subprocess.run([netcat, "-h"], capture_output=True, text=True).stderr
    ):
        command = [netcat, "-q1", "127.0.0.1", str(port)]
        return subprocess.run(command, input=line, capture_output=True, timeout=30).stdout
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(line)
        client.shutdown(socket.SHUT_WR)
        return client.makefile("rb").read()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_run_serves_rot13_until_a_signal():
    """SIGTERM to the server alone: make reports its status, which is 0."""
    port = free_port()
    command = ["make", "run", f"PORT={port}", *make_variables()]
    run = subprocess.Popen(
        command,
        cwd=ROOT,
        env=clean_env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        connect(port, run).close()
        assert ask(port, b"Hello, World!\n") == b"Uryyb, Jbeyq!\n"
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        out, err = run.communicate(timeout=30)
        assert run.returncode == 0, err
        assert out.splitlines()[-1] == f"listening on 127.0.0.1:{port}"
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()


def test_the_port_of_make_run_is_the_readmes():
    (port,) = re.findall(r"^PORT \?= (\d+)$", (ROOT / "Makefile").read_text(), re.M)
    for name in FILES:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert f"127.0.0.1:{port}" in text
        assert f"nc -q1 127.0.0.1 {port}" in text
