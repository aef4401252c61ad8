"""The bridge's way back without Kafka: lanes of questions, what is written, what is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.bridge.decoding import Reason, RowReader, decoder
from chiron_stream.bridge.gathering import Refused
from chiron_stream.bridge.inquiring import Inquiry
from chiron_stream.bridge.lanes import FIRST_PAUSE, Lane, Question
from chiron_stream.bridge.replies import outcomes, reply
from chiron_stream.broker.records import Partition, Record
from chiron_stream.clients.answers import Answer
from chiron_stream.clients.state import TagTaken
from chiron_stream.errors import (
    BudgetExhausted,
    ChironError,
    JobRefused,
    PolicyRefused,
    SchemaMismatch,
)

PLACE = Partition("visits", 3)


def record(offset: int, value: bytes = b'{"age": 61}', key: bytes | None = b"k") -> Record:
    return Record(PLACE, offset, value, key, (), 0)


def answer(value: Any = "high") -> Answer:
    return Answer(value, 12, 24, b"", 99, "local", simulated=True, tag="t", cursor="c")


def settled(offset: int, result: Answer | ChironError) -> Question:
    future: Future[Answer] = Future()
    if isinstance(result, Answer):
        future.set_result(result)
    else:
        future.set_exception(result)
    return Question(record(offset), future)


# lanes


class Asked:
    """Asks about records and remembers which."""

    def __init__(self) -> None:
        self.questions: dict[int, Question] = {}
        self.offsets: list[int] = []

    def __call__(self, one: Record) -> Question:
        self.offsets.append(one.offset)
        return self.questions.setdefault(one.offset, Question(one, Future()))

    def answer(self, offset: int) -> None:
        future = self.questions[offset].asked
        assert isinstance(future, Future)
        future.set_result(answer())


def asked_lane(*offsets: int, front: int = 0) -> tuple[Lane, Asked]:
    lane, asked = Lane(front), Asked()
    for offset in offsets:
        assert lane.take(record(offset))
    while lane.ask(asked):
        pass
    return lane, asked


def offsets_of(questions: list[Question]) -> list[int]:
    return [one.record.offset for one in questions]


def test_answers_are_written_in_order_as_far_as_none_is_missing() -> None:
    lane, asked = asked_lane(4, 5, 7, 8, front=4)
    for offset in (5, 4, 8):
        asked.answer(offset)
    assert offsets_of(lane.settled(10)) == [4, 5]
    lane.written(2)
    assert (lane.front, len(lane), lane.open) == (6, 2, 1)
    asked.answer(7)
    assert offsets_of(lane.settled(1)) == [7]
    assert offsets_of(lane.settled(10)) == [7, 8]


def test_record_that_comes_again_is_taken_once() -> None:
    lane, asked = asked_lane(0, 1, 2)
    assert not any(lane.take(record(offset)) for offset in (0, 1, 2))
    assert lane.take(record(3))
    assert asked.offsets == [0, 1, 2]


def test_lane_that_starts_again_drops_what_another_bridge_has_answered() -> None:
    lane, asked = asked_lane(0, 1, 2)
    lane.take(record(3))
    lane.restart(2)
    assert (lane.front, lane.first, len(lane)) == (2, 2, 2)
    cancelled = asked.questions[0].asked
    assert isinstance(cancelled, Future)
    assert cancelled.cancelled()
    lane.restart(9)
    assert (len(lane), lane.first) == (0, None)
    assert not lane.take(record(8))
    assert lane.take(record(9))


def test_records_that_the_group_passed_over_come_first() -> None:
    lane, asked = asked_lane(5, 6)
    lane.restart(3, [record(3), record(4)])
    while lane.ask(asked):
        pass
    assert asked.offsets == [5, 6, 3, 4, 5, 6]


def test_passed_over_records_of_a_new_lane_are_not_taken_twice() -> None:
    lane = Lane(0)
    lane.restart(3, [record(3), record(4)])
    assert not lane.take(record(4))
    assert lane.take(record(5))
    assert len(lane) == 3


@given(st.integers(0, 10_000))
def test_every_record_is_written_once_whatever_is_interrupted(seed: int) -> None:
    """Fronts may jump ahead (another bridge), the group may bring records again."""
    dice = random.Random(seed)
    lane, written, front = Lane(0), list[int](), 0
    while front < 30:
        begin = dice.randint(front, 30)
        for offset in range(dice.choice([front, begin]), 30):
            if offset <= lane.next:  # a group never passes over a record of a lane that stands
                lane.take(record(offset))
        asked = Asked()
        for _ in range(dice.randint(0, 5)):
            lane.ask(asked)
        for offset in asked.offsets:
            asked.answer(offset)
        done = lane.settled(dice.randint(1, 4))
        if done and dice.random() < 0.3:  # written by another one, and we lose the writer
            other = dice.randint(front, 30)
            written += range(front, other)
            front = other
            lane.restart(front)
        elif done:
            written += offsets_of(done)
            lane.written(len(done))
            front = lane.front
    assert written == list(range(30))


def test_late_question_is_told_less_and_less_often() -> None:
    question = Question(record(0), Future(), since=100.0)
    assert not question.is_late(100 + FIRST_PAUSE - 1)
    assert question.is_late(100 + FIRST_PAUSE)
    assert not question.is_late(100 + 2 * FIRST_PAUSE)
    assert question.is_late(100 + 3 * FIRST_PAUSE)
    assert not settled(0, answer()).is_late(1e9)


# outcomes and replies


def test_answers_before_the_end_of_the_budget_are_kept() -> None:
    questions = [settled(0, answer()), settled(1, BudgetExhausted("none left"))]
    assert [one.offset for one, _ in outcomes(questions)] == [0]
    with pytest.raises(BudgetExhausted):
        outcomes(questions[1:])


def test_refusal_of_the_predictor_is_an_outcome() -> None:
    ((_, found),) = outcomes([settled(0, SchemaMismatch("refused", got="ROWS_FORMAT"))])
    assert found == Refused(record(0), Reason.PREDICTOR, "ROWS_FORMAT")


def test_reply_says_where_its_row_is_from_and_has_its_key() -> None:
    made = reply(record(17), answer(), "visits-answers", 2)
    assert (made.partition, made.key) == (Partition("visits-answers", 1), b"k")
    assert json.loads(made.value) == {
        "v": 1,
        "source": {"topic": "visits", "partition": 3, "offset": 17},
        "value": "high",
        "release": 12,
        "version": 24,
        "freshness": "local",
        "simulated": True,
    }


def test_reply_to_what_is_no_row_says_why() -> None:
    made = reply(record(1, key=None), Refused(record(1), Reason.SCHEMA, "column 'age'"), "a", 1)
    said = json.loads(made.value)
    assert said["error"] == {"reason": "schema", "detail": "column 'age'"}
    assert made.key is None
    assert "value" not in said


def test_key_without_room_stays_behind() -> None:
    assert reply(record(1, key=bytes(16_000)), answer(), "a", 1).key is None


# questions


class Client:
    """What an inquiry needs of a query client."""

    def __init__(self, error: ChironError | None = None) -> None:
        self.error = error
        self.asked: list[tuple[Mapping[str, Any], str]] = []

    def submit(self, row: Mapping[str, Any], *, tag: str, timeout: float) -> Future[Answer]:
        assert timeout > 0
        if self.error is not None:
            raise self.error
        self.asked.append((row, tag))
        future: Future[Answer] = Future()
        future.set_result(answer())
        return future


READER = RowReader(decoder("json"), "none", {})


def inquire(client: Client, one: Record) -> tuple[Question, int]:
    calls: list[int] = []
    inquiry = Inquiry(client, READER.of, "id-of-topic")  # type: ignore[arg-type]
    return inquiry.ask(one, lambda: calls.append(1)), len(calls)


def test_tag_names_the_topic_and_the_place() -> None:
    client = Client()
    question, calls = inquire(client, record(17))
    assert client.asked == [({"age": 61}, "id-of-topic/3/17")]
    assert (question.is_open, calls) == (False, 1)


@pytest.mark.parametrize(
    ("error", "reason", "detail"),
    [
        (SchemaMismatch("column 'age', row 0 (from 0): high"), "schema", "column 'age': high"),
        (PolicyRefused("big", code="RECORD_TOO_LARGE", expected="at most 9"), "size", "at most 9"),
    ],
)
def test_row_that_cannot_be_asked_about_is_refused(
    error: ChironError, reason: str, detail: str
) -> None:
    question, _ = inquire(Client(error), record(0))
    assert isinstance(question.asked, Refused)
    assert (question.asked.reason.value, question.asked.detail) == (reason, detail)


def test_value_that_is_no_row_is_not_asked_about() -> None:
    client = Client()
    question, _ = inquire(client, record(0, b"{secret"))
    assert isinstance(question.asked, Refused)
    assert (question.asked.reason, client.asked) == (Reason.UNDECODABLE, [])


@pytest.mark.parametrize("error", [JobRefused("no", code="ROSTER"), TagTaken("taken")])
def test_what_is_no_fault_of_the_row_ends_the_bridge(error: ChironError) -> None:
    with pytest.raises(type(error)) as refused:
        inquire(Client(error), record(0))
    assert refused.value.code == error.code
    if isinstance(error, TagTaken):
        assert "visits[3] at 0" in refused.value.message
