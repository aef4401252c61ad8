"""How a query client's state is sealed: under a key of its identity and job, entry by entry."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

from chiron_stream.clients.identity import Identity
from chiron_stream.errors import UsageRefused
from chiron_stream.wire import labels
from chiron_stream.wire.canonical import decode, encode
from chiron_stream.wire.crypto import derive, seal, unseal

TAG_LIMIT: Final = 256
"""Bytes of a tag in UTF-8, at most."""


class Entry(IntEnum):
    """What a sealed entry is; part of its context, so that none passes for another."""

    ABOUT = 0
    SESSION = 1
    QUERY = 2


class StateKeys:
    """The keys of one identity's state in one job.

    What is derived says nothing without the identity: guesses of a tag or a row cannot be tried.
    """

    def __init__(self, identity: Identity, job_id: bytes) -> None:
        root = derive(identity.hpke_seed, labels.CLIENT_STATE, job_id)
        self._sealing = derive(root, labels.CLIENT_STATE, b"sealing")
        self._tags = derive(root, labels.CLIENT_STATE, b"tags")
        self._rows = derive(root, labels.CLIENT_STATE, b"rows")

    def seal(self, entry: Entry, name: bytes, content: dict[int, Any]) -> bytes:
        """Return an entry's content, sealed for this place alone."""
        return seal(self._sealing, _context(entry, name), encode(content))

    def open(self, entry: Entry, name: bytes, sealed: bytes) -> dict[int, Any]:
        """Return what :meth:`seal` sealed.

        :raises TamperDetected: of another identity, job or place, or altered.
        """
        return decode(unseal(self._sealing, _context(entry, name), sealed))

    def tag(self, tag: str) -> bytes:
        """Return what a tag is looked up by, 32 bytes.

        :raises UsageRefused: no usable tag; code ``TAG``.
        """
        return derive(self._tags, labels.CLIENT_STATE, _tag_bytes(tag))

    def row(self, content: bytes) -> bytes:
        """Return what tells a packed row from every other, 32 bytes."""
        return derive(self._rows, labels.CLIENT_STATE, content)


def _context(entry: Entry, name: bytes) -> bytes:
    return encode({0: int(entry), 1: name})


def _tag_bytes(tag: str) -> bytes:
    try:
        found = tag.encode("utf-8")
    except UnicodeEncodeError:
        found = b""
    if 1 <= len(found) <= TAG_LIMIT:
        return found
    raise UsageRefused(
        "a tag that cannot be used; nothing was sent",
        code="TAG",
        expected=f"a text of 1 to {TAG_LIMIT} bytes in UTF-8",
        got=f"{len(found)} bytes",
    )
