"""A session's replies, in order: a gap is a withheld record, an earlier number a replay."""

from __future__ import annotations

from collections.abc import Iterable

from chiron_stream.broker.extents import read_until
from chiron_stream.broker.records import Partition, Record
from chiron_stream.broker.seam import Broker
from chiron_stream.errors import JobRefused, Withheld
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.replies import (
    Reply,
    SessionRefused,
    open_reply,
    read_record,
)
from chiron_stream.wire.session import SessionKeys


class SessionClosed(JobRefused):
    """The coordinator does not admit the session, as far as the log says; see the code."""


class Replies:
    """Reads what the coordinator answers to one session.

    :param start: offset of ``replies`` when the session was opened.
    """

    def __init__(self, broker: Broker, place: Partition, keys: SessionKeys, start: int) -> None:
        self._broker = broker
        self._place = place
        self._keys = keys
        self._reader = broker.reader({place: start})
        self._next = 0
        self._kept: list[Reply] = []

    def first(self, timeout: float) -> Reply | None:
        """Return the next reply alone, or None; what came with it is kept for the next call.

        A successor may have claimed the data set by the time that a publisher hears of its own
        admission: then both replies come at once.

        :raises ChironError: as :meth:`poll`.
        """
        found = self.poll(timeout)
        self._kept = found[1:]
        return found[0] if found else None

    def poll(self, timeout: float) -> list[Reply]:
        """Return the next replies, waiting up to ``timeout`` seconds for records.

        :raises SessionClosed: the session is not admitted.
        :raises Withheld: a reply is missing.
        """
        found, self._kept = self._kept, []
        return found or self._replies(self._reader.poll(timeout))

    def so_far(self) -> list[Reply]:
        """Return the next replies, everything that stands on the topic now.

        :raises ChironError: as :meth:`poll`, and when the broker does not answer.
        """
        found, self._kept = self._kept, []
        end = self._broker.watermarks(self._place).stable
        return found + self._replies(read_until(self._reader, self._place, end))

    def _replies(self, records: Iterable[Record]) -> list[Reply]:
        own = [one.value for one in records if one.key == self._keys.session]
        return [reply for one in own if (reply := self._read(one)) is not None]

    @property
    def caught_up(self) -> bool:
        """Whether everything committed so far was polled."""
        end = self._broker.watermarks(self._place).stable
        return not self._kept and self._reader.position(self._place) >= end

    def _read(self, value: bytes) -> Reply | None:
        try:
            record = read_record(value)
        except EncodingRefused:
            return None  # anybody may write such bytes; they say nothing
        if isinstance(record, SessionRefused):
            if record.session != self._keys.session or self._next:
                return None
            raise SessionClosed("the session is not admitted", code=record.code)
        if record.session != self._keys.session or record.number < self._next:
            return None
        body = open_reply(self._keys.replies, record)
        if record.number > self._next:
            raise Withheld(
                "a reply of the coordinator is missing",
                expected=f"number {self._next}",
                got=f"number {record.number}",
            )
        self._next += 1
        return body

    def close(self) -> None:
        """Disconnect."""
        self._reader.close()
