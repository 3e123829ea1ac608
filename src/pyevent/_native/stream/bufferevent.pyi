from collections.abc import Callable, Iterable
from os import PathLike
from types import TracebackType
from typing import Any, ClassVar, SupportsFloat, SupportsIndex

from _typeshed import FileDescriptorLike, ReadableBuffer
from typing_extensions import Self

from pyevent._native.buf.buffer import Buffer
from pyevent._native.loop.eventbase import EventBase
from pyevent._native.stream.filter import Filter, _FilterFunction
from pyevent._native.stream.settings import Settings
from pyevent.constants import BevEvent

class BufferEvent(Settings):
    max_input: ClassVar[int | None]
    max_output: ClassVar[int | None]
    resume_output: ClassVar[int | None]
    max_lookups: ClassVar[int | None]
    def __init__(
        self,
        base: EventBase,
        fd: FileDescriptorLike | None = -1,
        options: int = 1,
        *,
        max_input: SupportsIndex | None = ...,
        max_output: SupportsIndex | None = ...,
        resume_output: SupportsIndex | None = ...,
        max_lookups: SupportsIndex | None = ...,
    ) -> None: ...
    @classmethod
    def socket_new(
        cls, base: EventBase, fd: FileDescriptorLike | None = -1, options: int = 0
    ) -> Self: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def close(self) -> None: ...
    def free(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    def setcb(
        self,
        readcb: Callable[[Self, Any], object] | None = None,
        writecb: Callable[[Self, Any], object] | None = None,
        eventcb: Callable[[Self, BevEvent, Any], object] | None = None,
        arg: object = None,
    ) -> None: ...
    def getcb(
        self,
    ) -> tuple[
        Callable[[Self, Any], object] | None,
        Callable[[Self, Any], object] | None,
        Callable[[Self, BevEvent, Any], object] | None,
        Any,
    ]: ...
    def on_read(self) -> object: ...
    def on_write(self) -> object: ...
    def on_event(self, what: BevEvent) -> object: ...
    def write(self, data: ReadableBuffer) -> None: ...
    def writelines(self, parts: Iterable[ReadableBuffer]) -> None: ...
    def sendfile(
        self,
        file: str | bytes | PathLike[Any] | FileDescriptorLike,
        offset: SupportsIndex = 0,
        length: SupportsIndex | None = None,
    ) -> None: ...
    def write_buffer(self, buf: Buffer) -> None: ...
    def read(self, size: SupportsIndex) -> bytes: ...
    def read_buffer(self, buf: Buffer) -> None: ...
    def close_after_flush(self, timeout: SupportsFloat = 60.0) -> None: ...
    def shutdown_write(self) -> None: ...
    def set_output_high(
        self, mark: int, callback: Callable[[Self, Any], object] | None
    ) -> None: ...
    def enable(self, events: int) -> None: ...
    def disable(self, events: int) -> None: ...
    def flush(self, iotype: int, mode: int = 0) -> int: ...
    def trigger(self, iotype: int, options: int = 0) -> None: ...
    def trigger_event(self, what: int, options: int = 0) -> None: ...
    @classmethod
    def pair(
        cls,
        base: EventBase,
        options: int = 0,
        *,
        max_input: SupportsIndex | None = ...,
        max_output: SupportsIndex | None = ...,
        resume_output: SupportsIndex | None = ...,
    ) -> tuple[Self, Self]: ...
    @classmethod
    def pair_new(cls, base: EventBase, options: int = 0) -> tuple[Self, Self]: ...
    def pair_get_partner(self) -> Self | None: ...
    def get_partner(self) -> Self | None: ...
    def filter(
        self,
        input_filter: _FilterFunction | None = None,
        output_filter: _FilterFunction | None = None,
        options: int = 0,
        arg: object = None,
        *,
        max_input: SupportsIndex | None = ...,
        max_output: SupportsIndex | None = ...,
        resume_output: SupportsIndex | None = ...,
    ) -> Filter: ...
    def filter_new(
        self,
        input_filter: _FilterFunction | None = None,
        output_filter: _FilterFunction | None = None,
        options: int = 0,
        arg: object = None,
    ) -> Filter: ...
    def get_underlying(self) -> BufferEvent | None: ...
