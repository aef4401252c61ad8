"""The one connection of a worker: what a core asks of its courier, and what comes back.

In frames (:mod:`chiron_stream.wire.frames`) on a loopback TCP connection. The core asks, the
courier answers, strictly in turn. A core believes no answer beyond what it can verify: everything
that came from a log is sealed or tamper-evident, the clock is a hint, and an ``Untaken`` is nothing
but a reason to end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from chiron_stream.wire.document import Document, Limit, Name, Signed, union

ANSWER_BYTES: Final = 8 * 1024 * 1024
"""Bytes of record values in one answer, about; a long extent takes several reads."""

VALUE_BYTES: Final = 1_000_000
"""Bytes of a record's value, at most."""

Value = Annotated[bytes, Limit(VALUE_BYTES)]


@dataclass(frozen=True)
class Begin(Document):
    """Ask for the job."""

    KIND: ClassVar[int] = 400


@dataclass(frozen=True)
class Job(Document):
    """The job file's text, the Unix time in seconds, and the courier's pinned thread count."""

    KIND: ClassVar[int] = 401
    text: Annotated[str, Limit(1_000_000)]
    now: int
    threads: int


@dataclass(frozen=True)
class Tail(Document):
    """Follow a partition from ``offset`` on, by :class:`Poll`. Topics by catalogue name."""

    KIND: ClassVar[int] = 402
    topic: Name
    partition: int
    offset: int
    committed: bool


@dataclass(frozen=True)
class Consume(Document):
    """Share a topic with others of this role; its records come by :class:`Poll` too."""

    KIND: ClassVar[int] = 424
    topic: Name


@dataclass(frozen=True)
class Settled(Document):
    """Records of a shared topic are done with: no other worker needs to take them."""

    KIND: ClassVar[int] = 425
    topic: Name
    partition: int
    offsets: tuple[int, ...]


@dataclass(frozen=True)
class Poll(Document):
    """Return what the followed partitions have, waiting up to ``wait_ms`` for the first."""

    KIND: ClassVar[int] = 403
    limit: int
    wait_ms: int


@dataclass(frozen=True)
class Line(Document):
    """A record as the courier shows it."""

    KIND: ClassVar[int] = 404
    topic: Name
    partition: int
    offset: int
    value: Value


@dataclass(frozen=True)
class Lines(Document):
    """Records in order of offset within each partition; ``now`` in Unix milliseconds.

    ``next`` is where a :class:`Read` goes on, equal to its end when all was read. ``draining``: the
    worker was asked to end; its core leaves what it is doing to others and ends.
    """

    KIND: ClassVar[int] = 405
    lines: tuple[Line, ...]
    now: int
    next: int
    draining: bool = False


@dataclass(frozen=True)
class Read(Document):
    """Return records of a partition from ``first`` up to, not including, ``end``."""

    KIND: ClassVar[int] = 406
    topic: Name
    partition: int
    first: int
    end: int
    committed: bool


@dataclass(frozen=True)
class Reach(Document):
    """Ask how far a partition reaches."""

    KIND: ClassVar[int] = 407
    topic: Name
    partition: int


@dataclass(frozen=True)
class Marks(Document):
    """Low watermark, last stable offset and high watermark; number of partitions."""

    KIND: ClassVar[int] = 408
    low: int
    stable: int
    high: int
    partitions: int


@dataclass(frozen=True)
class Send(Document):
    """A record to append; ``key`` is an opaque id or empty; ``mark`` goes into a header."""

    KIND: ClassVar[int] = 409
    topic: Name
    partition: int
    value: Value
    key: Annotated[bytes, Limit(64)]
    mark: Annotated[bytes, Limit(64)]


@dataclass(frozen=True)
class Append(Document):
    """Append outside transactions and wait for all acknowledgements."""

    KIND: ClassVar[int] = 410
    records: tuple[Send, ...]


@dataclass(frozen=True)
class StartWriter(Document):
    """Become the one transactional writer: fence every earlier one."""

    KIND: ClassVar[int] = 411


@dataclass(frozen=True)
class Commit(Document):
    """Append in one transaction, all or nothing."""

    KIND: ClassVar[int] = 412
    records: tuple[Send, ...]


@dataclass(frozen=True)
class Positions(Document):
    """The offsets of appended records, in order. ``draining`` as in :class:`Lines`."""

    KIND: ClassVar[int] = 413
    offsets: tuple[int, ...]
    draining: bool = False


@dataclass(frozen=True)
class Relay(Document):
    """Pass sealed bytes to the quoting service."""

    KIND: ClassVar[int] = 414
    request: Annotated[bytes, Limit(131_072)]


@dataclass(frozen=True)
class Relayed(Document):
    """The quoting service's sealed answer."""

    KIND: ClassVar[int] = 415
    answer: Annotated[bytes, Limit(131_072)]


@dataclass(frozen=True)
class Collateral(Document):
    """Ask for what a hardware quote is verified with."""

    KIND: ClassVar[int] = 422
    quote: Annotated[bytes, Limit(16_384)]


@dataclass(frozen=True)
class Collected(Document):
    """Collateral (JSON) and root certificate (DER); whoever appraises verifies them."""

    KIND: ClassVar[int] = 423
    collateral: Annotated[bytes, Limit(65_536)]
    root: Annotated[bytes, Limit(4096)]


@dataclass(frozen=True)
class NewestSnapshot(Document):
    """Ask where the newest snapshot's journal entry is: a hint, found by its mark."""

    KIND: ClassVar[int] = 416


@dataclass(frozen=True)
class Hint(Document):
    """An offset, or -1 for none."""

    KIND: ClassVar[int] = 417
    offset: Signed


@dataclass(frozen=True)
class Progress(Document):
    """Counts for the courier's telemetry: rounds and states, never rows, rates or values.

    A coordinator tells of its job: ``waiting`` shards are accepted and not trained, ``open_slots``
    those of the round without a result, ``quarantined`` counts boots. A trainer or predictor tells
    of itself: the ``release`` that it serves, ``tasks`` taken, and whether it is ``busy`` with one;
    while it is, the same counts told again say that it moves. What is not told is 0.
    """

    KIND: ClassVar[int] = 418
    state: Name
    waiting_for: Name = ""
    epoch: int = 0
    round: int = 0
    version: int = 0
    release: int = 0
    accepted: int = 0
    waiting: int = 0
    trained: int = 0
    void: int = 0
    parked: int = 0
    open_slots: int = 0
    trainers: int = 0
    predictors: int = 0
    quarantined: int = 0
    tasks: int = 0
    busy: bool = False

    @property
    def workers(self) -> int:
        """How many trainers and predictors are alive."""
        return self.trainers + self.predictors


@dataclass(frozen=True)
class Ended(Document):
    """The core's last words: exit code, error code and sentence, for the courier to show."""

    KIND: ClassVar[int] = 419
    exit_code: int
    code: Name
    message: Annotated[str, Limit(2000)]


@dataclass(frozen=True)
class Taken(Document):
    """A request without an answer of its own was done."""

    KIND: ClassVar[int] = 420


@dataclass(frozen=True)
class Untaken(Document):
    """A request failed; ``kind`` names the error's class, as in ``chiron_stream.errors``."""

    KIND: ClassVar[int] = 421
    kind: Name
    code: Name
    message: Annotated[str, Limit(2000)]


Request = (
    Begin
    | Tail
    | Consume
    | Settled
    | Poll
    | Read
    | Reach
    | Append
    | StartWriter
    | Commit
    | Relay
    | Collateral
    | NewestSnapshot
    | Progress
    | Ended
)
Answer = Job | Lines | Marks | Positions | Relayed | Collected | Hint | Taken | Untaken

read_request: Callable[[bytes], Request] = union(
    Begin,
    Tail,
    Consume,
    Settled,
    Poll,
    Read,
    Reach,
    Append,
    StartWriter,
    Commit,
    Relay,
    Collateral,
    NewestSnapshot,
    Progress,
    Ended,
)
read_answer: Callable[[bytes], Answer] = union(
    Job, Lines, Marks, Positions, Relayed, Collected, Hint, Taken, Untaken
)
