"""The table that all the Python servers translate with."""

import string

LETTERS = string.ascii_lowercase + string.ascii_uppercase
TURNED = "".join(
    alphabet[13:] + alphabet[:13] for alphabet in (string.ascii_lowercase, string.ascii_uppercase)
)
TABLE = bytes.maketrans(LETTERS.encode(), TURNED.encode())
