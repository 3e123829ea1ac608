from typing import NamedTuple

class BufferChange(NamedTuple):
    orig_size: int
    n_added: int
    n_deleted: int
