"""What the coordinator answers to parties, on ``replies``.

Sealed under the session's reply key with Cobblestone, whose salt is random: an aborted transaction
leaves its ciphertext behind, so that a counter as nonce would repeat. The context binds type,
session and number; a party takes numbers in order and refuses an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from chiron_stream.wire.canonical import encode
from chiron_stream.wire.control import TOKEN_LIMIT
from chiron_stream.wire.crypto import seal, unseal
from chiron_stream.wire.document import Digest, Document, Fixed, Id, Limit, Name, to_map, union


@dataclass(frozen=True)
class ReplyRecord(Document):
    """A reply to one session; ``number`` counts the session's replies from 0."""

    KIND: ClassVar[int] = 30
    session: Id
    number: int
    sealed: Annotated[bytes, Limit(65_536)]


@dataclass(frozen=True)
class SessionRefused(Document):
    """A session that was not admitted: in clear, since there is no key yet.

    Nothing proves who wrote it: a party treats it as a reason to look at ``authority`` again.
    """

    KIND: ClassVar[int] = 31
    session: Id
    code: Name


@dataclass(frozen=True)
class Parked(Document):
    """A shard that could not be found or opened, and where its publisher can go back to.

    ``before`` is the token of the shard before it (empty for the first).
    """

    KIND: ClassVar[int] = 32
    number: int
    token: Annotated[bytes, Limit(TOKEN_LIMIT)]
    before: Annotated[bytes, Limit(TOKEN_LIMIT)]
    reason: Name


@dataclass(frozen=True)
class Accept(Document):
    """A session is admitted; for publishers, its claim of the data set.

    Publishing goes on with shard ``next_number`` behind ``token``. A session that listens is told
    ``next_number`` reports at once: all that are kept of what was disclosed before.
    """

    KIND: ClassVar[int] = 33
    next_number: int
    token: Annotated[bytes, Limit(TOKEN_LIMIT)]
    parked: tuple[Parked, ...]
    fin: bool


@dataclass(frozen=True)
class Refusal(Document):
    """A control record that was understood and refused."""

    KIND: ClassVar[int] = 34
    counter: int
    code: Name
    reason: Annotated[str, Limit(500)]


@dataclass(frozen=True)
class Acknowledged(Document):
    """Every control record below ``next_counter`` was taken or refused."""

    KIND: ClassVar[int] = 35
    next_counter: int
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True)
class ShardParked(Document):
    """A shard could not be found or opened; announce it again."""

    KIND: ClassVar[int] = 36
    shard: Parked


@dataclass(frozen=True)
class ShardVoid(Document):
    """A shard's content is invalid: it is left out, for the reason given."""

    KIND: ClassVar[int] = 37
    number: int
    reason: Annotated[str, Limit(500)]


@dataclass(frozen=True)
class ShardTrained(Document):
    """A shard entered a version, as the checkpoint with this hash says."""

    KIND: ClassVar[int] = 38
    number: int
    version: int
    checkpoint: Digest


@dataclass(frozen=True)
class Imported(Document):
    """The recipe was checked and imported."""

    KIND: ClassVar[int] = 39
    parameter_bytes: int


@dataclass(frozen=True)
class ImportRefused(Document):
    """The recipe was refused."""

    KIND: ClassVar[int] = 46
    code: Name
    reason: Annotated[str, Limit(1000)]


@dataclass(frozen=True)
class Superseded(Document):
    """A later session claimed the data set, or listens now; this one is told nothing more."""

    KIND: ClassVar[int] = 47
    session: Id


@dataclass(frozen=True)
class RoundProgress(Document):
    """To the provider, of a committed version: as much as the policy grants.

    ``loss`` and ``gradient``: a level and a bucket (:mod:`chiron_stream.job.measures`). ``void``:
    shards that became VOID since the report before, 255 for so many or more. ``left``: bits that
    the policy's ceiling leaves. ``checkpoint`` counts this report already.
    """

    KIND: ClassVar[int] = 64
    round: int
    version: int
    loss: Fixed
    gradient: int
    void: int
    left: int
    checkpoint: Digest


@dataclass(frozen=True)
class Scored(Document):
    """To an owner: how good a release is on the rows that it announced for evaluation.

    ``value``: correct predictions, or steps of an error (:mod:`chiron_stream.job.measures`).
    ``left``: bits that the policy's ceiling left when the score was charged.
    """

    KIND: ClassVar[int] = 65
    release: int
    version: int
    rows: Fixed
    value: Fixed
    left: Fixed


Reply = (
    Accept
    | Acknowledged
    | ShardParked
    | ShardVoid
    | ShardTrained
    | Imported
    | ImportRefused
    | Superseded
    | RoundProgress
    | Scored
)
_read: Callable[[bytes], Reply] = union(
    Accept,
    Acknowledged,
    ShardParked,
    ShardVoid,
    ShardTrained,
    Imported,
    ImportRefused,
    Superseded,
    RoundProgress,
    Scored,
)
read_record: Callable[[bytes], ReplyRecord | SessionRefused] = union(ReplyRecord, SessionRefused)


def seal_reply(key: bytes, session: bytes, number: int, body: Reply) -> bytes:
    """Return the record of a reply."""
    context = encode({0: ReplyRecord.KIND, 1: session, 2: number})
    return ReplyRecord(session, number, seal(key, context, encode(to_map(body)))).pack()


def open_reply(key: bytes, record: ReplyRecord) -> Reply:
    """Return what a reply says.

    :raises TamperDetected: another session's, another number's, or altered.
    """
    context = encode({0: ReplyRecord.KIND, 1: record.session, 2: record.number})
    return _read(unseal(key, context, record.sealed))
