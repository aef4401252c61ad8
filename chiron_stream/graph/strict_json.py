"""Untrusted JSON, read strictly: every limit is checked before the thing it limits is built.

:func:`read` refuses what two readers could take differently (doubled keys, ``NaN``, text that is
not UTF-8) and what harms a reader (depth, length, numbers of many digits). A :class:`Place` is a
value with its path, so that a refusal names where it is.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from chiron_stream.errors import RecipeRefused

MAX_BYTES: Final = 1 << 20
"""Bytes of a definition, at most."""

MAX_DEPTH: Final = 8
"""Lists and objects inside each other, at most; the format needs 6."""

MAX_DIGITS: Final = 32
"""Characters of a number, at most."""

FORMAT: Final = "GRAPH_FORMAT"
LIMIT: Final = "GRAPH_LIMIT"

_TOKENS: Final = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)


@dataclass(frozen=True)
class Place:
    """A JSON value and the path that leads to it. Each method checks, or raises RecipeRefused."""

    value: Any
    path: str

    def fields(self, *names: str) -> list[Place]:
        """Return the values of an object that has exactly these keys, in this order."""
        if type(self.value) is not dict or set(self.value) != set(names):
            self.refuse(f"an object with the keys {', '.join(names)}")
        return [Place(self.value[name], f"{self.path}.{name}") for name in names]

    def items(self, most: int) -> list[Place]:
        """Return the values of a list of at most ``most``."""
        if type(self.value) is not list:
            self.refuse("a list")
        if len(self.value) > most:
            self.refuse(f"at most {most} items", LIMIT)
        return [Place(one, f"{self.path}[{n}]") for n, one in enumerate(self.value)]

    def whole(self, low: int, high: int, code: str = FORMAT) -> int:
        """Return a whole number from ``low`` to ``high``, both included."""
        if type(self.value) is not int or not low <= self.value <= high:
            self.refuse(f"a whole number from {low} to {high}", code)
        return int(self.value)

    def number(self, low: float, high: float) -> float:
        """Return a finite number from ``low`` to ``high``, both included."""
        if type(self.value) not in (int, float) or not low <= self.value <= high:
            self.refuse(f"a number from {low:g} to {high:g}")
        return float(self.value)

    def flag(self) -> bool:
        """Return true or false."""
        if type(self.value) is not bool:
            self.refuse("true or false")
        return bool(self.value)

    def text(self, most: int) -> str:
        """Return a printable text of 1 to ``most`` characters."""
        if type(self.value) is not str or not self.value.isprintable():
            self.refuse("a printable text")
        if not 0 < len(self.value) <= most:
            self.refuse(f"1 to {most} characters", LIMIT)
        return str(self.value)

    def choice(self, names: tuple[str, ...], code: str = FORMAT) -> str:
        """Return one of these texts."""
        if type(self.value) is not str or self.value not in names:
            self.refuse(f"one of {', '.join(names)}", code)
        return str(self.value)

    def refuse(self, expected: str, code: str = FORMAT, rule: str = "does not read") -> NoReturn:
        """Raise the refusal of this place."""
        got = shown(self.value)
        raise RecipeRefused(f"{self.path} {rule}", code=code, expected=expected, got=got)


def read(data: bytes) -> Place:
    """Return the root of the JSON text in ``data``; its shape is still unchecked.

    :param data: untrusted bytes.
    :raises RecipeRefused: they are not strict JSON within the limits.
    """
    if len(data) > MAX_BYTES:
        _refuse_whole(f"at most {MAX_BYTES} bytes", f"{len(data)}", LIMIT)
    _check_depth(data)
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_whole,
            parse_float=_float,
            parse_constant=_constant,
        )
    except UnicodeDecodeError:
        _refuse_whole("UTF-8", "other bytes", FORMAT)
    except json.JSONDecodeError as error:
        _refuse_whole("JSON", f"{error.msg} at character {error.pos}", FORMAT)
    return Place(value, "$")


def shown(value: Any) -> str:
    """Return a short text for a value of untrusted JSON."""
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _check_depth(data: bytes) -> None:
    depth, quoted = 0, False
    for match in _TOKENS.finditer(data):
        token = match[0]
        if token == b'"':
            quoted = not quoted
        elif not quoted and len(token) == 1:
            depth += 1 if token in b"[{" else -1
            if depth > MAX_DEPTH:
                _refuse_whole(f"at most {MAX_DEPTH} levels", "more", LIMIT)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        _refuse_whole("each key once", "a key twice", FORMAT)
    return made


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        _refuse_whole(f"numbers of at most {MAX_DIGITS} characters", f"{len(text)}", LIMIT)
    return int(text)


def _float(text: str) -> float:
    if len(text) > MAX_DIGITS or not math.isfinite(float(text)):
        _refuse_whole(f"finite numbers of at most {MAX_DIGITS} characters", "another", LIMIT)
    return float(text)


def _constant(text: str) -> NoReturn:
    _refuse_whole("finite numbers", text, FORMAT)


def _refuse_whole(expected: str, got: str, code: str) -> NoReturn:
    raise RecipeRefused("$ does not read", code=code, expected=expected, got=got)
