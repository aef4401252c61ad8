"""A broker that alters, withholds or doubles records: found out, mended, never trained on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from chiron_stream.errors import RecipeRefused, TamperDetected, Timeout
from chiron_stream.recipe import Recipe
from chiron_stream.wire.control import ControlRecord
from enclave_workers.local import LocalJob
from tests.local import jobs
from tests.local.lying import LyingBroker, Once, doubled, flipped, withheld

CORES = {"coordinator": 1, "trainer": 1}


@pytest.mark.parametrize(
    "change",
    [flipped(-1), flipped(60), flipped(0), flipped(30), withheld],
    ids=["tag", "ciphertext", "magic", "name", "withheld"],
)
def test_damaged_shard_is_parked_sent_again_by_its_waiting_publisher_and_trained(
    recipe: Recipe, change: Callable[[bytes], list[bytes]]
) -> None:
    lie = Once("shards", change)
    with LocalJob(jobs.terms(), workers=CORES, broker=LyingBroker(lie)) as job:
        alice, anna = jobs.publish_all(job, recipe)
        job.wait(lambda status: status.parked == 1)
        assert not lie.left
        alice.wait("trained", 30)
        anna.wait("trained", 30)
        jobs.finish(job)
        assert jobs.same_bits(job)
        assert [one.shard for one in alice.receipts()] == [0, 1, 2, 3]


def test_shard_damaged_again_and_again_is_parked_again_and_again(recipe: Recipe) -> None:
    lie = Once("shards", flipped(-1), times=12)
    with LocalJob(jobs.terms(), workers=CORES, broker=LyingBroker(lie)) as job:
        publications = jobs.publish_all(job, recipe)
        while any(one.state != "trained" for one in publications):
            for one in publications:
                with suppress(Timeout):
                    one.wait("trained", 0.1)
        jobs.finish(job)
        assert not lie.left
        assert jobs.same_bits(job)


def test_shard_parked_without_its_publisher_is_sealed_again_by_a_later_one(recipe: Recipe) -> None:
    with LocalJob(
        jobs.terms(), workers=CORES, broker=LyingBroker(Once("shards", flipped(-1)))
    ) as job:
        for one in jobs.publish_all(job, recipe):
            one.close()
        waiting = job.wait(lambda status: status.parked == 1)
        assert waiting.waiting_for in ("parked-shards", "")
        again = jobs.publish(job, "alice")
        assert list(again.sent) == [0]
        jobs.finish(job)
        again.wait("trained", 30)
        assert jobs.same_bits(job)


@pytest.mark.parametrize("topic", ["control", "shards", "workers", "updates", "presence"])
def test_doubled_records_change_nothing(recipe: Recipe, topic: str) -> None:
    lie = Once(topic, doubled, times=10**6)
    with LocalJob(jobs.terms(), workers=CORES, broker=LyingBroker(lie)) as job:
        for one in jobs.train(job, recipe):
            one.wait("trained", 30)
        assert jobs.all_alive(job)
        assert len(jobs.plans(job)) == 8
        assert jobs.same_bits(job)


def test_altered_recipe_is_refused_and_the_next_one_taken(recipe: Recipe) -> None:
    broker = LyingBroker(Once("bulk", flipped(-1)))
    with LocalJob(jobs.terms(), workers=CORES, broker=broker) as job:
        provider = job.provider()
        with pytest.raises(RecipeRefused) as refused:
            provider.publish(recipe)
        assert refused.value.code == "DOES_NOT_OPEN"
        provider.publish(recipe)
        assert jobs.all_alive(job)


def test_altered_session_open_is_rejected(recipe: Recipe) -> None:
    broker = LyingBroker(Once("control", flipped(-1)))
    with LocalJob(jobs.terms(), workers=CORES, broker=broker) as job:
        with pytest.raises(Timeout):
            job.provider().publish(recipe, timeout=1)
        assert jobs.rejection(job, "control", 0).code == "SIGNATURE"
        job.provider().publish(recipe)


def test_altered_announcement_stops_its_session_and_a_new_one_goes_on(recipe: Recipe) -> None:
    broker = LyingBroker(Once("-", withheld))
    with LocalJob(jobs.terms(), workers=CORES, broker=broker) as job:
        job.provider().publish(recipe)
        broker.lie = Once("control", flipped(-1), only=ControlRecord.KIND)
        first = jobs.publish(job, "alice")
        with pytest.raises(Timeout):
            first.wait("accepted", 1)
        jobs.until(job, lambda: len(jobs.rejected(job)) == 5)
        assert [one.code for one in jobs.rejected(job)] == ["DOES_NOT_OPEN", *["SEQUENCE"] * 4]
        second, anna = jobs.publish(job, "alice"), jobs.publish(job, "anna")
        second.wait("trained", 30)
        anna.wait("trained", 30)
        jobs.finish(job)
        assert jobs.same_bits(job)


def test_altered_update_sends_the_slot_back_to_be_trained_again(recipe: Recipe) -> None:
    broker = LyingBroker(Once("update-chunks", flipped(-1)))
    with LocalJob(jobs.terms(), workers=CORES, broker=broker) as job:
        jobs.train(job, recipe)
        assert jobs.same_bits(job)
        assert jobs.all_alive(job)


def test_altered_report_is_rejected_and_its_slot_leased_again(recipe: Recipe) -> None:
    broker = LyingBroker(Once("updates", flipped(-1)))
    with LocalJob(jobs.terms(schedule={"step_deadline": 2}), workers=CORES, broker=broker) as job:
        jobs.publish_all(job, recipe)
        assert jobs.rejection(job, "updates", 0).code == "SIGNATURE"
        job.wait(lambda status: status.waiting_for == "trainer")
        jobs.finish(job)
        assert jobs.same_bits(job)


def test_shortened_journal_ends_the_successor(recipe: Recipe) -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1}) as job:
        job.provider().publish(recipe)
        job.stop_worker("coordinator-0")
        job.broker.cluster.truncate(jobs.place(job, "journal"), 0)
        name = job.start_worker("coordinator")
        job.workers[name].join()
        error = job.workers[name].error
        assert isinstance(error, TamperDetected)
        assert error.code == "ROLLED_BACK"
