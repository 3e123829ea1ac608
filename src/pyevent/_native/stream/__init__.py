"""Beside csrc/stream: buffered connections, listeners, datagrams, rate limits."""
