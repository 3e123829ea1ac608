from os import PathLike
from types import TracebackType
from typing import SupportsIndex

from _typeshed import FileDescriptorLike
from typing_extensions import Self

class FileSegment:
    def __init__(
        self,
        file: str | bytes | PathLike[str] | PathLike[bytes] | FileDescriptorLike,
        offset: SupportsIndex = 0,
        length: SupportsIndex | None = -1,
        flags: int = 0,
    ) -> None: ...
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
