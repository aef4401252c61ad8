"""What a core sees of a broker, kept in memory and open to every kind of tampering."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chiron_stream.attestation.evidence import Evidence
from chiron_stream.job.file import Job, verify
from chiron_stream.job.policy import Policy
from chiron_stream.wire.courier import Line, Marks, Send
from enclave_workers.core.coordinator.history import History, replay
from enclave_workers.core.link import Link
from tests.unit.core.story import POLICY, SEALING, Story
from tests.unit.job.builders import file_of


class FixedTee:
    """A TEE that seals and gives no evidence."""

    profile = "simulated"

    def evidence(self, report_data: bytes) -> Evidence:  # noqa: ARG002  (the protocol's)
        raise AssertionError("a journal is replayed without evidence")

    def sealing_key(self, label: bytes) -> bytes:  # noqa: ARG002  (the protocol's)
        return SEALING


class Shelf(Link):
    """A link to topics that are tables from offset to value.

    ``hint`` is what the courier says of the newest snapshot.
    """

    def __init__(self, journal: Sequence[bytes] = (), *, stride: int = 1) -> None:
        self.topics: dict[str, dict[int, bytes]] = {
            "journal": {n * stride: value for n, value in enumerate(journal)},
            "authority": dict.fromkeys(range(1 if journal else 0), b"activation"),
        }
        self.hint = -1
        self.reads: list[tuple[str, int]] = []

    def reach(self, topic: str, partition: int = 0) -> Marks:  # noqa: ARG002  (one each)
        end = max(self.topics.get(topic, {}), default=-1) + 1
        return Marks(0, end, end, 1)

    def partitions(self, topic: str) -> int:
        return self.reach(topic).partitions

    def stretches(
        self,
        topic: str,
        first: int,
        end: int,
        *,
        partition: int = 0,  # noqa: ARG002  (there is one)
        committed: bool = True,  # noqa: ARG002  (all is)
        records: int = 500,
    ) -> Iterator[Sequence[Line]]:
        for start in range(first, end, records):
            self.reads.append((topic, start))
            yield self.shown(topic, start, min(end, start + records))

    def shown(self, topic: str, first: int, end: int) -> list[Line]:
        """Return what a courier answers."""
        table = self.topics.get(topic, {})
        return [Line(topic, 0, n, table[n]) for n in range(first, end) if n in table]

    def append(self, records: Sequence[Send]) -> tuple[int, ...]:
        offsets = []
        for record in records:
            table = self.topics.setdefault(record.topic, {})
            offsets.append(len(table))
            table[len(table)] = record.value
        return tuple(offsets)

    def newest_snapshot(self) -> int:
        return self.hint


def job_of(policy: Policy = POLICY) -> Job:
    return verify(file_of(policy))


def replayed(shelf: Shelf, policy: Policy = POLICY) -> History:
    """Return what a coordinator finds at its start."""
    return replay(shelf, job_of(policy), FixedTee())


def shelf_of(story: Story, *, stride: int = 1) -> Shelf:
    return Shelf(story.journal, stride=stride)
