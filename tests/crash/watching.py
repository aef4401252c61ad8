"""What publishers leave on the log, as anybody with the broker sees it: sessions and their records.

All of it is in clear: who opened a session, which shard a record is of. What is sealed stays so.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.records import Isolation, Partition, Record
from chiron_stream.broker.seam import Closing
from chiron_stream.job.file import Job
from chiron_stream.wire.control import ControlRecord, read_header
from chiron_stream.wire.document import kind_of
from chiron_stream.wire.session import SessionOpen, read_hello
from chiron_stream.wire.shards import record_name, shard_digest
from tests.crash.senders import RECORDS_PER_SHARD
from tests.crash.waiting import wait_for
from tests.jobs import jobs

PARTITIONS: Final = (("control", 0), *(("shards", number) for number in range(4)))
LOOK_SECONDS: Final = 0.005

Shards = dict[int, dict[int, bytes]]
"""Records of shards, by number and index."""


@dataclass
class Session:
    """A session on the log.

    :param opened: offset of its open on ``control``.
    :param said: offsets of its control records: an announcement for each shard, and the fin.
    """

    id: bytes
    identity: bytes
    opened: int
    shards: Shards
    said: list[int] = field(default_factory=list)

    @property
    def records(self) -> int:
        """How many records of shards it has sent."""
        return sum(map(len, self.shards.values()))

    def digests(self) -> dict[int, bytes]:
        """Return the digest of each shard whose records are all there, by number."""
        return {
            number: shard_digest([records[index] for index in range(RECORDS_PER_SHARD)])
            for number, records in self.shards.items()
            if len(records) == RECORDS_PER_SHARD
        }


class Log(Closing):
    """``control`` and ``shards`` of a job, read as they grow."""

    def __init__(self, job: Job) -> None:
        places = [jobs.place(job, topic, number) for topic, number in PARTITIONS]
        self._broker = KafkaBroker(job.bootstrap_servers)
        self._places: list[Partition] = places
        start = dict.fromkeys(places, 0)
        isolation = Isolation.READ_UNCOMMITTED
        self._reader = self._broker.reader(start, isolation=isolation, wait=LOOK_SECONDS)
        self._shards: dict[bytes, Shards] = defaultdict(lambda: defaultdict(dict))
        self._sessions: dict[bytes, Session] = {}

    def look(self) -> None:
        """Take what has come."""
        for record in self._reader.poll(LOOK_SECONDS):
            if record.partition == self._places[0]:
                self._control(record)
            else:
                self._shard(record)

    def settle(self) -> None:
        """Take everything that stands on the log now; nobody writes to it in transactions."""
        ends = self._broker.administration().stable(self._places)

        def reached() -> bool:
            self.look()
            return all(self._reader.position(place) >= end for place, end in ends.items())

        wait_for(reached, "the log is read")

    def _control(self, record: Record) -> None:
        if kind_of(record.value) == ControlRecord.KIND:
            session = read_header(ControlRecord.unpack(record.value)).session
            self._sessions[session].said.append(record.offset)
            return
        opened = SessionOpen.unpack(record.value)
        made = read_hello(opened).identity, record.offset, self._shards[opened.session]
        self._sessions[opened.session] = Session(opened.session, *made)

    def _shard(self, record: Record) -> None:
        found = record_name(record.value)
        assert found is not None
        name, index, total = found
        assert total == RECORDS_PER_SHARD
        self._shards[name.session][name.number][index] = record.value

    def sessions(self, identity: bytes) -> list[Session]:
        """Return the sessions of a member, in the order of their opening."""
        found = [one for one in self._sessions.values() if one.identity == identity]
        return sorted(found, key=lambda one: one.opened)

    def is_superseded(self, offset: int) -> bool:
        """Tell whether a control record's session was no longer its member's newest there."""
        for one in self._sessions.values():
            if offset in one.said:
                return [two for two in self.sessions(one.identity) if two.opened < offset][
                    -1
                ] != one
        return False

    def close(self) -> None:
        """Disconnect."""
        self._reader.close()
        self._broker.close()
