"""Fetch a page the plain way: every call waits until it is done.

    python examples/blocking_client.py [--path /] HOST [PORT]

Prints what the server answers, head and all. Nothing is wrong with this for a program that
has one thing to do. Each call below waits for somebody else; while it does, nothing else can
happen here: a second page would come after the first, and ten take ten times as long.
"""

import argparse
import socket
import sys
from urllib.parse import quote

SECONDS = 30  # for each call that waits; without a limit a silent peer would keep us for ever
SAFE = "/?&=%+,:;@!$'()*~"  # in a path; what else is not a letter or digit is written as %XX


def fetch(host: str, port: int, path: str) -> bytes:
    # Waits for the name server, then for the peer to accept; all addresses are tried.
    with socket.create_connection((host, port), timeout=SECONDS) as sock:
        name = f"[{host}]" if ":" in host else host
        query = f"GET {quote(path, safe=SAFE)} HTTP/1.0\r\nHost: {name}:{port}\r\n\r\n"
        sock.sendall(query.encode())  # waits until the kernel has taken all of it
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
    except (OSError, UnicodeError) as error:  # the latter for a name that cannot be one
        sys.exit(f"{options.host}:{options.port}: {error}")
    sys.stdout.buffer.write(answer)


if __name__ == "__main__":
    main()
