"""Beside csrc/loop: event bases, events, watchers."""
