"""One transaction of a successor, heard in either order: its tasks first, or its activation."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from chiron_stream.broker.memory import MemoryBroker
from chiron_stream.broker.memory.clients import MemoryReading
from chiron_stream.broker.records import Isolation, Partition, Record
from enclave_workers.local import LocalJob
from tests.crash import jobs

PASSES = 30
SECONDS = 20.0
"""Well below the step deadline, behind which a worker without a task would be found out."""


class InOrder(MemoryReading):
    """Hands records of one topic over last of all that came together, as any broker may."""

    last = ""

    def poll(self, timeout: float, limit: int = 500) -> list[Record]:
        records = super().poll(timeout, limit)
        return sorted(records, key=lambda one: one.partition.topic.endswith(self.last))


class Ordering(MemoryBroker):
    """A broker whose readers hear ``last`` last."""

    def __init__(self, last: str) -> None:
        super().__init__()
        self._last = f".{last}"

    def reader(
        self,
        start: Mapping[Partition, int],
        *,
        isolation: Isolation = Isolation.READ_COMMITTED,
        wait: float = 0.0,  # noqa: ARG002  (nothing here holds an answer back)
    ) -> InOrder:
        made = InOrder(self.cluster, start, isolation)
        made.last = self._last
        return made


@pytest.mark.parametrize("last", ["authority", "tasks"])
def test_successor_is_followed_whichever_topic_is_heard_first(last: str) -> None:
    with LocalJob(jobs.terms(PASSES), broker=Ordering(last)) as job:
        job.provider().publish(jobs.export())
        for owner in jobs.OWNERS:
            job.owner(owner).publish(
                jobs.rows(owner), dataset=jobs.DATA_SET, rows_per_shard=jobs.ROWS_PER_SHARD
            )
        for version in (4, 8):
            job.wait(lambda status, behind=version: status.version >= behind, timeout=SECONDS)  # type: ignore[misc]
            job.stop_worker(f"coordinator-{version // 4 - 1}")
            job.start_worker("coordinator")
        job.wait(lambda status: status.state == "finished", timeout=SECONDS)
        answer = job.client("carol").predict(jobs.questions()[0], timeout=SECONDS)
        assert answer.version == PASSES * jobs.SLOTS_PER_PASS
