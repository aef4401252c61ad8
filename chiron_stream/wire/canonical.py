r"""Canonical bytes: the one encoding of whatever is hashed or signed.

A document is a MessagePack map with integer keys in ascending order. Its values are integers,
finite doubles, truth values, nothing, texts, bytes, lists of values, and such maps again. Every
value has exactly one encoding (MessagePack's shortest), and decoding refuses any other, so that a
hash over the bytes received is a hash over their meaning.

>>> encode({1: "icu", 2: [7, b"\x00"]}).hex()
'8201a3696375029207c40100'
>>> decode(encode({1: "icu"}))
{1: 'icu'}
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgpack

from chiron_stream.errors import ChironError

MAX_DEPTH: Final = 16
"""Maps and lists inside each other, at most."""

MAX_BYTES: Final = 16 * 1024 * 1024
"""Largest document that crosses a trust boundary, in bytes."""


class EncodingRefused(ChironError):
    """Bytes that are not the canonical encoding of anything, or a value that has none."""

    exit_code = 7
    default_code = "NOT_CANONICAL"


def encode(document: dict[int, Any], limit: int = MAX_BYTES) -> bytes:
    """Return the canonical bytes of ``document``.

    :param limit: bytes, at most.

    :raises EncodingRefused: it holds a value of another type, or is too deep or too large.
    """
    _check(document, 0)
    try:
        data: bytes = msgpack.packb(document, use_bin_type=True)
    except UnicodeEncodeError:
        raise EncodingRefused("a text has no canonical form", expected="UTF-8") from None
    if len(data) > limit:
        raise EncodingRefused(
            "a document is too large", expected=f"at most {limit} bytes", got=str(len(data))
        )
    return data


def decode(data: bytes, limit: int = MAX_BYTES) -> dict[int, Any]:
    """Return the document that ``data`` is the canonical encoding of.

    The result is well-formed and nothing more: which keys there are, and what they may hold, is
    for the caller to check.

    :param data: untrusted bytes.
    :raises EncodingRefused: trailing or missing bytes, a doubled or unordered key, a longer form
        of a number, another type, or a document that is too deep or too large.
    """
    if len(data) > limit:
        raise EncodingRefused(
            "a document is too large", expected=f"at most {limit} bytes", got=str(len(data))
        )
    try:
        document = msgpack.unpackb(data, raw=False, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise EncodingRefused(
            "bytes are not a MessagePack document",
            expected="one MessagePack map",
            got=type(error).__name__,
        ) from error
    _check(document, 0)
    # A doubled key, a longer form of a number, an unordered key: all show in the bytes.
    if msgpack.packb(document, use_bin_type=True) != data:
        raise EncodingRefused(
            "bytes are not in canonical form", expected="the shortest form of every value"
        )
    result: dict[int, Any] = document
    return result


def _check(value: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise EncodingRefused("a document is too deep", expected=f"at most {MAX_DEPTH} levels")
    if depth == 0 and type(value) is not dict:
        raise EncodingRefused("a document is not a map", got=type(value).__name__)
    if type(value) is dict:
        _check_keys(value)
        for inner in value.values():
            _check(inner, depth + 1)
    elif type(value) is list:
        for inner in value:
            _check(inner, depth + 1)
    elif type(value) is float:
        _expect(math.isfinite(value), "a finite number", "a number that is not finite")
    elif type(value) is int:
        _expect(-(2**63) <= value < 2**64, "a number of 64 bits", "a longer number")
    else:
        plain = value is None or type(value) in (bool, str, bytes)
        _expect(plain, "a canonical type", type(value).__name__)


def _check_keys(table: dict[Any, Any]) -> None:
    keys = list(table)
    whole = all(type(key) is int and 0 <= key < 2**16 for key in keys)
    _expect(whole, "keys from 0 to 65535", "another key")
    _expect(keys == sorted(keys), "keys in ascending order", "keys out of order")


def _expect(good: bool, expected: str, got: str) -> None:  # noqa: FBT001  (a condition)
    if not good:
        raise EncodingRefused(
            "a document holds what has no canonical form", expected=expected, got=got
        )
