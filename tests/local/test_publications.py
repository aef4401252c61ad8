"""Publications in one process: what is refused before it is sent, and what a broker may lose."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chiron_stream.broker.memory import MemoryBroker
from chiron_stream.broker.memory.clients import MemoryDelivery, MemoryProducing
from chiron_stream.broker.records import Outgoing, Position
from chiron_stream.clients.publication import SupersededPublisher
from chiron_stream.errors import Timeout, UsageRefused
from enclave_workers.local import LocalJob
from tests.local import jobs


class _Lost(MemoryDelivery):
    """The outcome of a record that the broker never acknowledged.

    :param meanwhile: what happens until that is known.
    """

    def __init__(self, position: Position, meanwhile: Callable[[], None]) -> None:
        super().__init__(position)
        self._meanwhile = meanwhile

    def result(self, timeout: float | None = None) -> Position:  # noqa: ARG002  (the seam's)
        self._meanwhile()
        raise Timeout("not acknowledged")


class LosingBroker(MemoryBroker):
    """A broker that loses one record of ``control``: the so-and-so-many-th."""

    def __init__(self, lost: int, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._lost = lost
        self._seen = 0
        self.meanwhile = meanwhile

    def loses(self, record: Outgoing) -> bool:
        """Tell whether this is the one."""
        counts = record.partition.topic.endswith(".control")
        self._seen += counts
        return counts and self._seen == self._lost

    def producer(self) -> MemoryProducing:
        return _LosingProducing(self)


class _LosingProducing(MemoryProducing):
    def __init__(self, broker: LosingBroker) -> None:
        super().__init__(broker.cluster, lambda _topic: 1_000_000)
        self._broker = broker

    def send(self, record: Outgoing) -> MemoryDelivery:
        if self._broker.loses(record):
            return _Lost(Position(record.partition, 0), self._broker.meanwhile)
        return super().send(record)


@pytest.mark.parametrize("size", [-50, -1, 0])
def test_shards_without_rows_are_refused_and_the_data_set_stays_open(size: int) -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1}) as job:
        owner = job.owner("alice")
        with pytest.raises(UsageRefused, match="a shard has at least one row"):
            owner.publish(jobs.points("alice"), dataset="points", rows_per_shard=size)
        assert jobs.records(job, "control") == []
        published = jobs.publish(job, "alice")
        published.wait("accepted", 10)
        assert len(published.sent) == 4


@pytest.mark.parametrize("lost", [2, 4, 6], ids=["announcement", "another", "fin"])
def test_announcement_that_the_broker_did_not_take_is_not_called_sent(lost: int) -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1}, broker=LosingBroker(lost)) as job:
        with pytest.raises(Timeout, match="not acknowledged"):
            jobs.publish(job, "alice")
        again = jobs.publish(job, "alice")
        again.wait("accepted", 10)
        assert again.resumed_at == min(lost - 2, 4) * jobs.ROWS_PER_SHARD


def test_publisher_that_lost_the_broker_and_its_claim_is_told_of_its_successor() -> None:
    broker = LosingBroker(4)
    with LocalJob(jobs.terms(), workers={"coordinator": 1}, broker=broker) as job:
        broker.meanwhile = lambda: jobs.publish(job, "alice").wait("accepted", 10)
        with pytest.raises(SupersededPublisher) as superseded:
            jobs.publish(job, "alice")
        assert isinstance(superseded.value.__cause__, Timeout)
        job.wait(lambda status: status.accepted == 4, timeout=10)
