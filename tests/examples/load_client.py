"""Many simultaneous clients of a ROT13 server, on plain sockets and select.epoll.

    python load_client.py HOST PORT CONNECTIONS LINES VANISHING SEED

Connects all, prints "connected", and waits for a line on its input. Then each connection sends
LINES lines in random pieces, a piece of one and a piece of another, and checks that every byte
comes back in order. VANISHING of 100 connections do not go to the end: half of them vanish in the
middle with a RST, the rest end their sending side in the middle of a line and want their answers.
Prints one line of JSON: what became of how many, and what was wrong.
"""

import json
import random
import resource
import select
import socket
import sys

ROT13 = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    b"NOPQRSTUVWXYZABCDEFGHIJKLMnopqrstuvwxyzabcdefghijklm",
)
PATIENCE = 30.0  # seconds without anything happening
POOL = bytes(
    random.Random(0).choices(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ", k=4096)
)


class Connection:
    def __init__(self, address, lines, fate, rng):
        self.rng = rng
        self.fate = fate
        self.data = b"".join(self.line() for _ in range(lines))
        self.expected = self.data.translate(ROT13)
        if fate != "answered":
            self.data = self.data[: rng.randrange(len(self.data))]
            self.expected = self.expected[: self.data.rfind(b"\n") + 1]
        self.sent = self.received = 0
        self.sock = socket.create_connection(address, timeout=PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)

    def line(self):
        at = self.rng.randrange(len(POOL) - 1000)
        length = self.rng.choice((0, 10, 80, 80, 200, 1000))
        return POOL[at : at + self.rng.randint(0, length)] + b"\n"

    def send(self):
        """One piece. Whether there is more."""
        piece = self.rng.randint(1, 1000)
        self.sent += self.sock.send(self.data[self.sent : self.sent + piece])
        if self.sent < len(self.data):
            return True
        if self.fate == "ended":
            self.sock.shutdown(socket.SHUT_WR)
        return False

    def receive(self):
        """What has come. Whether more is to come."""
        got = self.sock.recv(65536)
        wanted = self.expected[self.received : self.received + len(got)]
        if got != wanted:
            raise ValueError(f"at {self.received}: {got[:80]!r}, not {wanted[:80]!r}")
        self.received += len(got)
        if self.received < len(self.expected):
            if not got:
                raise ValueError(f"it ends after {self.received} of {len(self.expected)} bytes")
            return True
        return self.fate == "ended" and bool(got)  # it must end by itself

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


class Crowd:
    def __init__(self, connections):
        self.poll = select.epoll()
        self.by_fd = {one.sock.fileno(): one for one in connections}
        self.result = {"answered": 0, "ended": 0, "reset": 0, "errors": []}
        for fd in self.by_fd:
            self.poll.register(fd, select.EPOLLIN | select.EPOLLOUT)

    def leave(self, one):
        del self.by_fd[one.sock.fileno()]
        one.sock.close()  # and so out of the poll

    def serve(self, fd, events):
        one = self.by_fd[fd]
        try:
            if events & select.EPOLLOUT and not one.send():
                if one.fate == "reset":
                    one.reset()
                    self.result["reset"] += 1
                    self.leave(one)
                    return
                self.poll.modify(fd, select.EPOLLIN)
            if events & ~select.EPOLLOUT and not one.receive():
                self.result[one.fate] += 1
                self.leave(one)
        except (OSError, ValueError) as error:
            self.result["errors"].append(f"{one.fate}: {error}")
            self.leave(one)

    def run(self):
        while self.by_fd:
            ready = self.poll.poll(PATIENCE)
            if not ready:
                self.result["errors"].append(f"{len(self.by_fd)} connections hang")
                break
            for fd, events in ready:
                self.serve(fd, events)
        return self.result


def main():
    host, *numbers = sys.argv[1:]
    port, count, lines, vanishing, seed = map(int, numbers)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rng = random.Random(seed)
    fates = ["reset", "ended"] * (count * vanishing // 200)
    fates += ["answered"] * (count - len(fates))
    rng.shuffle(fates)
    crowd = Crowd([Connection((host, port), lines, fate, rng) for fate in fates])
    print("connected", flush=True)
    sys.stdin.readline()
    print(json.dumps(crowd.run()), flush=True)


main()
