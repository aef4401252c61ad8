"""Frames on the connection of core and courier: a document, and behind it its records' values.

::

    frame = be4(length of what follows) ‖ be4(length of the document) ‖ document ‖ values
    values = be4(length) ‖ value, for each record of the document in order

The values of ``Line`` and ``Send`` are empty in the document. They are most of what crosses, and
large: so nobody looks through them for the encoding's rules, and none is copied more than once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from chiron_stream.errors import TamperDetected
from chiron_stream.wire.courier import (
    VALUE_BYTES,
    Answer,
    Append,
    Commit,
    Line,
    Lines,
    Request,
    Send,
    read_answer,
    read_request,
)
from chiron_stream.wire.crypto import Bytes

FRAME_LIMIT: Final = 15 * 1024 * 1024
"""Bytes of a frame, at most."""

_ALONE: Final = 65_536
"""Bytes of a value that is handed on by itself; smaller ones travel together."""

_RECORDS: Final[Mapping[type, str]] = {Lines: "lines", Append: "records", Commit: "records"}
"""The documents that have records, and in which field."""

D = TypeVar("D")


def pack(document: Request | Answer) -> list[bytes]:
    """Return a frame in parts, to be sent one after the other.

    :raises TamperDetected: it is larger than a frame may be, or a value than a record's.
    """
    values = [one.value for one in _records(document)]
    packed = _with(document, [b""] * len(values)).pack()
    length = 4 + len(packed) + sum(4 + len(value) for value in values)
    if length > FRAME_LIMIT or any(len(value) > VALUE_BYTES for value in values):
        raise _refused("a frame is too large", f"at most {FRAME_LIMIT} bytes", str(length))
    return list(_parts(_be4(length) + _be4(len(packed)) + packed, values))


def _parts(head: bytes, values: Sequence[bytes]) -> Iterator[bytes]:
    small = bytearray(head)
    for value in values:
        small += _be4(len(value))
        if len(value) < _ALONE:
            small += value
            continue
        yield bytes(small)
        yield value
        small.clear()
    yield bytes(small)


def length(prefix: Bytes) -> int:
    """Return the length that a frame's first four bytes say.

    :raises TamperDetected: it is out of bounds.
    """
    found = int.from_bytes(prefix, "big")
    if len(prefix) != 4 or not 4 < found <= FRAME_LIMIT:
        raise _refused("a frame of impossible length", f"5 to {FRAME_LIMIT}", str(found))
    return found


def request(body: Bytes) -> Request:
    """Return what a core asks.

    :param body: of a frame, behind its length; untrusted.
    :raises TamperDetected, EncodingRefused: anything but one request.
    """
    return _read(memoryview(body), read_request)


def answer(body: Bytes) -> Answer:
    """Return what a courier answers; as :func:`request`."""
    return _read(memoryview(body), read_answer)


def _read(body: memoryview, read: Callable[[bytes], D]) -> D:
    end = 4 + int.from_bytes(body[:4], "big")
    if end > len(body):
        raise _refused("a frame's document is cut", f"{end} bytes", str(len(body)))
    document = read(bytes(body[4:end]))
    records = _records(document)
    if any(one.value for one in records):
        raise _refused("a document holds a value", "values behind it", "one inside")
    return _with(document, list(_values(body[end:], len(records))))


def _values(rest: memoryview, count: int) -> Iterator[bytes]:
    for _ in range(count):
        size = int.from_bytes(rest[:4], "big")
        if size > VALUE_BYTES or 4 + size > len(rest):
            raise _refused("a value is cut, or too large", "as many bytes as it says", str(size))
        yield bytes(rest[4 : 4 + size])
        rest = rest[4 + size :]
    if rest:
        raise _refused("a frame goes on behind its values", "nothing", f"{len(rest)} bytes")


def _records(document: object) -> tuple[Line | Send, ...]:
    field = _RECORDS.get(type(document))
    return getattr(document, field) if field else ()


def _with(document: D, values: Sequence[bytes]) -> D:
    """Return a document whose records have these values."""
    if not values:
        return document
    records = zip(_records(document), values, strict=True)
    renewed = tuple(replace(one, value=value) for one, value in records)
    return replace(document, **{_RECORDS[type(document)]: renewed})  # type: ignore[type-var]


def _be4(number: int) -> bytes:
    return number.to_bytes(4, "big")


def _refused(what: str, expected: str, got: str) -> TamperDetected:
    return TamperDetected(what, code="FRAME", expected=expected, got=got)
