"""The journal as the shell holds it: replayed at the start, then sealed entry by entry."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from chiron_stream.errors import RolledBack, TamperDetected
from chiron_stream.job.file import Job
from chiron_stream.wire import labels
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.courier import Line
from chiron_stream.wire.crypto import derive, seal, unseal
from chiron_stream.wire.document import Digest, Document, Limit
from chiron_stream.wire.journal import Entry, EntryHeader, Genesis, head_of, open_entry
from chiron_stream.wire.objects import ObjectRef
from chiron_stream.wire.tasks import KeyedObject
from enclave_workers.core.coordinator.events import Snapshotted, read_event
from enclave_workers.core.coordinator.state import STATE_BYTES, At, Context, State
from enclave_workers.core.coordinator.step import step
from enclave_workers.core.link import Link
from enclave_workers.core.lookup import read_object, write_object
from enclave_workers.core.tee import Tee

SNAPSHOT_EVERY: Final = 512
"""Journal entries between two snapshots."""


@dataclass(frozen=True)
class Snapshot(Document):
    """A state, and the entry that it stands behind."""

    KIND: ClassVar[int] = 520
    MOST: ClassVar[int] = STATE_BYTES + 1024
    index: int
    head: Digest
    state: Annotated[bytes, Limit(STATE_BYTES)]


@dataclass
class History:
    """Where the job stands. ``index`` is of the next entry, ``head`` hashes the one before.

    ``genesis`` is set while record 0 is still to be written.
    """

    context: Context
    state: State
    index: int
    head: bytes
    genesis: bytes | None
    snapshot_index: int = 0


def replay(link: Link, job: Job, tee: Tee) -> History:
    """Return the history that the journal holds, or a new one for a job without any.

    :raises RolledBack: the journal is empty and ``authority`` is not, or the other way round.
    :raises TamperDetected: the journal does not verify; the message says where.
    """
    journal, authority = link.reach("journal"), link.reach("authority")
    if journal.stable == 0 and authority.stable == 0:
        return _begin(job, tee)
    if journal.stable == 0 or authority.stable == 0:
        raise RolledBack(
            "journal and authority cannot be of one history",
            expected="both empty, or neither",
            got=f"journal ends at {journal.stable}, authority at {authority.stable}",
        )
    first = link.read("journal", 0, 1)
    if not first:
        raise TamperDetected("the journal has no record 0", code="JOURNAL_CHAIN")
    context = _context(job, tee, first[0].value)
    history = History(context, State(), 1, head_of(first[0].value), None)
    start = _from_snapshot(link, history)
    for line in link.read("journal", start, journal.stable):
        _replay(history, line)
    return history


def _begin(job: Job, tee: Tee) -> History:
    key = os.urandom(32)
    sealing = tee.sealing_key(labels.K_SEALING)
    genesis = Genesis(job.policy_bytes, seal(sealing, job.job_id, key)).pack()
    context = Context(job.policy, job.job_id, job.head, key)
    return History(context, State(), 1, head_of(genesis), genesis)


def _context(job: Job, tee: Tee, record: bytes) -> Context:
    try:
        genesis = Genesis.unpack(record)
    except EncodingRefused as error:
        raise _broken(0, "JOURNAL_GENESIS") from error
    if genesis.policy != job.policy_bytes:
        raise TamperDetected(
            "the journal at index 0 is of another job",
            code="JOURNAL_JOB",
            expected="the policy of the job file",
        )
    try:
        key = unseal(tee.sealing_key(labels.K_SEALING), job.job_id, genesis.sealed_key)
    except TamperDetected as error:
        raise _broken(0, "JOURNAL_GENESIS") from error
    return Context(job.policy, job.job_id, job.head, key)


def _broken(index: int, code: str) -> TamperDetected:
    return TamperDetected(f"the journal does not verify at index {index}", code=code)


def _replay(history: History, line: Line) -> None:
    try:
        header, data = open_entry(
            history.context.key, line.value, index=history.index, head=history.head
        )
    except EncodingRefused as error:
        raise _broken(history.index, "JOURNAL_CHAIN") from error
    history.head = head_of(line.value)
    event = read_event(data)
    at = At(header.index, history.head)
    history.state, _ = step(history.context, history.state, event, at)
    history.index += 1
    if isinstance(event, Snapshotted):
        history.snapshot_index = header.index


def _from_snapshot(link: Link, history: History) -> int:
    """Load the newest snapshot, if there is a hint to one; return the offset to replay from.

    The hint is the operator's word, and an older snapshot only costs time: the entry at it opens
    under the journal's key or not at all.
    """
    offset = link.newest_snapshot()
    lines = link.read("journal", offset, offset + 1) if offset > 0 else []
    if not lines:
        return 1
    header = EntryHeader.unpack(Entry.unpack(lines[0].value).header)
    _, data = open_entry(
        history.context.key, lines[0].value, index=header.index, head=header.previous
    )
    event = read_event(data)
    if not isinstance(event, Snapshotted):
        return 1
    key = derive(history.context.key, labels.K_SNAPSHOT, header.index)
    snapshot = Snapshot.unpack(read_object(link, KeyedObject(event.ref, key)))
    if (snapshot.index, snapshot.head) != (header.index, header.previous):
        raise TamperDetected(
            f"the snapshot at index {header.index} is of another entry", code="SNAPSHOT"
        )
    history.state = State.unpack(snapshot.state)
    history.index, history.head = header.index, header.previous
    return offset


def write_snapshot(link: Link, history: History) -> ObjectRef:
    """Write the state that the next entry, a Snapshotted, stands behind."""
    snapshot = Snapshot(history.index, history.head, history.state.pack())
    key = derive(history.context.key, labels.K_SNAPSHOT, history.index)
    return write_object(link, "coordinator-chunks", key, os.urandom(16), snapshot.pack())
