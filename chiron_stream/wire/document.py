"""Documents: frozen dataclasses with one canonical encoding, and a strict way back.

Whatever crosses a trust boundary as a structure is a :class:`Document`. Its bytes are a canonical
map (:mod:`chiron_stream.wire.canonical`): key 0 holds the document's ``KIND``, so that no document
passes for another; keys 1, 2, … hold the fields in their order. Reading refuses an unknown,
missing or doubled field, another type, a value out of its bounds, and a trailing byte.

>>> from dataclasses import dataclass
>>> from typing import ClassVar
>>> @dataclass(frozen=True)
... class Fin(Document):
...     KIND: ClassVar[int] = 60_000
...     data_set: Name
...     shards: int
>>> Fin.unpack(Fin("icu", 3).pack())
Fin(data_set='icu', shards=3)

Field types: ``int`` (0 to 2⁶⁴-1 unless :class:`Range` says otherwise), ``bool``, ``float``
(finite), ``str`` and ``bytes`` (bounded by :class:`Limit` or :class:`Size`), an ``IntEnum``,
another document, ``tuple[T, ...]``, ``T | None``, unions of documents, and ``dict[K, V]`` (in
order of keys).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import fields
from enum import IntEnum
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Final, NamedTuple, Self

from chiron_stream.wire.canonical import MAX_BYTES, EncodingRefused, decode, encode

KIND_KEY: Final = 0
MAX_ITEMS: Final = 1_000_000
"""Items of a list or a table, at most."""

DEFAULT_LIMIT: Final = 1_000_000
"""Bytes of a text or byte string without a bound of its own, at most."""


class Range(NamedTuple):
    """Bounds of a whole number, both included."""

    low: int
    high: int


class Size(NamedTuple):
    """The exact length of a byte string."""

    bytes: int


class Limit(NamedTuple):
    """The largest length of a text (in UTF-8) or a byte string, in bytes, or of a list."""

    most: int


Digest = Annotated[bytes, Size(32)]
"""A SHA-256, or a 32-byte key or secret."""

Id = Annotated[bytes, Size(16)]
"""An opaque id: of a session, of a boot."""

PublicKey = Annotated[bytes, Size(32)]
"""A raw Ed25519 public key."""

Signature = Annotated[bytes, Size(64)]
"""A raw Ed25519 signature."""

Fixed = Annotated[bytes, Size(8)]
"""A whole number whose size on the wire tells nothing of it: :func:`fixed` and :func:`whole`."""

Name = Annotated[str, Limit(128)]
"""A short name that people chose."""

Signed = Annotated[int, Range(-(2**63), 2**63 - 1)]
"""A whole number that may be negative."""


def fixed(number: int) -> bytes:
    """Return a whole number in eight bytes, big-endian."""
    return number.to_bytes(8, "big")


def whole(data: bytes) -> int:
    """Return the number that :func:`fixed` packed."""
    return int.from_bytes(data, "big")


class Document:
    """Base of every structure on the wire; subclasses are frozen dataclasses with a ``KIND``."""

    KIND: ClassVar[int]
    MOST: ClassVar[int] = MAX_BYTES
    """Bytes of the encoded document, at most."""

    def pack(self) -> bytes:
        """Return the canonical bytes.

        :raises EncodingRefused: a field holds what its type does not allow.
        """
        return encode(to_map(self), self.MOST)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Return the document that ``data`` encodes; well-formed, and nothing more is verified.

        :param data: untrusted bytes.
        :raises EncodingRefused: they are anything but one document of this kind.
        """
        return from_map(cls, decode(data, cls.MOST))


D = typing.TypeVar("D", bound=Document)


def to_map(document: Document) -> dict[int, Any]:
    """Return the map of a document, for a document that holds it."""
    table: dict[int, Any] = {KIND_KEY: document.KIND}
    for number, (name, coder) in enumerate(_coders(type(document)), 1):  # type: ignore[arg-type]
        table[number] = coder.write(getattr(document, name), name)
    return table


def from_map(kind: type[D], table: object) -> D:
    """Return the document of a decoded map.

    :raises EncodingRefused: the map is not one of this kind.
    """
    coders = _coders(kind)  # type: ignore[arg-type]
    claimed = table.get(KIND_KEY) if isinstance(table, dict) else None
    # By type too: True and 1.0 equal 1, and would be second encodings of a document of kind 1.
    if not isinstance(table, dict) or type(claimed) is not int or claimed != kind.KIND:
        raise _refused(kind.__name__, f"a document of kind {kind.KIND}", "another")
    if len(table) != len(coders) + 1 or any(n not in table for n in range(len(coders) + 1)):
        raise _refused(kind.__name__, f"{len(coders)} fields", f"{len(table) - 1}")
    values = [coder.read(table[n], name) for n, (name, coder) in enumerate(coders, 1)]
    return kind(*values)


def kind_of(data: bytes) -> int:
    """Return the kind that untrusted bytes claim to be.

    :raises EncodingRefused: they are not a document.
    """
    kind = decode(data).get(KIND_KEY)
    if type(kind) is not int:
        raise _refused("a document", "a kind", "none")
    return kind


def union(*kinds: type[D]) -> Callable[[bytes], D]:
    """Return a reader of documents of any of these kinds."""
    table = {kind.KIND: kind for kind in kinds}

    def unpack(data: bytes) -> D:
        document = decode(data)
        return _pick(table, document, "a document")

    return unpack


def _pick(table: dict[int, type[D]], value: object, name: str) -> D:
    kind = value.get(KIND_KEY) if isinstance(value, dict) else None
    if type(kind) is not int or kind not in table:
        raise _refused(name, f"a kind of {', '.join(map(str, sorted(table)))}", "another")
    return from_map(table[kind], value)


class _Coder(NamedTuple):
    """Writes a field's value into a map, and reads it back; both check it."""

    write: Callable[[Any, str], Any]
    read: Callable[[Any, str], Any]


@cache
def _coders(kind: type[Document]) -> tuple[tuple[str, _Coder], ...]:
    hints = typing.get_type_hints(kind, include_extras=True)
    # A dataclass by its decorator, which the type checker cannot see here.
    return tuple((one.name, _coder(hints[one.name])) for one in fields(kind))  # type: ignore[arg-type]


def _coder(hint: Any) -> _Coder:
    bounds: tuple[Any, ...] = ()
    if typing.get_origin(hint) is Annotated:
        hint, *extra = typing.get_args(hint)
        bounds = tuple(extra)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _one_of(arguments, bounds)
    if origin is tuple:
        return _listed(_coder(arguments[0]), _bound(bounds, Limit(MAX_ITEMS)))
    if origin is dict:
        return _table(_coder(arguments[0]), _coder(arguments[1]))
    if isinstance(hint, type) and issubclass(hint, Document):
        return _Coder(lambda v, n: to_map(_typed(v, hint, n)), lambda v, _n: from_map(hint, v))
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return _enumerated(hint)
    return _scalar(hint, bounds)


def _one_of(arguments: tuple[Any, ...], bounds: tuple[Any, ...]) -> _Coder:
    some = [one for one in arguments if one is not type(None)]
    optional = len(some) < len(arguments)
    if len(some) == 1:
        hint = Annotated[(some[0], *bounds)] if bounds else some[0]
        return _optional(_coder(hint))
    kinds = {one.KIND: one for one in some}

    def write(value: Any, name: str) -> Any:
        if type(value) not in some:
            raise _refused(name, "one of its documents", type(value).__name__)
        return to_map(value)

    made = _Coder(write, lambda value, name: _pick(kinds, value, name))
    return _optional(made) if optional else made


def _optional(inner: _Coder) -> _Coder:
    return _Coder(
        lambda value, name: None if value is None else inner.write(value, name),
        lambda value, name: None if value is None else inner.read(value, name),
    )


def _listed(inner: _Coder, most: Limit) -> _Coder:
    def write(value: Any, name: str) -> list[Any]:
        _typed(value, tuple, name)
        _check(len(value) <= most.most, name, f"at most {most.most} items", str(len(value)))
        return [inner.write(one, name) for one in value]

    def read(value: Any, name: str) -> tuple[Any, ...]:
        _typed(value, list, name)
        _check(len(value) <= most.most, name, f"at most {most.most} items", str(len(value)))
        return tuple(inner.read(one, name) for one in value)

    return _Coder(write, read)


def _table(key: _Coder, content: _Coder) -> _Coder:
    def write(value: Any, name: str) -> list[Any]:
        _typed(value, dict, name)
        pairs = [[key.write(one, name), content.write(value[one], name)] for one in value]
        return sorted(pairs, key=lambda pair: encode({0: pair[0]}))

    def read(value: Any, name: str) -> dict[Any, Any]:
        _typed(value, list, name)
        for pair in value:
            _check(isinstance(pair, list) and len(pair) == 2, name, "pairs", "another")
        order = [encode({0: pair[0]}) for pair in value]
        rising = all(a < b for a, b in pairwise(order))
        _check(rising, name, "keys in ascending order", "another order")
        return {key.read(one, name): content.read(inner, name) for one, inner in value}

    return _Coder(write, read)


def _enumerated(hint: type[IntEnum]) -> _Coder:
    def read(value: Any, name: str) -> IntEnum:
        _typed(value, int, name)
        _check(value in hint._value2member_map_, name, f"a {hint.__name__}", "another number")
        return hint(value)

    return _Coder(lambda value, name: int(_typed(value, hint, name)), read)


def _scalar(hint: Any, bounds: tuple[Any, ...]) -> _Coder:
    def check(value: Any, name: str) -> Any:
        _typed(value, hint, name)
        if hint is int:
            _check_number(value, _bound(bounds, Range(0, 2**64 - 1)), name)
        elif hint in (bytes, str):
            _check_length(value, _bound(bounds, Limit(DEFAULT_LIMIT)), name)
        return value

    if hint not in (int, bool, float, bytes, str):
        raise TypeError(f"not a field type: {hint!r}")
    return _Coder(check, check)


def _bound(bounds: tuple[Any, ...], default: Any) -> Any:
    return bounds[0] if bounds else default


def _check_number(value: int, bound: Range, name: str) -> None:
    good = bound.low <= value <= bound.high
    _check(good, name, f"a number from {bound.low} to {bound.high}", "another")


def _check_length(value: bytes | str, bound: Size | Limit, name: str) -> None:
    length = len(_utf8(value, name)) if isinstance(value, str) else len(value)
    if isinstance(bound, Size):
        _check(length == bound.bytes, name, f"{bound.bytes} bytes", str(length))
    else:
        _check(length <= bound.most, name, f"at most {bound.most} bytes", str(length))


def _utf8(value: str, name: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        # A file name that is not UTF-8, say; the error would hold the text, so it is not chained.
        raise _refused(name, "a text that UTF-8 can hold", "another") from None


def _typed(value: Any, kind: Any, name: str) -> Any:
    if type(value) is not kind:
        raise _refused(name, f"a value of type {kind.__name__}", type(value).__name__)
    return value


def _check(good: bool, name: str, expected: str, got: str) -> None:  # noqa: FBT001  (a condition)
    if not good:
        raise _refused(name, expected, got)


def _refused(name: str, expected: str, got: str) -> EncodingRefused:
    return EncodingRefused(f"{name} does not read", expected=expected, got=got)
