"""Beside csrc/base: errors, arguments, addresses, the log, utilities."""
