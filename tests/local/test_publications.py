"""Publications in one process: what is refused before it is sent, and what a broker may lose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chiron_stream.clients.publication import SupersededPublisher
from chiron_stream.errors import PolicyRefused, SchemaMismatch, Timeout, UsageRefused
from chiron_stream.recipe import Recipe
from enclave_workers.local import LocalJob
from tests.local import jobs
from tests.local.losing import LosingBroker
from tests.local.lying import LyingBroker, Once, flipped


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
    broker = LosingBroker(lost, for_ever=True)
    with LocalJob(jobs.terms(), workers={"coordinator": 1}, broker=broker) as job:
        with pytest.raises(Timeout, match="not acknowledged"):
            jobs.publish(job, "alice", patience=1.0)
        broker.for_ever = False
        again = jobs.publish(job, "alice")
        again.wait("accepted", 10)
        assert again.resumed_at == min(lost - 2, 4) * jobs.ROWS_PER_SHARD


@pytest.mark.parametrize("lost", [2, 4, 6], ids=["announcement", "another", "fin"])
def test_announcement_that_the_broker_did_not_take_is_sent_again(lost: int) -> None:
    broker = LosingBroker(lost)
    with LocalJob(jobs.terms(), workers={"coordinator": 1}, broker=broker) as job:
        published = jobs.publish(job, "alice")
        published.wait("accepted", 10)
        assert broker.lost == 1
        assert sorted(published.sent) == [0, 1, 2, 3]
        job.wait(lambda status: status.accepted == 4, timeout=10)


def test_publisher_that_lost_the_broker_and_its_claim_is_told_of_its_successor() -> None:
    broker = LosingBroker(4)
    with LocalJob(jobs.terms(), workers={"coordinator": 1}, broker=broker) as job:
        broker.meanwhile = lambda: jobs.publish(job, "alice").wait("accepted", 10)
        with pytest.raises(SupersededPublisher) as superseded:
            jobs.publish(job, "alice")
        assert isinstance(superseded.value.__cause__, Timeout)
        job.wait(lambda status: status.accepted == 4, timeout=10)


# streams


def batches(*sizes: int) -> Iterator[Any]:
    """Yield alice's rows in batches of these sizes, columns and lists of rows in turn."""
    table, first = jobs.points("alice"), 0
    for place, size in enumerate(sizes):
        part = {name: column[first : first + size] for name, column in table.items()}
        rows = [dict(zip(part, row, strict=True)) for row in zip(*part.values(), strict=True)]
        yield rows if place % 2 else part
        first += size


def stream(job: LocalJob, data: Any, **options: Any) -> Any:
    return job.owner("alice").publish_stream(
        data, dataset="points", rows_per_shard=jobs.ROWS_PER_SHARD, **options
    )


def wrong_at(row: int, *sizes: int) -> Iterator[Any]:
    """Yield alice's rows in batches, one of them with a value out of range."""
    table, first = jobs.points("alice"), 0
    table["north"][row] = 99.0
    for size in sizes:
        yield {name: column[first : first + size] for name, column in table.items()}
        first += size


def test_stream_of_batches_trains_to_the_bits_of_the_whole_table(recipe: Recipe) -> None:
    with LocalJob(jobs.terms()) as job:
        job.provider().publish(recipe)
        jobs.publish(job, "anna")
        told: list[tuple[int, int | None]] = []
        published = stream(job, batches(7, 90, 0, 1, 102), progress=lambda *step: told.append(step))
        published.wait("trained", 60)
        assert told == [(50, None), (100, None), (150, None), (200, None)]
        assert [one.shard for one in published.receipts()] == [0, 1, 2, 3]
        jobs.finish(job)
        assert jobs.same_bits(job)


def test_stream_that_broke_off_goes_on_where_it_was_accepted(recipe: Recipe) -> None:
    class Ended(Exception):
        """The process that streams."""

    def broken() -> Iterator[Any]:
        yield from batches(120)
        raise Ended

    with LocalJob(jobs.terms()) as job:
        job.provider().publish(recipe)
        jobs.publish(job, "anna")
        with pytest.raises(Ended):
            stream(job, broken())
        again = stream(job, batches(30, 170))
        assert again.resumed_at in (0, 50, 100)
        assert sum(one.stop - one.start for one in again.sent.values()) == 200 - again.resumed_at
        jobs.finish(job)
        assert jobs.same_bits(job)


def test_nothing_behind_a_wrong_row_of_a_stream_is_published_and_what_is_before_it_is(
    recipe: Recipe,
) -> None:
    with LocalJob(jobs.terms()) as job:
        job.provider().publish(recipe)
        jobs.publish(job, "anna")
        with pytest.raises(SchemaMismatch) as refused:
            stream(job, wrong_at(135, 60, 60, 80))
        assert "column 'north', row 135 (from 0)" in refused.value.message
        assert "99" not in repr(refused.value.diagnostics())
        job.wait(lambda status: status.accepted == 4 + 2, timeout=10)
        again = stream(job, batches(200))
        assert (again.resumed_at, sorted(again.sent)) == (100, [2, 3])
        jobs.finish(job)
        assert jobs.same_bits(job)


@pytest.mark.parametrize("data", [[], iter(()), [{"east": [], "north": [], "side": []}]])
def test_stream_without_rows_opens_no_session(data: Any) -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1}) as job:
        with pytest.raises(SchemaMismatch) as refused:
            stream(job, data)
        assert refused.value.code == "NO_ROWS"
        assert jobs.records(job, "control") == []


def test_stream_whose_first_row_is_wrong_opens_no_session() -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1}) as job:
        with pytest.raises(SchemaMismatch, match="row 0"):
            stream(job, wrong_at(0, 60))
        assert jobs.records(job, "control") == []


def test_more_rows_behind_a_fin_are_refused_and_not_sealed() -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1}) as job:
        stream(job, batches(200)).wait("accepted", 10)
        before = jobs.records(job, "control")
        table = jobs.points("alice", 220)
        with pytest.raises(PolicyRefused) as refused:
            stream(job, iter([table]))
        assert refused.value.code == "AFTER_FIN"
        assert len(jobs.records(job, "control")) == len(before) + 1, "the session alone"


def test_shard_of_a_stream_that_was_damaged_is_read_again(recipe: Recipe) -> None:
    lie = Once("shards", flipped(-1))
    with LocalJob(jobs.terms(), broker=LyingBroker(lie)) as job:
        job.provider().publish(recipe)
        published = stream(job, list(batches(70, 130)))
        jobs.publish(job, "anna")
        published.wait("trained", 60)
        assert not lie.left
        jobs.finish(job)
        assert jobs.same_bits(job)


def test_shard_of_an_iterator_that_was_damaged_waits_for_the_next_publication(
    recipe: Recipe,
) -> None:
    with LocalJob(jobs.terms(), broker=LyingBroker(Once("shards", flipped(-1)))) as job:
        job.provider().publish(recipe)
        published = stream(job, batches(70, 130))
        jobs.publish(job, "anna")
        with pytest.raises(PolicyRefused) as refused:
            published.wait("trained", 60)
        assert refused.value.code == "ROWS_GONE"
        again = stream(job, batches(200))
        assert list(again.sent) == [0]
        jobs.finish(job)
        assert jobs.same_bits(job)


def test_rows_that_changed_meanwhile_are_not_sealed_under_the_same_key(recipe: Recipe) -> None:
    table = jobs.points("alice")
    with LocalJob(jobs.terms(), broker=LyingBroker(Once("shards", flipped(-1)))) as job:
        job.provider().publish(recipe)
        published = stream(job, [table])
        table["east"][:] = 0.5
        jobs.publish(job, "anna")
        sent = len(jobs.records(job, "shards"))
        with pytest.raises(PolicyRefused) as refused:
            published.wait("trained", 60)
        assert refused.value.code == "OTHER_DATA"
        assert len(jobs.records(job, "shards")) == sent
