"""The core's one connection: asks the courier, one request at a time, from any thread.

Nothing that comes back is trusted. A courier that says no, or goes away, can only end the worker.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from chiron_stream import errors
from chiron_stream.wire import courier, frames
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.courier import Line, Lines, Marks, Send

A = TypeVar("A", bound=courier.Answer)

READ_RECORDS: Final = 500
"""Offsets asked for at once, where records are small or few."""

_KINDS: Final[dict[str, type[errors.ChironError]]] = {
    kind.__name__: kind
    for kind in (
        errors.BrokerUnreachable,
        errors.Fenced,
        errors.NotAuthorized,
        errors.PolicyRefused,
        errors.RolledBack,
        errors.Timeout,
        errors.Withheld,
        errors.WriterLost,
    )
}


class CourierGone(errors.ChironError):
    """The courier closed the connection: core and courier live and die together."""

    default_code = "COURIER_GONE"


class Link:
    """Requests to the courier.

    :param connection: connected to the courier on the loopback interface.
    :param gone: called by threads of the core, other than its own, that find the courier gone; a
        process ends there and then, whatever is being computed.
    """

    def __init__(self, connection: socket.socket, gone: Callable[[], None] = lambda: None) -> None:
        self._socket = connection
        self.gone = gone
        self._lock = threading.Lock()
        self._partitions: dict[str, int] = {}
        self.draining = False
        """The worker was asked to end."""

    def _ask(self, request: courier.Request, kind: type[A]) -> A:
        with self._lock:
            try:
                for part in frames.pack(request):
                    self._socket.sendall(part)
                length = frames.length(self._receive(4))
                answer = frames.answer(self._receive(length))
            except OSError as error:
                raise CourierGone("the courier has gone") from error
            except (errors.TamperDetected, EncodingRefused) as error:
                raise CourierGone("the courier answered no frame", got=error.code) from error
        if isinstance(answer, courier.Lines | courier.Positions) and answer.draining:
            self.draining = True
        if isinstance(answer, courier.Untaken):
            failed = _KINDS.get(answer.kind, errors.ChironError)
            raise failed(answer.message, code=answer.code)
        if not isinstance(answer, kind):
            raise CourierGone("the courier answered something else", got=type(answer).__name__)
        return answer

    def _receive(self, length: int) -> bytearray:
        data = bytearray(length)
        view = memoryview(data)
        while view:
            count = self._socket.recv_into(view)
            if not count:
                raise CourierGone("the courier has gone")
            view = view[count:]
        return data

    def begin(self) -> courier.Job:
        """Return the job file's text and what else a core starts with."""
        return self._ask(courier.Begin(), courier.Job)

    def tail(self, topic: str, offset: int, *, partition: int = 0, committed: bool = True) -> None:
        """Follow a partition by :meth:`poll`, from ``offset`` on."""
        self._ask(courier.Tail(topic, partition, offset, committed), courier.Taken)

    def consume(self, topic: str) -> None:
        """Share a topic with the others of this role, by :meth:`poll`."""
        self._ask(courier.Consume(topic), courier.Taken)

    def settle(self, topic: str, partition: int, offsets: Sequence[int]) -> None:
        """Be done with records of a shared topic."""
        self._ask(courier.Settled(topic, partition, tuple(offsets)), courier.Taken)

    def poll(self, limit: int, wait_ms: int) -> Lines:
        """Return what the followed partitions have."""
        return self._ask(courier.Poll(limit, wait_ms), Lines)

    def stretches(
        self,
        topic: str,
        first: int,
        end: int,
        *,
        partition: int = 0,
        committed: bool = True,
        records: int = READ_RECORDS,
    ) -> Iterator[Sequence[Line]]:
        """Yield the records from ``first`` up to, not including, ``end``, an answer at a time.

        :param records: offsets asked for at once, so that memory is bounded.
        """
        while first < end:
            ask = courier.Read(topic, partition, first, min(end, first + records), committed)
            answer = self._ask(ask, Lines)
            if not first < answer.next <= ask.end:
                raise CourierGone("the courier reads another extent")
            yield answer.lines
            first = answer.next

    def read(
        self, topic: str, first: int, end: int, *, partition: int = 0, committed: bool = True
    ) -> list[Line]:
        """Return the records from ``first`` up to, not including, ``end``."""
        found = self.stretches(topic, first, end, partition=partition, committed=committed)
        return [line for lines in found for line in lines]

    def reach(self, topic: str, partition: int = 0) -> Marks:
        """Return how far a partition reaches, as the courier says."""
        return self._ask(courier.Reach(topic, partition), Marks)

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has, as the courier said when first asked."""
        if topic not in self._partitions:
            self._partitions[topic] = self.reach(topic).partitions
        return self._partitions[topic]

    def append(self, records: Sequence[Send]) -> tuple[int, ...]:
        """Append outside transactions; return the offsets when all are acknowledged."""
        return self._ask(courier.Append(tuple(records)), courier.Positions).offsets

    def start_writer(self) -> None:
        """Fence every earlier transactional writer."""
        self._ask(courier.StartWriter(), courier.Taken)

    def commit(self, records: Sequence[Send]) -> tuple[int, ...]:
        """Append in one transaction; return the offsets when readers can see all of it."""
        return self._ask(courier.Commit(tuple(records)), courier.Positions).offsets

    def relay(self, request: bytes) -> bytes:
        """Pass sealed bytes to the quoting service and return its answer."""
        return self._ask(courier.Relay(request), courier.Relayed).answer

    def collateral(self, quote: bytes) -> tuple[bytes, bytes]:
        """Return collateral and root certificate for a hardware quote, as the courier has them."""
        answer = self._ask(courier.Collateral(quote), courier.Collected)
        return answer.collateral, answer.root

    def newest_snapshot(self) -> int:
        """Return a hint where the newest snapshot's journal entry is, or -1."""
        return self._ask(courier.NewestSnapshot(), courier.Hint).offset

    def progress(self, progress: courier.Progress) -> None:
        """Hand counts to the courier's telemetry."""
        self._ask(progress, courier.Taken)

    def ended(self, error: errors.ChironError) -> None:
        """Say the last words."""
        words = courier.Ended(error.exit_code, error.code, str(error)[:600])
        self._ask(words, courier.Taken)
