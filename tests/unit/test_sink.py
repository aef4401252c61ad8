"""A sink of a Faust application, without one: what is acknowledged, and when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from chiron_stream.bridge.sink import FaustSink, _Handed
from chiron_stream.bridge.windowing import Cut, Windowing
from chiron_stream.broker.records import Partition, Record
from chiron_stream.clients.publication import Publication
from chiron_stream.errors import UsageRefused

PLACE = Partition("vitals", 0)


class Windows:
    """Takes records in order, as the real one; every two are a shard."""

    def __init__(self, sink: FaustSink) -> None:
        self._sink = sink
        self._next = 0
        self._number = 0

    def is_new(self, record: Record) -> bool:
        return record.offset >= self._next

    def take(self, record: Record) -> None:
        self._next = record.offset + 1
        if self._next % 2 == 0:
            self._sink.shard(cast("Publication", None), self._number, cast("Any", None))
            self._number += 1


class Stage:
    """A sink, what it acknowledged so far, and shards that a coordinator accepted."""

    def __init__(self) -> None:
        self.sink = FaustSink(cast("Any", None), "d", Cut(2, 1.0))
        self.acknowledged: list[int] = []
        self.accepted: set[int] = set()
        self._windows = cast("Windowing", Windows(self.sink))

    def take(self, *offsets: int) -> None:
        for offset in offsets:
            record = Record(PLACE, offset, b"", None, (), 0)
            handed = _Handed(record, {}, lambda at=offset: self.acknowledged.append(at))  # type: ignore[misc]
            self.sink._take(self._windows, handed)

    def accept(self, number: int) -> None:
        self.accepted.add(number)
        heard = SimpleNamespace(is_accepted=self.accepted.__contains__)
        self.sink._acknowledge(cast("Publication", heard))


def test_record_is_acknowledged_when_its_shard_is_accepted() -> None:
    stage = Stage()
    stage.take(0, 1, 2)
    assert stage.acknowledged == []
    stage.accept(0)
    assert stage.acknowledged == [0, 1]


def test_record_that_comes_again_is_not_acknowledged_before_its_shard_is_accepted() -> None:
    """Were it, a death now would lose it: the group would go on behind it."""
    stage = Stage()
    stage.take(0, 1, 2)
    stage.take(0, 1, 2)
    assert stage.acknowledged == []
    stage.accept(0)
    assert sorted(stage.acknowledged) == [0, 0, 1, 1]
    stage.take(0, 3)
    assert stage.acknowledged[-1] == 0, "its shard is accepted"
    stage.accept(1)
    assert sorted(stage.acknowledged[5:]) == [2, 2, 3]


def test_second_row_of_a_record_is_refused_and_one_that_comes_again_is_not() -> None:
    sink = FaustSink(cast("Any", None), "d", Cut(2, 1.0))

    def event() -> Any:
        message = SimpleNamespace(topic="vitals", partition=0, offset=7)
        return SimpleNamespace(message=message, ack=lambda: None)

    first = event()
    sink._placed(first, {}, cast("Any", None))
    sink._placed(event(), {}, cast("Any", None))
    sink._placed(first, {}, cast("Any", None))
    with pytest.raises(UsageRefused, match="one row for each record"):
        sink._placed(first, {}, cast("Any", None))
