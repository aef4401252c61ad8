"""Queries under way: a bounded number, and who waits for the answer of each."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass

from chiron_stream.broker.records import Outgoing
from chiron_stream.broker.seam import Delivery
from chiron_stream.clients.answers import Answer
from chiron_stream.errors import ChironError, Timeout
from chiron_stream.wire.serving import QueryName


class TooManyQueries(Timeout):
    """As many queries are under way as the client allows, for as long as the caller would wait.

    Nothing was sent.
    """

    default_code = "UNDER_WAY"


@dataclass
class _Query:
    """A query, the futures that wait for its answer (at least one), how its last sending goes."""

    outgoing: Outgoing
    futures: list[Future[Answer]]
    delivery: Delivery | None = None


class Waiting:
    """Queries that wait for their answers; may be used by several threads.

    A query holds one place until its answer came, nobody waits for it any more, or the client
    failed. A future that is cancelled waits no more.

    :param most: places.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._queries: dict[QueryName, _Query] = {}
        self._names: dict[Future[Answer], QueryName] = {}
        self._error: ChironError | None = None

    def room(self, seconds: float) -> None:
        """Wait until there is a place for one more query; one caller at a time.

        :raises TooManyQueries: there was none in so many seconds.
        :raises ChironError: the client failed, or was closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._has_room, seconds)
            if self._error is not None:
                raise self._error
            if not self._has_room:
                raise self.crowded(seconds)

    @property
    def _has_room(self) -> bool:
        return len(self._queries) < self._most

    def crowded(self, seconds: float) -> TooManyQueries:
        """Return the error of a query that found no place in so many seconds."""
        return TooManyQueries(
            "too many queries are under way; nothing was sent",
            expected=f"fewer than {self._most} within {seconds:.3g} s",
            hint="wait for answers before asking more, or make the client with under_way=N",
        )

    def put(self, name: QueryName, outgoing: Outgoing, future: Future[Answer]) -> None:
        """Have a future wait for the answer to a query.

        :raises ChironError: the client failed, or was closed.
        """
        with self._changed:
            if self._error is not None:
                raise self._error
            self._queries[name] = _Query(outgoing, [future])
            self._names[future] = name
        future.add_done_callback(self.drop)

    def join(self, name: QueryName, future: Future[Answer]) -> bool:
        """Have one more future wait for a query that is under way, if it is."""
        with self._changed:
            query = self._queries.get(name)
            if query is None:
                return False
            query.futures.append(future)
            self._names[future] = name
        future.add_done_callback(self.drop)
        return True

    def outgoing(self, future: Future[Answer]) -> Outgoing | None:
        """Return the query that a future waits for; None: it waits no more."""
        with self._changed:
            name = self._names.get(future)
            return None if name is None else self._queries[name].outgoing

    def sent(self, future: Future[Answer], delivery: Delivery) -> None:
        """Note how the sending of a future's query goes, if it still waits."""
        with self._changed:
            name = self._names.get(future)
            if name is not None:
                self._queries[name].delivery = delivery

    def deliveries(self) -> list[Delivery]:
        """Return how the last sending goes of each query that is under way."""
        with self._changed:
            return [one.delivery for one in self._queries.values() if one.delivery is not None]

    def drop(self, future: Future[Answer]) -> None:
        """Have a future wait no more; when the last one goes, so does its query."""
        with self._changed:
            name = self._names.pop(future, None)
            if name is None:
                return
            query = self._queries[name]
            query.futures.remove(future)
            if not query.futures:
                self._remove(name)

    def _remove(self, name: QueryName) -> list[Future[Answer]]:
        futures = self._queries.pop(name).futures
        for future in futures:
            del self._names[future]
        self._changed.notify()
        return futures

    def resolve(self, name: QueryName, answer: Answer) -> bool:
        """Give an answer to who waits for it; tell whether anybody did."""
        with self._changed:
            futures = self._remove(name) if name in self._queries else []
        settled = [settle(future, answer) for future in futures]
        return any(settled)

    def fail(self, error: ChironError) -> None:
        """Give an error to everybody who waits, and to who comes later."""
        with self._changed:
            self._error = error
            futures = [one for name in list(self._queries) for one in self._remove(name)]
            self._changed.notify_all()
        for future in futures:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)


def settle(future: Future[Answer], answer: Answer) -> bool:
    """Give a future its answer, or the error that came instead; False: it was cancelled."""
    if not future.set_running_or_notify_cancel():
        return False
    if answer.error is not None:
        future.set_exception(answer.error)
    else:
        future.set_result(answer)
    return True
