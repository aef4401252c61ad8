"""The asynchronous client: the same words, and nothing left of a task that was cancelled."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest

from chiron_stream import AsyncQueryClient
from chiron_stream.clients.state import TagTaken
from chiron_stream.clients.waiting import TooManyQueries
from chiron_stream.errors import AnswerTimeout, ChironError, JobRefused, SchemaMismatch
from chiron_stream.job.simulation import InsecureSimulation
from chiron_stream.recipe import Recipe
from enclave_workers.local import LocalJob
from tests.local import jobs

ABOVE, BELOW = jobs.ABOVE, jobs.BELOW
OURS = ("answers", "asking", "results")
"""What the threads of a client are named by."""


def client(job: LocalJob, **options: Any) -> AsyncQueryClient:
    identity = job.directory.identity("carol")
    made = {"evidence": InsecureSimulation(), "broker": job.broker, **options}
    return AsyncQueryClient(job.job, identity, **made)


def run(steps: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine; behind it no task and no thread of a client is left."""

    async def watched() -> None:
        await steps
        assert len(asyncio.all_tasks()) == 1

    before = threads()
    asyncio.run(watched(), debug=True)
    deadline = time.monotonic() + 10
    while threads() - before:
        assert time.monotonic() < deadline, threads() - before
        time.sleep(0.01)


def threads() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name.startswith(OURS)}


async def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def waits(asker: AsyncQueryClient) -> int:
    """Return how many queries the client holds under way."""
    waiting: Any = asker._client.asking._waiting
    assert len(waiting._names) == len(waiting._queries)
    return len(waiting._queries)


def queries(job: LocalJob) -> int:
    return sum(len(jobs.records(job, "queries", n)) for n in range(4))


def test_tasks_ask_and_are_answered_together(serving: LocalJob) -> None:
    async def steps() -> None:
        async with client(serving) as asker:
            rows = [ABOVE, BELOW] * 20
            answers = await asyncio.gather(*(asker.predict(row) for row in rows))
            assert [one.value for one in answers] == ["above", "below"] * 20
            assert waits(asker) == 0

    run(steps())


def test_more_tasks_than_room_take_turns(serving: LocalJob) -> None:
    async def steps() -> None:
        async with client(serving, under_way=2) as asker:
            answers = await asyncio.gather(*(asker.predict(ABOVE) for _ in range(20)))
            assert {one.value for one in answers} == {"above"}

    run(steps())


def test_full_client_refuses_by_name(silent: LocalJob) -> None:
    async def steps() -> None:
        async with client(silent, under_way=1) as asker:
            first = asyncio.create_task(asker.predict(ABOVE, timeout=60))
            await eventually(lambda: waits(asker) == 1)
            with pytest.raises(TooManyQueries):
                await asker.predict(ABOVE, timeout=0.1)
            first.cancel()
            with pytest.raises(AnswerTimeout) as late:
                await asker.predict(ABOVE, timeout=0.2)
            assert late.value.got == "no release yet"
            with suppress(asyncio.CancelledError):
                await first

    run(steps())


def test_loop_goes_on_while_a_client_waits(silent: LocalJob) -> None:
    async def steps() -> None:
        async with client(silent) as asker:
            task = asyncio.create_task(asker.predict(ABOVE, timeout=1))
            turns = 0
            while not task.done():
                await asyncio.sleep(0.005)
                turns += 1
            assert turns > 50
            with pytest.raises(AnswerTimeout):
                task.result()

    run(steps())


def test_cancelled_task_leaves_nothing_and_its_answer_is_dropped(recipe: Recipe) -> None:
    async def steps(job: LocalJob) -> None:
        async with client(job) as asker:
            task = asyncio.create_task(asker.predict(ABOVE, timeout=60))
            kept = asyncio.create_task(asker.predict(BELOW, timeout=60))
            await eventually(lambda: waits(asker) == 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert waits(asker) == 1
            await asyncio.to_thread(jobs.train, job, recipe)
            assert (await kept).value == "below"
            await eventually(lambda: asker.dropped == 1)

    with LocalJob(jobs.terms()) as job:
        run(steps(job))


def test_task_that_is_cancelled_before_its_session_is_open_sends_nothing() -> None:
    async def steps(job: LocalJob) -> None:
        async with client(job) as asker:
            tasks = [asyncio.create_task(asker.predict(ABOVE, timeout=60)) for _ in range(3)]
            await eventually(threads)
            for task in tasks:
                task.cancel()
            done, _ = await asyncio.wait(tasks)
            assert all(one.cancelled() for one in done)
            job.start_worker("coordinator")
            with pytest.raises(AnswerTimeout):
                await asker.predict(BELOW, timeout=10)
            assert 1 <= queries(job) <= 2  # the last one, sent again after half its time
            assert len({one.value for one in all_queries(job)}) == 1

    with LocalJob(jobs.terms(), workers={}) as job:
        run(steps(job))


def all_queries(job: LocalJob) -> list[Any]:
    return [one for n in range(4) for one in jobs.records(job, "queries", n)]


def test_closing_wakes_whoever_waits(silent: LocalJob) -> None:
    async def steps() -> None:
        asker = client(silent, under_way=1)
        waiting = asyncio.create_task(asker.predict(ABOVE, timeout=60))
        await eventually(lambda: waits(asker) == 1)
        results = aiter(asker.results(timeout=None))
        looking = asyncio.ensure_future(anext(results))
        await asyncio.sleep(0)
        await asker.close()
        for one in (waiting, looking):
            with pytest.raises(ChironError) as closed:
                await one
            assert closed.value.code == "CLOSED"
        await asker.close()

    run(steps())


def test_results_are_read_by_another_client_behind_a_cursor(
    serving: LocalJob, tmp_path: Path
) -> None:
    state = tmp_path / "state"

    async def steps() -> None:
        async with client(serving, state=state) as asker, client(serving, state=state) as reader:
            asked = [await asker.predict(ABOVE, tag=str(n)) for n in range(3)]
            found = [one async for one in reader.results()]
            assert found == asked
            assert [one async for one in reader.results(after=asked[1].cursor)] == asked[2:]
            async with aclosing(reader.results(after=asked[2].cursor, timeout=None)) as coming:
                later = asyncio.ensure_future(anext(coming))
                answer = await asker.predict(BELOW)
                assert await later == answer

    run(steps())


def test_cancelled_reading_ends_its_thread(serving: LocalJob) -> None:
    async def steps() -> None:
        async with client(serving) as asker:
            await asker.predict(ABOVE)

            async def read() -> None:
                async for _ in asker.results(timeout=None):
                    heard.set()

            heard = asyncio.Event()
            task = asyncio.create_task(read())
            await heard.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await eventually(lambda: not [x for x in threads() if x.name.startswith("results")])

    run(steps())


def test_errors_are_those_of_the_other_client(serving: LocalJob) -> None:
    async def steps() -> None:
        async with client(serving) as asker:
            with pytest.raises(SchemaMismatch, match="north"):
                await asker.predict({"east": 0.0})
            await asker.predict(ABOVE, tag="a")
            with pytest.raises(TagTaken):
                await asker.predict(BELOW, tag="a")
            with pytest.raises(AttributeError):
                await asker.predict(7)  # type: ignore[arg-type]
            with pytest.raises(ChironError) as refused:
                await anext(asker.results(after="yesterday"))
            assert refused.value.code == "CURSOR"
            assert waits(asker) == 0

    run(steps())


def test_job_that_is_simulated_is_refused_at_once(serving: LocalJob) -> None:
    with pytest.raises(JobRefused) as refused:
        client(serving, evidence=None)
    assert refused.value.code == "SIMULATION"
