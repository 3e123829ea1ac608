from collections.abc import Callable
from types import TracebackType
from typing import Any

from _typeshed import FileDescriptorLike
from typing_extensions import Self

from pyevent._native.base.address import _Address
from pyevent._native.loop.attached import Attached
from pyevent._native.loop.eventbase import EventBase

class Listener(Attached):
    def __init__(
        self,
        base: EventBase,
        address: _Address | FileDescriptorLike,
        callback: Callable[[Self, int, Any, Any], object] | None = None,
        arg: object = None,
        *,
        flags: int | None = None,
        backlog: int = -1,
        unlink_stale: bool = False,
    ) -> None: ...
    @classmethod
    def new(
        cls,
        base: EventBase,
        callback: Callable[[Self, int, Any, Any], object] | None,
        arg: object,
        flags: int,
        backlog: int,
        fd: FileDescriptorLike,
    ) -> Self: ...
    @classmethod
    def new_bind(
        cls,
        base: EventBase,
        callback: Callable[[Self, int, Any, Any], object] | None,
        arg: object,
        flags: int,
        backlog: int,
        address: _Address,
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
    def on_accept(self, fd: int, address: Any) -> object: ...
    def set_cb(
        self, callback: Callable[[Self, int, Any, Any], object] | None, arg: object = None
    ) -> None: ...
    def set_error_cb(self, callback: Callable[[Self, OSError, Any], object] | None) -> None: ...
    def enable(self) -> None: ...
    def disable(self) -> None: ...
    def get_fd(self) -> int: ...
    @property
    def fd(self) -> int: ...
    def fileno(self) -> int: ...
    def get_base(self) -> EventBase: ...
    @property
    def base(self) -> EventBase: ...
    @property
    def address(self) -> Any: ...
