"""The query client for asyncio: the same words, awaited.

>>> async def ask() -> None:  # doctest: +SKIP
...     async with AsyncQueryClient("icu.job", "me.identity", state="icu.state") as client:
...         answer = await client.predict({"age": 61, "bp": 120}, timeout=2)
...         async for answer in client.results(after=answer.cursor):
...             print(answer.value)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

from chiron_stream import timeouts
from chiron_stream.clients.answers import Answer
from chiron_stream.clients.query import UNDER_WAY, QueryClient
from chiron_stream.clients.reading import closed


class AsyncQueryClient:
    """:class:`~chiron_stream.clients.query.QueryClient` for tasks, with its parameters.

    What blocks runs in threads of the client's own. A task that is cancelled gives its query up: if
    it was not sent yet, it is not sent. Use it as an asynchronous context manager.
    """

    def __init__(self, *arguments: Any, under_way: int = UNDER_WAY, **options: Any) -> None:
        self._client = QueryClient(*arguments, under_way=under_way, **options)
        self._room = asyncio.Semaphore(under_way)
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="asking")

    async def predict(
        self, row: Mapping[str, Any], *, tag: str | None = None, timeout: float = timeouts.ANSWER
    ) -> Answer:
        """Ask about one row; as :meth:`~chiron_stream.clients.query.QueryClient.predict`."""
        deadline = time.monotonic() + timeout
        try:
            async with asyncio.timeout(timeout):
                await self._room.acquire()
        except TimeoutError:
            raise self._client.asking.crowded(timeout) from None
        future: Future[Answer] = Future()
        try:
            self._run(future, self._ask, row, future, tag, deadline)
            return await self._answer(future, deadline, timeout)
        finally:
            future.cancel()
            self._room.release()

    def _run(self, future: Future[Answer], call: Callable[..., None], *arguments: Any) -> None:
        """Call in the thread that asks; an error is what the future gets."""
        called = self._asking.submit(call, *arguments)
        called.add_done_callback(partial(_pass_on, future))

    def _ask(
        self, row: Mapping[str, Any], future: Future[Answer], tag: str | None, deadline: float
    ) -> None:
        if not future.cancelled():
            left = max(0.0, deadline - time.monotonic())
            self._client.asking.ask(row, future, tag=tag, timeout=left)

    async def _answer(self, future: Future[Answer], deadline: float, timeout: float) -> Answer:
        answer, half = asyncio.wrap_future(future), timeout / 2
        done, _ = await asyncio.wait({answer}, timeout=deadline - half - time.monotonic())
        if not done:
            self._run(future, self._client.asking.again, future)
            done, _ = await asyncio.wait({answer}, timeout=deadline - time.monotonic())
        if not done:
            raise await asyncio.to_thread(self._client.asking.late, timeout)
        return answer.result()

    async def results(
        self, *, after: str | None = None, timeout: float | None = 0.0
    ) -> AsyncGenerator[Answer, None]:
        """Yield answers; as :meth:`~chiron_stream.clients.query.QueryClient.results`."""
        loop = asyncio.get_running_loop()
        reading = ThreadPoolExecutor(1, thread_name_prefix="results")
        try:
            looks = await loop.run_in_executor(reading, self._client.asking.looks, after, timeout)
            try:
                while (found := await loop.run_in_executor(reading, next, looks, None)) is not None:
                    for answer in found:
                        yield answer
            finally:  # behind the look that is under way, in the same thread
                await asyncio.shield(loop.run_in_executor(reading, looks.close))
        finally:
            reading.shutdown(wait=False)

    @property
    def dropped(self) -> int:
        """How many answers came for which nobody waited any more."""
        return self._client.dropped

    async def close(self) -> None:
        """Stop reading answers and disconnect; tasks that wait for one get an error, CLOSED."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._client.close()
        self._asking.shutdown(cancel_futures=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _pass_on(future: Future[Answer], called: Future[None]) -> None:
    """Give a future the error of the call that was to see to it."""
    error = closed() if called.cancelled() else called.exception()
    if error is not None:
        with suppress(InvalidStateError):  # it has its outcome already
            future.set_exception(error)
