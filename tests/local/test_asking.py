"""Query clients: bounded, patient for so long, with tags, cursors, and one asker a state."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chiron_stream.broker.memory import MemoryBroker
from chiron_stream.broker.records import Outgoing
from chiron_stream.clients import asking, party
from chiron_stream.clients.identity import Identity
from chiron_stream.clients.query import QueryClient
from chiron_stream.clients.state import QueryState, TagTaken
from chiron_stream.clients.waiting import TooManyQueries
from chiron_stream.errors import (
    AnswerTimeout,
    BudgetExhausted,
    ChironError,
    EvidenceRefused,
    Fenced,
    JobRefused,
    RolledBack,
    Timeout,
    UsageRefused,
    Withheld,
)
from chiron_stream.job.simulation import InsecureSimulation
from chiron_stream.local.directory import create
from chiron_stream.recipe import Recipe
from chiron_stream.wire.serving import query_name
from enclave_workers.local import LocalJob
from tests.local import jobs
from tests.local.losing import LosingBroker

ABOVE, BELOW = jobs.ABOVE, jobs.BELOW
SIMULATED = InsecureSimulation()


def client(job: LocalJob, **options: Any) -> QueryClient:
    """Return a client that the test closes by itself."""
    identity = job.directory.identity("carol")
    return QueryClient(job.job, identity, evidence=SIMULATED, broker=job.broker, **options)


def queries(job: LocalJob) -> list[bytes]:
    """Return every query that was sent, in order of partitions."""
    return [one.value for n in range(4) for one in jobs.records(job, "queries", n)]


def session_of(asker: QueryClient) -> bytes:
    """Return the id of the session that a client has opened."""
    sealer: Any = asker.asking._sealer
    session: bytes = sealer.open(0).session
    return session


def kept_answers(job: LocalJob, asker: QueryClient) -> tuple[int, list[bytes]]:
    """Return the partition of a client's answers, and the answers of its session."""
    state: Any = asker.asking._state
    found = jobs.records(job, "answers", state.partition)
    return state.partition, [one.value for one in found if one.key == session_of(asker)]


def copies(job: LocalJob) -> int:
    """Return how many queries that were sent are copies of others, byte for byte."""
    sent = queries(job)
    return len(sent) - len(set(sent))


def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# under way


def test_full_client_refuses_and_goes_on_when_there_is_room(silent: LocalJob) -> None:
    with client(silent, under_way=2) as asker:
        futures = [asker.submit(ABOVE) for _ in range(2)]
        sent = len(queries(silent))
        with pytest.raises(TooManyQueries):
            asker.submit(ABOVE, timeout=0)
        began = time.monotonic()
        with pytest.raises(TooManyQueries):
            asker.submit(ABOVE, timeout=0.2)
        assert time.monotonic() - began >= 0.2
        assert len(queries(silent)) == sent
        with ThreadPoolExecutor(1) as pool:
            third = pool.submit(asker.submit, BELOW, timeout=60)
            futures[0].cancel()
            assert not third.result(10).done()


def test_hundred_queries_go_through_a_client_that_holds_three(serving: LocalJob) -> None:
    rows = [ABOVE, BELOW] * 50
    with client(serving, under_way=3) as asker:
        futures = [asker.submit(row) for row in rows]
        values = [one.result(30).value for one in futures]
    assert values == ["above", "below"] * 50


def test_client_without_room_for_any_query_is_refused(silent: LocalJob) -> None:
    with pytest.raises(UsageRefused):
        client(silent, under_way=0)


# time-outs


def test_client_waits_for_the_first_release_and_says_that_there_is_none(silent: LocalJob) -> None:
    with client(silent, under_way=1) as asker:
        began = time.monotonic()
        with pytest.raises(AnswerTimeout) as late:
            asker.predict(ABOVE, timeout=0.5)
        assert time.monotonic() - began >= 0.5
        assert late.value.got == "no release yet"
        assert late.value.exit_code == 3
        asker.submit(ABOVE, timeout=0)  # the one given up holds no room


def test_late_answer_of_a_job_that_serves_names_its_release(serving: LocalJob) -> None:
    with client(serving) as asker:
        assert asker.asking.late(1).got == "none; the newest release is 8"


def test_broker_that_tells_nothing_makes_a_time_out_no_longer(
    silent: LocalJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = threading.Event()
    with client(silent) as asker:
        asker.submit(ABOVE)
        monkeypatch.setattr(asking, "newest_release", lambda _party: stuck.wait(60) and 1)
        began = time.monotonic()
        with pytest.raises(AnswerTimeout) as late:
            asker.predict(ABOVE, timeout=0.2)
        stuck.set()
        assert time.monotonic() - began < 30
        assert late.value.got is None


def test_query_asked_before_the_first_release_is_answered_behind_it(recipe: Recipe) -> None:
    with LocalJob(jobs.terms()) as job, client(job) as asker:
        future = asker.submit(ABOVE)
        with pytest.raises(TimeoutError):
            future.result(0.3)
        jobs.train(job, recipe)
        assert future.result(30).release >= 1


def test_query_goes_again_after_half_its_time_with_the_same_bytes(silent: LocalJob) -> None:
    before = copies(silent)
    with client(silent) as asker, pytest.raises(AnswerTimeout):
        asker.predict(ABOVE, timeout=0.2)
    assert copies(silent) == before + 1


def test_job_without_a_coordinator_is_an_answer_time_out_too() -> None:
    with LocalJob(jobs.terms(), workers={}) as job, client(job) as asker:
        with pytest.raises(AnswerTimeout) as late:
            asker.predict(ABOVE, timeout=0.3)
        assert late.value.message == "no session was opened in time; nothing was sent"
        assert late.value.got == f"the job {job.job.policy.name} has no coordinator"
        assert queries(job) == []


class LosingQueries(LosingBroker):
    """A broker that does not take the first query."""

    def loses(self, record: Outgoing) -> bool:
        found = record.partition.topic.endswith(".queries") and not self.lost
        self.lost += found
        return found


def test_query_that_the_broker_did_not_take_is_not_called_sent() -> None:
    broker = LosingQueries(1)
    workers = {"coordinator": 1}
    with LocalJob(jobs.terms(), workers=workers, broker=broker) as job, client(job) as asker:
        future = asker.submit(ABOVE)
        with pytest.raises(Timeout, match="not acknowledged"):
            asker.flush()
        assert queries(job) == []
        asker.asking.again(future)
        asker.flush()
        assert len(queries(job)) == 1


# cancelling and closing


def test_answer_to_a_cancelled_query_is_dropped_and_counted(recipe: Recipe) -> None:
    with LocalJob(jobs.terms()) as job, client(job) as asker:
        cancelled, kept = asker.submit(ABOVE), asker.submit(BELOW)
        assert cancelled.cancel()
        assert asker.dropped == 0
        jobs.train(job, recipe)
        assert kept.result(30).value == "below"
        eventually(lambda: asker.dropped == 1)
        assert [one.value for one in asker.results()] == ["above", "below"]


def test_whoever_waits_when_a_client_is_closed_is_told(silent: LocalJob) -> None:
    asker = client(silent, under_way=1)
    future = asker.submit(ABOVE)
    results = asker.results(timeout=None)
    with ThreadPoolExecutor(2) as pool:
        waits = [
            pool.submit(asker.predict, ABOVE, timeout=60),  # for room
            pool.submit(next, results),
        ]
        eventually(lambda: all(one.running() for one in waits))
        asker.close()
        for one in (future, *waits):
            with pytest.raises(ChironError) as closed:
                one.result(10)
            assert closed.value.code == "CLOSED"
    for ask in (asker.predict, asker.submit):
        with pytest.raises(ChironError) as closed:
            ask(ABOVE)
        assert closed.value.code == "CLOSED"
    asker.close()


def test_closed_clients_leave_no_threads(serving: LocalJob) -> None:
    def answering() -> int:
        return sum(one.name == "answers" for one in threading.enumerate())

    before = answering()
    for _ in range(3):
        with client(serving) as asker:
            asker.predict(ABOVE)
            assert answering() == before + 1
    assert answering() == before


def test_client_whose_log_is_cut_says_so_to_everybody(recipe: Recipe) -> None:
    with LocalJob(jobs.terms()) as job:
        jobs.train(job, recipe)
        with client(job) as asker:
            asker.predict(ABOVE)
            job.stop_worker("predictor-0")
            future = asker.submit(BELOW)
            state: Any = asker.asking._state
            job.broker.cluster.truncate(jobs.place(job, "answers", state.partition), 0)
            with pytest.raises(RolledBack):
                future.result(10)
            with pytest.raises(RolledBack):
                asker.submit(ABOVE)


# tags


@pytest.mark.parametrize("kept", [True, False])
def test_tag_that_is_asked_again_is_one_query(
    serving: LocalJob, tmp_path: Path, kept: bool
) -> None:
    state = tmp_path / "state" if kept else None
    with client(serving, state=state) as asker:
        first = asker.predict(ABOVE, tag="order-17")
        assert first.tag == "order-17"
        sent = queries(serving)
        assert asker.predict(ABOVE, tag="order-17") == first
        assert asker.submit(ABOVE, tag="order-17").result(0) == first
        assert queries(serving) == sent
        other = asker.predict(ABOVE, tag="order-18")
        assert other.budget_left == first.budget_left - 1
        with pytest.raises(TagTaken):
            asker.predict(BELOW, tag="order-17")
        assert len(list(asker.results())) == 2


def test_tag_under_way_is_asked_again_with_the_same_bytes_and_answers_both(
    recipe: Recipe,
) -> None:
    with LocalJob(jobs.terms()) as job, client(job, under_way=1) as asker:
        first = asker.submit(ABOVE, tag="order-17")
        second = asker.submit(ABOVE, tag="order-17", timeout=0)
        assert len(set(queries(job))) == 1
        assert len(queries(job)) == 2
        assert first.cancel()
        jobs.train(job, recipe)
        assert second.result(30).value == "above"
        assert asker.dropped == 0


def test_tag_after_a_crash_is_charged_once_and_has_the_same_answer(
    serving: LocalJob, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with client(serving, state=state) as asker:
        answers = [asker.predict(ABOVE, tag=str(number)) for number in range(3)]
    sent = queries(serving)
    with client(serving, state=state) as asker:
        assert [asker.predict(ABOVE, tag=str(number)) for number in range(3)] == answers
        assert queries(serving) == sent
        with pytest.raises(TagTaken):
            asker.predict(BELOW, tag="1")


def test_tag_that_crashed_before_its_answer_goes_out_again_byte_for_byte(
    recipe: Recipe, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    terms = jobs.terms(disclosure={"answers_per_client": 10, "grant_size": 1})
    with LocalJob(terms) as job:
        with client(job, state=state) as asker:
            asker.submit(ABOVE, tag="order-17")
        with client(job, state=state) as asker:
            future = asker.submit(ABOVE, tag="order-17")
            (query,) = set(queries(job))
            assert queries(job) == [query, query]
            jobs.train(job, recipe)
            answer = future.result(30)
            assert (answer.tag, answer.budget_left) == ("order-17", 9)
            assert asker.predict(ABOVE).budget_left == 8  # and so it was charged once


def test_control_of_tags_an_untagged_query_is_charged_again(recipe: Recipe, tmp_path: Path) -> None:
    terms = jobs.terms(disclosure={"answers_per_client": 10, "grant_size": 1})
    with LocalJob(terms) as job:
        jobs.train(job, recipe)
        left = []
        for _ in range(2):
            with client(job, state=tmp_path / "state") as asker:
                left.append(asker.predict(ABOVE).budget_left)
        assert left == [9, 8]


def test_answer_that_came_while_nobody_ran_is_found_without_asking_again(
    recipe: Recipe, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with LocalJob(jobs.terms()) as job:
        with client(job, state=state) as asker:
            asker.submit(ABOVE, tag="order-17")
        jobs.train(job, recipe)
        reader = client(job, state=state)
        jobs.until(job, lambda: len(list(reader.results())) == 1)
        reader.close()
        sent = queries(job)
        with client(job, state=state) as asker:
            assert asker.predict(ABOVE, tag="order-17", timeout=0.1).value == "above"
        assert queries(job) == sent


def test_refusal_under_a_tag_stands(recipe: Recipe, tmp_path: Path) -> None:
    terms = jobs.terms(disclosure={"answers_per_client": 1, "grant_size": 1})
    with LocalJob(terms) as job:
        jobs.train(job, recipe)
        with client(job, state=tmp_path / "state") as asker:
            asker.predict(ABOVE, tag="a")
            for _ in range(2):
                with pytest.raises(BudgetExhausted):
                    asker.predict(ABOVE, tag="b")
            assert [(one.tag, one.value) for one in asker.results()] == [
                ("a", "above"),
                ("b", None),
            ]
            *_, refused = asker.results()
            assert isinstance(refused.error, BudgetExhausted)


# results


def test_results_of_another_process_go_on_behind_a_cursor(
    serving: LocalJob, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with client(serving, state=state) as asker, client(serving, state=state) as reader:
        asked = [asker.predict(row, tag=str(n)) for n, row in enumerate([ABOVE, BELOW, ABOVE])]
        assert list(reader.results()) == asked
        assert list(reader.results(after=asked[0].cursor)) == asked[1:]
        assert list(reader.results(after=asked[-1].cursor)) == []
        later = asker.predict(BELOW)
        assert list(reader.results(after=asked[-1].cursor)) == [later]
    with client(serving, state=state) as reader:
        assert list(reader.results(after=asked[1].cursor)) == [asked[2], later]


def test_results_wait_for_what_comes(serving: LocalJob, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with client(serving, state=state) as asker, client(serving, state=state) as reader:
        first = asker.predict(ABOVE)
        coming = reader.results(after=first.cursor, timeout=30)
        with ThreadPoolExecutor(1) as pool:
            waits = pool.submit(next, coming)
            answer = asker.predict(BELOW)
            assert waits.result(30) == answer


def test_results_are_this_clients_alone(serving: LocalJob, tmp_path: Path) -> None:
    with client(serving) as other, client(serving, state=tmp_path / "state") as asker:
        other.asking._opened(create=True).partition = 0
        asker.asking._opened(create=True).partition = 0
        other.predict(ABOVE)
        mine = asker.predict(BELOW)
        assert list(asker.results()) == [mine]
        assert [one.value for one in other.results()] == ["above"]


def test_answer_that_the_broker_shows_again_is_no_second_one(
    serving: LocalJob, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with client(serving, state=state) as asker:
        answer = asker.predict(ABOVE)
        partition, (copy,) = kept_answers(serving, asker)
        for _ in range(3):
            jobs.append(serving, "answers", copy, partition)
        again = asker.predict(BELOW)
        assert asker.dropped == 0
        assert list(asker.results(after=answer.cursor)) == [again]
    with client(serving, state=state) as reader:
        assert list(reader.results(after=answer.cursor)) == [again]
        assert list(reader.results()) == [answer, again]


def test_control_of_copies_without_the_note_each_copy_counts(
    serving: LocalJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QueryState, "note", lambda _self, came, _now: [True] * len(came))
    with client(serving) as asker:
        answer = asker.predict(ABOVE)
        partition, (copy,) = kept_answers(serving, asker)
        jobs.append(serving, "answers", copy, partition)
        assert [one.value for one in asker.results(after=answer.cursor)] == ["above"]


def test_what_anybody_writes_among_answers_is_passed_over(serving: LocalJob) -> None:
    with client(serving) as asker:
        first = asker.predict(ABOVE)
        partition, (record,) = kept_answers(serving, asker)
        for forged in (b"", b"CSa1", record[:-1], record[:-1] + bytes([record[-1] ^ 1])):
            jobs.append(serving, "answers", forged, partition)
        assert asker.predict(BELOW).value == "below"
        assert [one.value for one in asker.results()] == [first.value, "below"]


def test_cursor_of_another_client_is_refused(serving: LocalJob) -> None:
    with client(serving) as one, client(serving) as other:
        cursor = one.predict(ABOVE).cursor
        other.predict(ABOVE)
        with pytest.raises(UsageRefused) as refused:
            other.results(after=cursor)
        assert refused.value.code == "CURSOR"
        with pytest.raises(UsageRefused):
            other.results(after="yesterday")


def test_results_before_anything_was_asked(serving: LocalJob, tmp_path: Path) -> None:
    with client(serving) as fresh:
        assert list(fresh.results()) == []
    with client(serving, state=tmp_path / "none") as fresh, pytest.raises(ChironError) as refused:
        fresh.results()
    assert refused.value.code == "STATE_FILE"


def test_results_behind_a_cursor_are_never_silently_incomplete(recipe: Recipe) -> None:
    with LocalJob(jobs.terms()) as job:
        jobs.train(job, recipe)
        asker = job.client("carol")
        answers = [asker.predict(ABOVE) for _ in range(3)]
        state: Any = asker.asking._state
        place = jobs.place(job, "answers", state.partition)
        high = job.broker.watermarks(place).high
        job.broker.cluster.delete_records(place, high - 1)
        assert list(asker.results()) == answers[2:]
        with pytest.raises(Withheld):
            list(asker.results(after=answers[0].cursor))
        job.broker.cluster.truncate(place, high - 1)
        with pytest.raises(RolledBack):
            list(asker.results(after=answers[2].cursor))


# forks and copies


def in_a_fork(call: Callable[[], object]) -> bytes:
    """Return what a call comes to in a forked child: its bytes, or the code of its error."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, bytes(found) if isinstance(found := call(), bytes) else b"done")
        except ChironError as error:
            os.write(writing, error.code.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        came = told.read()
    os.waitpid(child, 0)
    return came


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_client_is_refused_and_the_parent_goes_on(serving: LocalJob, tmp_path: Path) -> None:
    with client(serving, state=tmp_path / "state") as asker:
        asker.predict(ABOVE, tag="a")
        sent = queries(serving)
        for call in (
            lambda: asker.submit(BELOW),
            lambda: asker.submit(ABOVE, tag="a"),
            lambda: asker.predict(BELOW),
            lambda: next(asker.results()),
        ):
            assert in_a_fork(call) == b"FORKED"
        assert in_a_fork(asker.close) == b"done"
        assert queries(serving) == sent
        assert asker.predict(BELOW).value == "below"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_control_of_forks_without_the_guard_a_number_seals_two_rows(serving: LocalJob) -> None:
    with client(serving) as asker:
        asker.predict(ABOVE)
        sealer: Any = asker.asking._sealer

        def sealed(row: bytes) -> bytes:
            record: bytes = sealer.seal(sealer.open(0), None, row).record
            return record

        child, parent = in_a_fork(lambda: sealed(b"one row")), sealed(b"another")
        assert query_name(child) == query_name(parent)
        assert child != parent


def test_second_client_on_a_state_is_refused_and_may_read(
    serving: LocalJob, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with client(serving, state=state) as asker, client(serving, state=state) as other:
        answer = asker.predict(ABOVE)
        sent = queries(serving)
        with pytest.raises(Fenced) as refused:
            other.predict(BELOW)
        assert refused.value.code == "STATE_LOCKED"
        assert queries(serving) == sent
        assert list(other.results()) == [answer]
        asker.close()
        assert other.predict(BELOW).value == "below"


def test_clients_that_go_on_from_copies_never_share_a_number(
    serving: LocalJob, tmp_path: Path
) -> None:
    states = [tmp_path / "one", tmp_path / "two"]
    with client(serving, state=states[0]) as asker:
        first = asker.predict(ABOVE, tag="a")
    states[1].write_bytes(states[0].read_bytes())
    states[1].chmod(0o600)
    with client(serving, state=states[0]) as one, client(serving, state=states[1]) as two:
        before = len(queries(serving))
        assert one.predict(ABOVE, tag="a") == two.predict(ABOVE, tag="a") == first
        assert len(queries(serving)) == before
        one.predict(ABOVE, tag="b")
        two.predict(BELOW, tag="b")
        assert session_of(one) != session_of(two)
    names = [one[:28] for one in set(queries(serving))]
    assert len(names) == len(set(names))


# what else goes wrong


def test_job_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobRefused) as refused:
        QueryClient(tmp_path / "none.json", Identity.generate("carol"), evidence=SIMULATED)
    assert refused.value.code == "JOB_FILE"


def test_job_that_the_broker_does_not_know_is_refused(tmp_path: Path) -> None:
    directory = create(tmp_path / "job", jobs.terms())
    identity = directory.identity("carol")
    asker = QueryClient(directory.job(), identity, evidence=SIMULATED, broker=MemoryBroker())
    with asker, pytest.raises(UsageRefused) as refused:
        asker.predict(ABOVE)
    assert refused.value.code == "UNKNOWN_TOPIC"


@pytest.mark.parametrize("name", ["alice", "stranger"])
def test_key_that_is_no_clients_is_refused(serving: LocalJob, name: str) -> None:
    path = serving.directory.identity(name)
    identity = Identity.load(path) if path.exists() else Identity.generate(name)
    with pytest.raises(JobRefused) as refused:
        QueryClient(serving.job, identity, evidence=SIMULATED, broker=serving.broker)
    assert refused.value.code == "ROSTER"
    assert refused.value.expected == "a member in the role client"


def test_coordinator_whose_evidence_has_expired_is_refused(
    serving: LocalJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = SimpleNamespace(
        time=lambda: time.time() + 400 * 86_400, monotonic=time.monotonic, sleep=time.sleep
    )
    with client(serving) as asker:
        monkeypatch.setattr(party, "time", later)
        with pytest.raises(EvidenceRefused) as refused:
            asker.predict(ABOVE)
        assert any("expire" in one or "lifetime" in one for one in refused.value.reasons)
        monkeypatch.undo()
        assert asker.predict(ABOVE).value == "above"
