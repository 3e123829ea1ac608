from collections.abc import Callable
from types import TracebackType
from typing import Any

from typing_extensions import Self

from pyevent._native.loop.attached import Attached
from pyevent._native.loop.eventbase import EventBase

def prepare_get_timeout(info: float | None) -> float | None: ...

class Watcher(Attached):
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
    def get_base(self) -> EventBase: ...
    @property
    def base(self) -> EventBase: ...

class PrepareWatcher(Watcher):
    def __init__(
        self,
        base: EventBase,
        callback: Callable[[Any, float | None, Any], object],
        arg: object = None,
    ) -> None: ...

class CheckWatcher(Watcher):
    def __init__(
        self, base: EventBase, callback: Callable[[Any, None, Any], object], arg: object = None
    ) -> None: ...
