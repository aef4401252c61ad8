"""Enums and numbers that a definition holds: an optimizer, a schedule.

A :class:`Setting` is a frozen dataclass. Its JSON is an object of ``kind`` and every field; the
type of a field's default says how it is read, ``BOUNDS`` between which values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, TypeVar

from chiron_stream.graph.strict_json import FORMAT, Place


@dataclass(frozen=True)
class Setting:
    """Base of optimizers and schedules; every field has a default and, if a number, bounds."""

    KIND: ClassVar[str]
    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {}

    def to_json(self) -> dict[str, Any]:
        """Return the object that :func:`read_setting` reads."""
        return {"kind": self.KIND, **{one.name: getattr(self, one.name) for one in fields(self)}}

    def expected(self) -> str:
        """Return what these fields, each within its bounds, break together; "" if nothing."""
        return ""


S = TypeVar("S", bound=Setting)


def read_setting(place: Place, kinds: Mapping[str, type[S]]) -> S:
    """Return the setting at ``place``.

    :raises RecipeRefused: an unknown kind, another set of fields, a value out of its bounds.
    """
    if type(place.value) is not dict or "kind" not in place.value:
        place.refuse("an object with the key kind")
    kind = kinds[Place(place.value["kind"], f"{place.path}.kind").choice(tuple(kinds))]
    parts = fields(kind)
    _, *values = place.fields("kind", *(one.name for one in parts))
    pairs = zip(parts, values, strict=True)
    made = kind(**{one.name: _value(value, kind, one.name) for one, value in pairs})
    if expected := made.expected():
        place.refuse(expected)
    return made


def _value(place: Place, kind: type[Setting], name: str) -> bool | int | float:
    default = next(one.default for one in fields(kind) if one.name == name)
    if default is MISSING:
        raise TypeError(f"{kind.__name__}.{name} has no default")
    if isinstance(default, bool):
        return place.flag()
    low, high = kind.BOUNDS[name]
    if isinstance(default, int):
        return place.whole(int(low), int(high), FORMAT)
    return place.number(low, high)
