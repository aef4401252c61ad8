"""The whole way once, real processes over real Kafka: rows and a recipe in, answers out."""

from __future__ import annotations

import pytest

from chiron_stream.clients.observer import Observer
from tests.jobs import jobs
from tests.jobs.conftest import Finished
from tests.jobs.jobs import Parties

pytestmark = pytest.mark.kafka


def test_answers_are_right(finished: Finished) -> None:
    with Parties(finished.directory) as parties:
        assert parties.right_answers(100) >= 85


def test_parameters_are_those_of_plain_pytorch_bit_for_bit(finished: Finished) -> None:
    assert jobs.finished_right(finished.directory)


def test_every_shard_of_an_owner_has_a_receipt_that_names_both_passes(finished: Finished) -> None:
    receipts = finished.publication.receipts()
    assert [one.shard for one in receipts] == list(range(jobs.SHARDS))
    assert {len(one.checkpoints) for one in receipts} == {jobs.PASSES}
    assert {(one.simulated, one.freshness) for one in receipts} == {(True, "local")}


def test_checkpoints_verify_and_the_last_one_says_finished(finished: Finished) -> None:
    with Observer(finished.directory.job()) as observer:
        seen = observer.look()
    assert seen.checkpoint is not None
    last = seen.checkpoint
    assert (seen.epoch, seen.simulated, last.finished) == (1, True, True)
    assert (last.round, last.version) == (jobs.ROUNDS, jobs.ROUNDS)
    assert (last.accepted, last.trained, last.void, last.parked) == (8, 8, 0, 0)


def test_auditor_can_follow_every_round_from_its_base_to_its_result(finished: Finished) -> None:
    plans = jobs.plans(finished.directory)
    assert [one.round for one in plans] == list(range(1, jobs.ROUNDS + 1))
    assert [one.base for one in plans[1:]] == [one.result for one in plans[:-1]]
    assert {slot.rows for plan in plans for slot in plan.slots} == {2 * jobs.ROWS_PER_SHARD}


def test_nothing_was_rejected_and_nobody_was_started_again(finished: Finished) -> None:
    assert jobs.rejected(finished.directory.job()) == []
    for worker in ("coordinator-0", "trainer-0", "predictor-0"):
        assert "chiron" not in jobs.log(finished.directory, worker).replace("chiron.j", "")
    assert "service.ended" not in finished.up.shown


def test_no_row_name_or_number_stands_in_what_parties_and_workers_wrote(
    finished: Finished,
) -> None:
    job = finished.directory.job()
    alice = jobs.rows("alice")
    found = [
        record.value
        for topic, partitions in (("shards", 4), ("queries", 4), ("bulk", 1), ("updates", 1))
        for partition in range(partitions)
        for record in jobs.records(job, topic, partition)
    ]
    assert len(found) >= 2 * jobs.SHARDS
    assert not any(alice[name][:4].tobytes() in one for name in jobs.NUMBERS for one in found)
    assert not any(jobs.DATA_SET.encode() in one for one in found)
