"""An echo server that holds no more than it must; tests/examples/serve.py runs it."""

from pyevent import (
    BEV_EVENT_EOF,
    BEV_OPT_CLOSE_ON_FREE,
    EV_READ,
    BufferEvent,
    Listener,
)

OUTPUT_MAX = 65536  # bytes that may wait for a client before it may not send more
SNDBUF = 16384  # bytes that the kernel takes from us for a client that reads nothing


class Connection(BufferEvent):
    """One client. Its base holds it until it is closed."""

    def on_read(self):
        self.write_buffer(self.input)  # no byte is copied

    def pause(self, arg):
        self.disable(EV_READ)

    def on_write(self):
        self.enable(EV_READ)

    def on_event(self, what):
        if what & BEV_EVENT_EOF:
            self.close_after_flush()
        else:
            self.close()


class Server(Listener):
    """Accepts connections."""

    def on_accept(self, fd, address):
        connection = Connection(self.base, fd, BEV_OPT_CLOSE_ON_FREE)
        connection.set_output_high(OUTPUT_MAX, Connection.pause)
        if address[0] != "127.0.0.1":  # the crowd, not who asks a single question
            connection.set_option("SO_SNDBUF", SNDBUF)
        connection.enable(EV_READ)
