"""Windows of rows: what becomes one shard each, and where a publisher goes on behind it.

A resume token means something to its publisher alone: whoever publishes rows that count from 0
says behind which row a shard ends; a bridge says behind which records of its source.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from chiron_stream.clients.batches import Reading
from chiron_stream.errors import PolicyRefused
from chiron_stream.job.columns import Array
from chiron_stream.job.rows import Prepared
from chiron_stream.wire.replies import Accept

TOKEN_BYTES: Final = 8
"""A resume token of rows: the first row that is not in the shard, big-endian."""


@dataclass(frozen=True, eq=False)
class Window:
    """Rows ``start`` to ``stop`` (not included) of a data set, prepared.

    ``before`` and ``token`` are the resume tokens in front of them and behind them.
    """

    columns: Mapping[str, Array]
    start: int
    stop: int
    before: bytes
    token: bytes

    def __repr__(self) -> str:
        """Show where it is: the values are plaintext."""
        return f"Window({self.start} to {self.stop})"


class Windows(Protocol):
    """The rows that a publication sends."""

    @property
    def rows(self) -> int | None:
        """How many there are, where that is known before they are read."""
        ...

    def position(self, token: bytes) -> int:
        """Return the row that a resume token stands for.

        :raises PolicyRefused: it is the token of another kind of publisher; code ``TOKEN``.
        """
        ...

    def shards(self, accept: Accept) -> Iterator[tuple[int, Window]]:
        """Yield number and rows of every shard to send: the parked ones, then what was never sent.

        :raises SchemaMismatch: a wrong row; what was yielded before is good.
        :raises PolicyRefused: the data set goes on behind these rows; code ``OTHER_DATA``.
        """
        ...

    def again(self, before: bytes, token: bytes) -> Window:
        """Return the rows between two resume tokens once more.

        :raises PolicyRefused: they cannot be read again.
        """
        ...


def row_token(row: int) -> bytes:
    """Return the resume token in front of a row."""
    return row.to_bytes(TOKEN_BYTES, "big")


def row_of(token: bytes) -> int:
    """Return the row behind a resume token; an empty one stands before the first.

    :raises PolicyRefused: the token of another kind of publisher.
    """
    if not token:
        return 0
    if len(token) != TOKEN_BYTES:
        raise PolicyRefused(
            "the data set was published by another kind of publisher",
            code="TOKEN",
            expected="a resume token of rows",
            got=f"{len(token)} bytes",
            hint="publish by the same means as before, or under another data set name",
        )
    return int.from_bytes(token, "big")


class RowWindows:
    """Windows of so many rows each, over batches of any size.

    At most a window and a batch are held at a time.

    :param reading: begins to read the batches, again and again if it can.
    :param rows: of all batches, where that is known.
    """

    def __init__(self, reading: Reading, size: int, rows: int | None = None) -> None:
        self._reading = reading
        self._size = size
        self.rows = rows

    @staticmethod
    def position(token: bytes) -> int:
        """Return the row that a resume token stands for; see :class:`Windows`."""
        return row_of(token)

    def shards(self, accept: Accept) -> Iterator[tuple[int, Window]]:
        """Yield every shard to send, in the order of their rows; see :class:`Windows`."""
        stream = _Stream(self._reading())
        resumed = row_of(accept.token)
        for parked in sorted(accept.parked, key=lambda one: one.number):
            yield parked.number, _exactly(stream, parked.before, parked.token)
        stream.skip_to(resumed)
        number = accept.next_number
        while (window := _window(stream, self._size)) is not None:
            yield number, window
            number += 1

    def again(self, before: bytes, token: bytes) -> Window:
        """Read the batches again, up to the rows in question; see :class:`Windows`."""
        return _exactly(_Stream(self._reading()), before, token)


class _Stream:
    """Rows of batches, in order: ``at`` is the next one."""

    def __init__(self, batches: Iterator[Prepared]) -> None:
        self._batches = batches
        self._parts: deque[tuple[Prepared, int]] = deque()
        self.at = 0

    def skip_to(self, row: int) -> None:
        """Pass over the rows in front of ``row``.

        :raises PolicyRefused: there are not so many; code ``OTHER_DATA``.
        """
        self._pass(row - self.at)
        if self.at < row:
            raise other_data(row, self.at)

    def take(self, count: int) -> list[Mapping[str, Array]]:
        """Return the next rows, fewer where the batches end, as parts of batches."""
        return self._pass(count)

    def _pass(self, count: int) -> list[Mapping[str, Array]]:
        passed: list[Mapping[str, Array]] = []
        while count and self._fill():
            batch, first = self._parts.popleft()
            last = min(batch.rows, first + count)
            passed.append({name: array[first:last] for name, array in batch.columns.items()})
            if last < batch.rows:
                self._parts.append((batch, last))
            count -= last - first
            self.at += last - first
        return passed

    def _fill(self) -> bool:
        if not self._parts and (batch := next(self._batches, None)) is not None:
            self._parts.append((batch, 0))
        return bool(self._parts)


def _window(stream: _Stream, count: int) -> Window | None:
    start = stream.at
    parts = stream.take(count)
    if not parts:
        return None
    stop = stream.at
    return Window(_joined(parts), start, stop, row_token(start), row_token(stop))


def _exactly(stream: _Stream, before: bytes, token: bytes) -> Window:
    start, stop = row_of(before), row_of(token)
    stream.skip_to(start)
    window = _window(stream, stop - start)
    if window is None or window.stop != stop:
        raise other_data(stop, stream.at)
    return window


def _joined(parts: Sequence[Mapping[str, Array]]) -> Mapping[str, Array]:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}


def other_data(row: int, rows: int) -> PolicyRefused:
    """Return the error of a data set that was published with more rows than these."""
    return PolicyRefused(
        "the data set goes on behind these rows",
        code="OTHER_DATA",
        expected=f"the same rows as before, at least {row}",
        got=f"{rows} rows",
        hint="publish other rows under another data set name",
    )
