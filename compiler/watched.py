"""What a function makes of values, made once for all values that agree in those that it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

Made = TypeVar("Made")


class _Whole(Exception):
    """Something read values in another way than one by one."""


class _Watched(Mapping[str, Any]):
    """Values that note in `read` the names of those that are read, and refuse to be read as a whole."""

    def __init__(self, values: Mapping[str, Any], read: dict[str, None]) -> None:
        self._values, self._read = values, read

    def __getitem__(self, name: str) -> Any:
        self._read[name] = None
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        raise _Whole

    def __len__(self) -> int:
        raise _Whole

    def __str__(self) -> str:
        raise _Whole

    __repr__ = __str__


class Known(Generic[Made]):
    """A function of some mappings. What it makes may depend on nothing but what it reads of them, and is not None.

    What reads a value of a name that is among its `own` ones, which no two have alike, is not kept.
    """

    def __init__(self, make: Callable[..., Made], own: frozenset[str] = frozenset()) -> None:
        self._make, self._own = make, own
        self._made: dict[_Names, dict[str, Made]] = {}

    def of(self, *values: Mapping[str, Any]) -> Made:
        """What the function makes of these values; where it reads a mapping as a whole, each time anew."""
        for names, known in self._made.items():
            found = known.get(_said(values, names))
            if found is not None:
                return found
        read: list[dict[str, None]] = [{} for _ in values]
        try:
            made = self._make(*map(_Watched, values, read))
        except (_Whole, TypeError):  # such as json's, of what is no dict
            return self._make(*values)
        names = tuple((place, name) for place, of_one in enumerate(read) for name in of_one)
        if not self._own.intersection(*read):
            self._made.setdefault(names, {})[_said(values, names)] = made
        return made


_Names = tuple[tuple[int, str], ...]  # of which mapping, and which of its values


def _said(values: tuple[Mapping[str, Any], ...], names: _Names) -> str:
    """The named values, so that equal words are equal values of the same types."""
    return repr([values[place].get(name, ...) for place, name in names])
