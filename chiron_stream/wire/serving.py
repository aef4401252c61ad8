"""Sessions and grants for predictors; queries and answers.

On ``sessions`` everything is sealed under the predictors' key, which outlives boots; a grant names
the boot it is for, and the journal entry that charged it, so that a rolled-back history is found
out.

Queries and answers::

    query  = "CSq1" ‖ session (16) ‖ number (8) ‖ AES-256-GCM(query key, nonce = number, header)
    answer = "CSa1" ‖ session (16) ‖ number (8) ‖ response nonce (32)
             ‖ AES-256-GCM(key, nonce 0, associated data = header ‖ 0x01)

    secret = Expand(answer secret, SESSION_ANSWER ‖ number)
    prk    = HKDF-Extract(salt = session ‖ number ‖ response nonce, secret)
    key    = Expand(prk, ANSWER_KEY)

This is the shape of RFC 9458 section 4.4; the byte behind the header is the flag of the final (and
so far only) chunk. Plaintexts are ``length (4) ‖ content ‖ zeros`` of the policy's sizes: errors
are as large as answers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, Final, NamedTuple

from chiron_stream.errors import PolicyRefused, TamperDetected
from chiron_stream.wire import labels
from chiron_stream.wire.canonical import encode
from chiron_stream.wire.crypto import derive, extract, gcm_open, gcm_seal, seal, unseal
from chiron_stream.wire.document import Digest, Document, Id, Limit, Name, to_map, union

_QUERY: Final = struct.Struct(">4s16sQ")
_ANSWER: Final = struct.Struct(">4s16sQ32s")
_QUERY_MAGIC: Final = b"CSq1"
_ANSWER_MAGIC: Final = b"CSa1"
_FINAL: Final = b"\x01"
_LENGTH: Final = 4
RESPONSE_NONCE: Final = 32


@dataclass(frozen=True)
class QuerySession(Document):
    """An admitted query session: the keys that predictors need."""

    KIND: ClassVar[int] = 60
    session: Id
    query_key: Digest
    answer_secret: Digest
    answer_partition: int


@dataclass(frozen=True)
class Grant(Document):
    """A boot may answer ``count`` more queries of a session; ``left`` remain to the identity.

    ``count`` 0: the ceiling is reached.
    """

    KIND: ClassVar[int] = 61
    session: Id
    boot: Id
    count: int
    left: int
    journal_index: int
    journal_head: Digest


@dataclass(frozen=True)
class SessionsRecord(Document):
    """A sealed record of ``sessions``; ``index`` is its journal index, ``place`` within it."""

    KIND: ClassVar[int] = 62
    index: int
    place: int
    sealed: Annotated[bytes, Limit(8192)]


class Status(IntEnum):
    """How a query ended."""

    OK = 1
    INVALID = 2
    BUDGET = 3


@dataclass(frozen=True)
class AnswerBody(Document):
    """An answer in the policy's form.

    ``classes`` are class indices (label: one; top_k: k, best first; rounded: all), ``values`` the
    rounded scores where the form has them. ``checkpoint`` is of the version that answered.
    """

    KIND: ClassVar[int] = 63
    status: Status
    classes: tuple[int, ...]
    values: tuple[float, ...]
    release: int
    version: int
    checkpoint: Digest
    budget_left: int
    freshness: Name
    simulated: bool
    reason: Annotated[str, Limit(200)]


class QueryName(NamedTuple):
    """Which query of which session."""

    session: bytes
    number: int


_read_sessions: Callable[[bytes], QuerySession | Grant] = union(QuerySession, Grant)


def seal_sessions(key: bytes, index: int, place: int, body: QuerySession | Grant) -> bytes:
    """Return a record of ``sessions``."""
    context = encode({0: SessionsRecord.KIND, 1: index, 2: place})
    return SessionsRecord(index, place, seal(key, context, encode(to_map(body)))).pack()


def open_sessions(key: bytes, record: SessionsRecord) -> QuerySession | Grant:
    """Return what a record of ``sessions`` says.

    :raises TamperDetected: it does not open.
    """
    context = encode({0: SessionsRecord.KIND, 1: record.index, 2: record.place})
    return _read_sessions(unseal(key, context, record.sealed))


def _padded(content: bytes, size: int, what: str) -> bytes:
    if len(content) + _LENGTH > size:
        raise PolicyRefused(
            f"{what} is too large; nothing was sent",
            code="RECORD_TOO_LARGE",
            expected=f"at most {size - _LENGTH} bytes by the policy",
            got=str(len(content)),
        )
    framed = len(content).to_bytes(_LENGTH, "big") + content
    return framed + bytes(size - len(framed))


def _unpadded(padded: bytes, what: str) -> bytes:
    length = int.from_bytes(padded[:_LENGTH], "big")
    if len(padded) < _LENGTH + length or any(padded[_LENGTH + length :]):
        raise TamperDetected(f"the padding of {what} is wrong", code="PADDING")
    return padded[_LENGTH : _LENGTH + length]


def seal_query(key: bytes, name: QueryName, content: bytes, size: int) -> bytes:
    """Return a query's record; a number seals one content, ever.

    :param size: plaintext bytes of every query of the job.
    :raises PolicyRefused: the content is larger.
    """
    header = _QUERY.pack(_QUERY_MAGIC, *name)
    return header + gcm_seal(key, name.number, _padded(content, size, "a query"), header)


def query_name(record: bytes) -> QueryName | None:
    """Return which query a record claims to be, or None if it is none."""
    if len(record) < _QUERY.size:
        return None
    magic, session, number = _QUERY.unpack_from(record)
    return QueryName(session, number) if magic == _QUERY_MAGIC else None


def open_query(key: bytes, name: QueryName, record: bytes) -> bytes:
    """Return a query's content.

    :raises TamperDetected: it is another query, or does not open.
    """
    if query_name(record) != name:
        raise TamperDetected("a record is not the query it is taken for", code="FRAMING")
    header = record[: _QUERY.size]
    return _unpadded(gcm_open(key, name.number, record[_QUERY.size :], header), "a query")


def _answer_key(secret: bytes, name: QueryName, response_nonce: bytes) -> bytes:
    one = derive(secret, labels.SESSION_ANSWER, name.number)
    salt = name.session + name.number.to_bytes(8, "big") + response_nonce
    return derive(extract(salt, one), labels.ANSWER_KEY)


def seal_answer(
    secret: bytes, name: QueryName, response_nonce: bytes, body: AnswerBody, size: int
) -> bytes:
    """Return an answer's record.

    :param response_nonce: 32 fresh random bytes: the key is of this answer alone.
    """
    header = _ANSWER.pack(_ANSWER_MAGIC, *name, response_nonce)
    key = _answer_key(secret, name, response_nonce)
    return header + gcm_seal(key, 0, _padded(body.pack(), size, "an answer"), header + _FINAL)


def answer_name(record: bytes) -> QueryName | None:
    """Return which query a record claims to answer, or None if it is no answer."""
    if len(record) < _ANSWER.size:
        return None
    magic, session, number, _nonce = _ANSWER.unpack_from(record)
    return QueryName(session, number) if magic == _ANSWER_MAGIC else None


def open_answer(secret: bytes, name: QueryName, record: bytes) -> AnswerBody:
    """Return an answer.

    :raises TamperDetected: it is the answer to another query, or does not open.
    """
    if answer_name(record) != name:
        raise TamperDetected("a record is not the answer it is taken for", code="FRAMING")
    header = record[: _ANSWER.size]
    _magic, _session, _number, nonce = _ANSWER.unpack(header)
    key = _answer_key(secret, name, nonce)
    content = gcm_open(key, 0, record[_ANSWER.size :], header + _FINAL)
    return AnswerBody.unpack(_unpadded(content, "an answer"))
