from collections.abc import Callable
from typing import Any, SupportsIndex

from pyevent._native.buf.buffer import Buffer
from pyevent._native.stream.bufferevent import BufferEvent
from pyevent.constants import FlushMode

_FilterFunction = Callable[[Buffer, Buffer, int, FlushMode, Any], int]

class Filter(BufferEvent):
    def __init__(
        self,
        underlying: BufferEvent,
        input_filter: _FilterFunction | None = None,
        output_filter: _FilterFunction | None = None,
        options: int = 0,
        arg: object = None,
        *,
        max_input: SupportsIndex | None = ...,
        max_output: SupportsIndex | None = ...,
        resume_output: SupportsIndex | None = ...,
    ) -> None: ...
    def get_filters(self) -> tuple[_FilterFunction | None, _FilterFunction | None, Any]: ...
