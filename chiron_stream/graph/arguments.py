"""Types of arguments: how each is written in JSON, and what is refused.

===============  =====================================================================
JSON             meaning
===============  =====================================================================
``{"ref": 7}``   the value with id 7; with ``"item": n``, its result n
``{"B": 4}``     a size: 4 times the rows of the batch
``null``         an optional argument that is absent
number, flag     itself
text             one of the choices that the operation lists
list             dimensions, sizes or tensors
===============  =====================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from chiron_stream.graph.definition import Argument, Ref, Times
from chiron_stream.graph.strict_json import Place

MAX_ID: Final = 1 << 16
"""Above every id; the limits on nodes and tensors keep ids well below."""

MAX_DIMENSION: Final = 1 << 24
"""Size of one dimension, at most."""

MAX_RANK: Final = 6
"""Dimensions of a value, at most."""

MAX_TENSORS: Final = 64
"""Tensors of one list argument, and results of one operation, at most."""

OP: Final = "GRAPH_OP"


class Kind(Protocol):
    """A type of argument."""

    def read(self, place: Place) -> Argument:
        """Return the argument at ``place``, or raise RecipeRefused."""


@dataclass(frozen=True)
class Tensor:
    """A reference; ``null`` too if ``optional``; to a value of ``dtype`` if one is named."""

    optional: bool = False
    dtype: str | None = None

    def read(self, place: Place) -> Argument:
        """See :class:`Kind`."""
        if place.value is None and self.optional:
            return None
        return _reference(place)


@dataclass(frozen=True)
class TensorOrNumber:
    """A reference, or a number that broadcasts."""

    bound: float = 1e30

    def read(self, place: Place) -> Argument:
        """See :class:`Kind`; a whole number stays one, since torch promotes by type."""
        if type(place.value) is dict:
            return _reference(place)
        if type(place.value) is int:
            return place.whole(-(1 << 31), 1 << 31, OP)
        return place.number(-self.bound, self.bound)


@dataclass(frozen=True)
class Tensors:
    """A list of 1 to ``MAX_TENSORS`` references."""

    def read(self, place: Place) -> Argument:
        """See :class:`Kind`."""
        if not (found := place.items(MAX_TENSORS)):
            place.refuse("a list with references", OP)
        return tuple(_reference(one) for one in found)


@dataclass(frozen=True)
class Whole:
    """A whole number from ``low`` to ``high``; ``null`` too if ``optional``."""

    low: int
    high: int
    optional: bool = False

    def read(self, place: Place) -> Argument:
        """See :class:`Kind`."""
        if place.value is None and self.optional:
            return None
        return place.whole(self.low, self.high, OP)


@dataclass(frozen=True)
class Number:
    """A float from ``low`` to ``high``; ``null`` too if ``optional``."""

    low: float
    high: float
    optional: bool = False

    def read(self, place: Place) -> Argument:
        """See :class:`Kind`."""
        if place.value is None and self.optional:
            return None
        return place.number(self.low, self.high)


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def read(self, place: Place) -> Argument:
        """See :class:`Kind`."""
        return place.flag()


@dataclass(frozen=True)
class Choice:
    """One of these texts."""

    names: tuple[str, ...]

    def read(self, place: Place) -> Argument:
        """See :class:`Kind`."""
        return place.choice(self.names, OP)


@dataclass(frozen=True)
class Wholes:
    """A list of ``least`` to ``most`` whole numbers from ``low`` to ``high``."""

    low: int
    high: int
    most: int = MAX_RANK
    least: int = 0

    def read(self, place: Place) -> Argument:
        """See :class:`Kind`."""
        found = place.items(self.most)
        if len(found) < self.least:
            place.refuse(f"at least {self.least} numbers", OP)
        return tuple(one.whole(self.low, self.high, OP) for one in found)


@dataclass(frozen=True)
class Sizes:
    """A list of at most ``MAX_RANK`` sizes: numbers, ``-1`` for what is left, ``{"B": n}``."""

    def read(self, place: Place) -> Argument:
        """See :class:`Kind`."""
        return tuple(_size(one) for one in place.items(MAX_RANK))


DIMENSION: Final = Whole(-MAX_RANK, MAX_RANK)
DIMENSIONS: Final = Wholes(-MAX_RANK, MAX_RANK)


def written(argument: Argument) -> Any:
    """Return the JSON value that any kind reads back as ``argument``."""
    if isinstance(argument, Ref):
        item = {} if argument.item is None else {"item": argument.item}
        return {"ref": argument.id, **item}
    if isinstance(argument, Times):
        return {"B": argument.factor}
    if isinstance(argument, tuple):
        return [written(one) for one in argument]
    return argument


def _reference(place: Place) -> Ref:
    if type(place.value) is dict and "item" in place.value:
        found, item = place.fields("ref", "item")
        return Ref(found.whole(0, MAX_ID), item.whole(0, MAX_TENSORS - 1, OP))
    (found,) = place.fields("ref")
    return Ref(found.whole(0, MAX_ID))


def _size(place: Place) -> Argument:
    if type(place.value) is dict:
        (found,) = place.fields("B")
        return Times(found.whole(1, 1 << 16, OP))
    return place.whole(-1, MAX_DIMENSION, OP)
