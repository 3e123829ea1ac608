"""Fetch a page the plain way: every call waits until it is done.

    python examples/blocking_client.py [--path /] HOST [PORT]

Nothing is wrong with this for a program that has one thing to do. Each call below says how
long it may keep the program; while it does, nothing else can happen here.
"""

import argparse
import socket
import sys

SECONDS = 30  # for each call that waits; without a limit a silent peer would keep us for ever


def fetch(host: str, port: int, path: str) -> bytes:
    # Waits for the name server, then for the peer to accept; all addresses are tried.
    with socket.create_connection((host, port), timeout=SECONDS) as sock:
        query = f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode("ascii")
        sock.sendall(query)  # waits until the kernel has taken all of it
        parts = []
        while part := sock.recv(65536):  # waits for the next piece; b"" is the end
            parts.append(part)
        return b"".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description="Fetch a page over HTTP/1.0.")
    parser.add_argument("--path", default="/")
    parser.add_argument("host")
    parser.add_argument("port", type=int, nargs="?", default=80)
    options = parser.parse_args()
    try:
        answer = fetch(options.host, options.port, options.path)
    except OSError as error:
        sys.exit(f"{options.host}:{options.port}: {error}")
    sys.stdout.buffer.write(answer)


if __name__ == "__main__":
    main()
