"""Queries under way: bounded, each answer to all who wait, nothing left of who gave up."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from chiron_stream.broker.records import Outgoing, Partition
from chiron_stream.clients.answers import Answer
from chiron_stream.clients.waiting import TooManyQueries, Waiting
from chiron_stream.errors import BudgetExhausted, ChironError
from chiron_stream.wire.serving import QueryName

OUTGOING = Outgoing(Partition("queries", 0), b"sealed")
ANSWER = Answer("yes", 1, 1, bytes(32), 9, "local", simulated=True, tag=None, cursor="c")
REFUSED = Answer(
    None, 1, 1, bytes(32), 0, "local", True, None, "c", error=BudgetExhausted("none are left")
)


def name(number: int) -> QueryName:
    return QueryName(bytes(16), number)


def put(waiting: Waiting, number: int) -> Future[Answer]:
    future: Future[Answer] = Future()
    waiting.room(0)
    waiting.put(name(number), OUTGOING, future)
    return future


def test_answer_goes_to_everybody_who_waits_for_it() -> None:
    waiting = Waiting(2)
    first, other = put(waiting, 0), put(waiting, 1)
    second: Future[Answer] = Future()
    assert waiting.join(name(0), second)
    assert waiting.resolve(name(0), ANSWER)
    assert first.result(0) is second.result(0) is ANSWER
    assert not other.done()


def test_error_that_came_instead_is_raised() -> None:
    waiting = Waiting(1)
    future = put(waiting, 0)
    assert waiting.resolve(name(0), REFUSED)
    with pytest.raises(BudgetExhausted):
        future.result(0)


def test_answer_for_which_nobody_waits_is_told_apart() -> None:
    waiting = Waiting(1)
    assert not waiting.resolve(name(0), ANSWER)
    put(waiting, 0).cancel()
    assert not waiting.resolve(name(0), ANSWER)


def test_room_is_refused_when_it_is_full_and_there_again_after_an_answer() -> None:
    waiting = Waiting(2)
    put(waiting, 0), put(waiting, 1)
    with pytest.raises(TooManyQueries) as refused:
        waiting.room(0)
    assert refused.value.code == "UNDER_WAY"
    assert refused.value.expected == "fewer than 2 within 0 s"
    waiting.resolve(name(0), ANSWER)
    put(waiting, 2)


def test_cancelled_future_gives_its_room_back_when_nobody_else_waits() -> None:
    waiting = Waiting(1)
    first, second = put(waiting, 0), Future[Answer]()
    waiting.join(name(0), second)
    first.cancel()
    with pytest.raises(TooManyQueries):
        waiting.room(0)
    assert waiting.outgoing(second) is OUTGOING
    second.cancel()
    waiting.room(0)
    assert waiting.outgoing(second) is None
    assert not waiting.join(name(0), Future())


def test_who_waits_for_room_gets_it_at_once() -> None:
    waiting = Waiting(1)
    future = put(waiting, 0)
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(waiting.room, 60)
        future.cancel()
        waits.result(10)


def test_failure_reaches_everybody_now_and_later() -> None:
    waiting = Waiting(1)
    future, cancelled = put(waiting, 0), Future[Answer]()
    waiting.join(name(0), cancelled)
    cancelled.cancel()
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(waiting.room, 60)
        waiting.fail(ChironError("the broker has gone"))
        for one in (future, waits):
            with pytest.raises(ChironError, match="the broker has gone"):
                one.result(10)
    with pytest.raises(ChironError, match="the broker has gone"):
        waiting.room(0)
    with pytest.raises(ChironError, match="the broker has gone"):
        waiting.put(name(1), OUTGOING, Future())


def test_nothing_is_left_of_many_that_race_to_cancel_and_answer() -> None:
    waiting = Waiting(200)
    futures = [put(waiting, number) for number in range(200)]
    start = threading.Barrier(2)

    def cancel() -> None:
        start.wait()
        for future in futures:
            future.cancel()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(cancel)
        start.wait()
        took = [waiting.resolve(name(number), ANSWER) for number in range(200)]
        done.result(10)
    assert all(future.done() for future in futures)
    assert took == [not future.cancelled() for future in futures]
    deadline = time.monotonic() + 10
    while waiting._queries or waiting._names:
        assert time.monotonic() < deadline
