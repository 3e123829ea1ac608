"""Many simultaneous clients of an echo server, some of them faulty, on plain sockets.

    python echo_clients.py HOST PORT CONNECTIONS SEED

Connects all, prints "connected", and waits for a line on its input. Then every connection sends
its bytes in random pieces and looks whether the same bytes come back. Of 100 connections

    60  send all, get all back, and close
    14  the same, but end their sending side and wait until the server ends its own
    14  send and receive one byte at a time
    10  vanish in the middle with a RST
     2  never read: they send as much as is taken, and close after all others

What comes back is compared by its length and its CRC-32. Prints one line of JSON: how many of each
kind got what they should, how many bytes came back, and what was wrong.
"""

import json
import random
import resource
import select
import socket
import sys
import zlib

PATIENCE = 60.0  # seconds without anything happening
POOL = random.Random(0).randbytes(1 << 20)
FATES = ["whole"] * 60 + ["half"] * 14 + ["trickle"] * 14 + ["reset"] * 10 + ["mute"] * 2
MUTE_MAX = 200_000  # bytes that one sends who never reads


class Connection:
    def __init__(self, address, source, fate, rng):
        self.fate = fate
        self.rng = rng
        size = rng.randint(1, 200 if fate == "trickle" else 40_000)
        if fate == "mute":
            size = MUTE_MAX
        at = rng.randrange(len(POOL) - size)
        self.data = memoryview(POOL)[at : at + size]
        self.stop_at = rng.randrange(size) if fate == "reset" else size
        self.sent = self.received = self.crc = 0
        self.sock = socket.socket()
        if fate == "mute":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.settimeout(PATIENCE)
        self.sock.bind((source, 0))
        self.sock.connect(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)

    def send(self):
        """One piece. Whether there is more to send."""
        piece = 1 if self.fate == "trickle" else self.rng.randint(1, 5000)
        self.sent += self.sock.send(self.data[self.sent : min(self.sent + piece, self.stop_at)])
        if self.sent < self.stop_at:
            return True
        if self.fate == "half":
            self.sock.shutdown(socket.SHUT_WR)
        return False

    def receive(self):
        """What has come. Whether more is to come."""
        got = self.sock.recv(1 if self.fate == "trickle" else 65536)
        self.received += len(got)
        self.crc = zlib.crc32(got, self.crc)
        if not got and (self.fate != "half" or self.received < len(self.data)):
            raise ValueError(f"it ends after {self.received} of {len(self.data)} bytes")
        if self.received > self.sent:
            raise ValueError(f"{self.received} bytes came back of {self.sent} sent")
        if self.fate == "half":
            return bool(got)
        return self.received < len(self.data)

    def check(self):
        """Raise unless all that has come back is the beginning of what was sent."""
        if self.crc != zlib.crc32(self.data[: self.received]):
            raise ValueError(f"another sum than that of the first {self.received} bytes")

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


class Crowd:
    def __init__(self, connections):
        self.poll = select.epoll()
        self.by_fd = {one.sock.fileno(): one for one in connections}
        self.mute = sum(one.fate == "mute" for one in connections)
        self.result = dict.fromkeys(("whole", "half", "trickle", "reset", "mute", "bytes"), 0)
        self.errors = []
        for fd, one in self.by_fd.items():
            events = select.EPOLLOUT if one.fate == "mute" else select.EPOLLIN | select.EPOLLOUT
            self.poll.register(fd, events)

    def leave(self, one):
        del self.by_fd[one.sock.fileno()]
        one.check()
        one.sock.close()  # and so out of the poll
        self.result[one.fate] += 1
        self.result["bytes"] += one.received

    def step(self, fd, one, events):
        if events & select.EPOLLOUT and not one.send():
            if one.fate == "reset":
                one.reset()
                self.leave(one)
                return
            self.poll.modify(fd, 0 if one.fate == "mute" else select.EPOLLIN)
        if events & ~select.EPOLLOUT and one.fate != "mute" and not one.receive():
            self.leave(one)

    def run(self):
        while len(self.by_fd) > self.mute:
            ready = self.poll.poll(PATIENCE)
            if not ready:
                self.errors.append(f"{len(self.by_fd) - self.mute} connections hang")
                break
            for fd, events in ready:
                one = self.by_fd[fd]
                try:
                    self.step(fd, one, events)
                except (OSError, ValueError) as error:
                    self.errors.append(f"{one.fate}: {error}")
                    self.by_fd.pop(fd, None)
                    self.mute -= one.fate == "mute"
                    one.sock.close()
        for one in list(self.by_fd.values()):
            if one.fate == "mute" and one.received == 0:
                self.leave(one)
        return {**self.result, "errors": self.errors}


def main():
    host, *numbers = sys.argv[1:]
    port, count, seed = map(int, numbers)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rng = random.Random(seed)
    fates = (FATES * (count // len(FATES) + 1))[:count]
    rng.shuffle(fates)
    source = f"127.{1 + seed // 256 % 250}.{seed % 256}.1"  # ports of its own: none is used twice
    crowd = Crowd([Connection((host, port), source, fate, rng) for fate in fates])
    print("connected", flush=True)
    sys.stdin.readline()
    print(json.dumps(crowd.run()), flush=True)


main()
