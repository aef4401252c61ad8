"""Events: what enters the journal, with its full bytes, before ``step`` sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from chiron_stream.wire.document import Digest, Document, Id, Limit, Name, union
from chiron_stream.wire.objects import ObjectRef

NAME_BYTES: Final = 128
REASON_BYTES: Final = 1000
"""Bytes of a name, and of the reason of a refused recipe, at most."""


def cut(text: str, most: int) -> str:
    """Return the beginning of a text in at most so many bytes of UTF-8."""
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


@dataclass(frozen=True)
class Source(Document):
    """Where a record came from: a hint for going on after a restart."""

    KIND: ClassVar[int] = 600
    topic: Name
    partition: int
    offset: int


@dataclass(frozen=True)
class Activated(Document):
    """A coordinator boot begins an epoch."""

    KIND: ClassVar[int] = 601
    epoch: int
    akd: Digest


@dataclass(frozen=True)
class Opened(Document):
    """A session open, with the secret that only this boot could decapsulate."""

    KIND: ClassVar[int] = 602
    source: Source
    record: Annotated[bytes, Limit(8192)]
    secret: Digest


@dataclass(frozen=True)
class OpenRefused(Document):
    """A session open that is signed by a member and cannot be admitted."""

    KIND: ClassVar[int] = 603
    source: Source
    session: Id
    code: Name


@dataclass(frozen=True)
class Controlled(Document):
    """A control record of an admitted session."""

    KIND: ClassVar[int] = 604
    source: Source
    record: Annotated[bytes, Limit(70_000)]


@dataclass(frozen=True)
class Acknowledging(Document):
    """The end of a batch: sessions that are due get their acknowledgement."""

    KIND: ClassVar[int] = 605


@dataclass(frozen=True)
class Joined(Document):
    """An appraised worker's attested key document, and its Welcome secret."""

    KIND: ClassVar[int] = 606
    source: Source
    akd: Annotated[bytes, Limit(8192)]
    secret: Digest


@dataclass(frozen=True)
class Welcomed(Document):
    """A boot that joined in an earlier epoch, or was lost, gets its secret of this epoch."""

    KIND: ClassVar[int] = 607
    boot: Id
    secret: Digest


@dataclass(frozen=True)
class Lost(Document):
    """A boot gave no sign of life, or none of progress; ``reason`` says which."""

    KIND: ClassVar[int] = 608
    boot: Id
    reason: Name


@dataclass(frozen=True)
class Reported(Document):
    """A worker's report."""

    KIND: ClassVar[int] = 609
    source: Source
    record: Annotated[bytes, Limit(70_000)]


@dataclass(frozen=True)
class ImportDone(Document):
    """The recipe was checked; version 0 is written."""

    KIND: ClassVar[int] = 610
    batch_size: int
    parameter_bytes: int
    ref: ObjectRef
    parameters: Digest


@dataclass(frozen=True)
class ImportFailed(Document):
    """The recipe was refused."""

    KIND: ClassVar[int] = 611
    code: Name
    reason: Annotated[str, Limit(REASON_BYTES)]


@dataclass(frozen=True)
class Merged(Document):
    """The round's version is written."""

    KIND: ClassVar[int] = 612
    round: int
    ref: ObjectRef
    parameters: Digest


@dataclass(frozen=True)
class MergeFailed(Document):
    """An update could not be read as its trainer described it; its slot is leased again."""

    KIND: ClassVar[int] = 613
    round: int
    slot: int
    code: Name


@dataclass(frozen=True)
class Snapshotted(Document):
    """A snapshot of the state before this entry is written."""

    KIND: ClassVar[int] = 614
    ref: ObjectRef


@dataclass(frozen=True)
class Waited(Document):
    """A timer: whatever had arrived when the ``arrivals``-th shard came has waited long enough."""

    KIND: ClassVar[int] = 615
    arrivals: int


@dataclass(frozen=True)
class Retried(Document):
    """A timer: a slot that was held back behind failures may be leased again."""

    KIND: ClassVar[int] = 616
    task: Digest


Event = (
    Activated
    | Opened
    | OpenRefused
    | Controlled
    | Acknowledging
    | Joined
    | Welcomed
    | Lost
    | Reported
    | ImportDone
    | ImportFailed
    | Merged
    | MergeFailed
    | Snapshotted
    | Waited
    | Retried
)
read_event: Callable[[bytes], Event] = union(
    Activated,
    Opened,
    OpenRefused,
    Controlled,
    Acknowledging,
    Joined,
    Welcomed,
    Lost,
    Reported,
    ImportDone,
    ImportFailed,
    Merged,
    MergeFailed,
    Snapshotted,
    Waited,
    Retried,
)
