"""Beside csrc/buf: buffers, their views, files and callbacks."""
