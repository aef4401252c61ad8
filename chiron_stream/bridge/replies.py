"""What goes into the topic of answers: one JSON object for each record of the source.

::

    {"v": 1, "source": {"topic": "visits", "partition": 0, "offset": 17},
     "value": "high", "release": 12, "version": 24, "freshness": "local", "simulated": false}
    {"v": 1, "source": {"topic": "visits", "partition": 0, "offset": 18},
     "error": {"reason": "schema", "detail": "column 'age': ..."}}

The key is that of the source's record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

from chiron_stream.bridge.dead_letters import KEY_LIMIT, letter, partitions_of
from chiron_stream.bridge.decoding import Reason
from chiron_stream.bridge.gathering import Refused
from chiron_stream.bridge.lanes import Question
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.broker.records import Outgoing, Partition, Record
from chiron_stream.clients.answers import Answer
from chiron_stream.errors import ChironError, SchemaMismatch

VERSION: Final = 1
"""Of the object; fields may be added within one."""


def outcomes(questions: Sequence[Question]) -> list[tuple[Record, Answer | Refused]]:
    """Return what came of questions that are settled, in order, as far as nothing ends the bridge.

    :raises ChironError: the first one does: no budget is left, or a log was altered.
    """
    found: list[tuple[Record, Answer | Refused]] = []
    for one in questions:
        try:
            found.append((one.record, _outcome(one)))
        except ChironError:
            if not found:
                raise
            break
    return found


def _outcome(question: Question) -> Answer | Refused:
    if not isinstance(question.asked, Future):
        return question.asked
    try:
        return question.asked.result(0)
    except SchemaMismatch as error:
        return Refused(question.record, Reason.PREDICTOR, error.got or "")


def reply(record: Record, found: Answer | Refused, topic: str, partitions: int) -> Outgoing:
    """Return the record that answers one of the source: the key is its own, if it has room."""
    number = record.partition.number
    source = {"topic": record.partition.topic, "partition": number, "offset": record.offset}
    fields = {"v": VERSION, "source": source, **_said(found)}
    key = record.key if record.key is None or len(record.key) <= KEY_LIMIT else None
    return Outgoing(Partition(topic, number % partitions), json.dumps(fields).encode(), key)


def _said(found: Answer | Refused) -> Mapping[str, Any]:
    if isinstance(found, Refused):
        return {"error": {"reason": found.reason.value, "detail": found.detail}}
    return {
        "value": found.value,
        "release": found.release,
        "version": found.version,
        "freshness": found.freshness,
        "simulated": found.simulated,
    }


class Target:
    """Where a client's answers go, in its own cluster.

    :param letters: topic for what is no row, instead of an answer that says so.
    :raises UsageRefused: there is no such topic.
    """

    def __init__(self, broker: KafkaBroker, answers: str, letters: str | None) -> None:
        self._answers = answers, partitions_of(broker, answers, "answers")
        self._letters = None
        if letters is not None:
            self._letters = letters, partitions_of(broker, letters, "dead letters")

    def record(self, record: Record, found: Answer | Refused) -> Outgoing:
        """Return what is written for a record of the source."""
        if isinstance(found, Refused) and self._letters is not None:
            return letter(found, *self._letters)
        return reply(record, found, *self._answers)
