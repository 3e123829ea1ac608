from os import PathLike

_Address = tuple[str, int] | tuple[str, int, int, int] | str | bytes | PathLike[str]
