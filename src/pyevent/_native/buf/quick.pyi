"""Puts faster functions in front of Buffer.readln and Buffer.add; has no names of its own."""
