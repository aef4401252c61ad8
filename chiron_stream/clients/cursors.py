"""Cursors: where a reader of answers goes on. Opaque to callers, printable, good for ever.

A cursor names a place in the log of one client's answers. It is no secret and proves nothing: an
altered one reads on elsewhere, in the same client's answers.
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Final

from chiron_stream.errors import UsageRefused

STATE_NAME: Final = 8
"""Bytes that name whose answers a cursor counts."""

_CURSOR: Final = struct.Struct(f">4s{STATE_NAME}sQ")
_MAGIC: Final = b"CSc1"


def cursor_at(state: bytes, offset: int) -> str:
    """Return the cursor behind which the answers from ``offset`` on stand.

    :param state: the 8 random bytes that name a client's answers.
    """
    return base64.urlsafe_b64encode(_CURSOR.pack(_MAGIC, state, offset)).decode("ascii").rstrip("=")


def offset_of(cursor: str, state: bytes) -> int:
    """Return where the answers behind a cursor begin.

    :raises UsageRefused: no cursor, or one of other answers; code ``CURSOR``.
    """
    packed = _decoded(cursor)
    if len(packed) != _CURSOR.size or not packed.startswith(_MAGIC):
        raise _refused("this is no cursor", "the cursor of an answer, as it was printed")
    _magic, found, offset = _CURSOR.unpack(packed)
    if found != state:
        raise _refused("a cursor of another client's answers", "a cursor from the same state")
    return int(offset)


def _decoded(cursor: str) -> bytes:
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return packed


def _refused(message: str, expected: str) -> UsageRefused:
    return UsageRefused(message, code="CURSOR", expected=expected)
