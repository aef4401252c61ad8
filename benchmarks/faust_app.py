"""The Faust application of :mod:`benchmarks.faust_workers`: run as a worker, never imported.

It answers every question with its number and the name of the worker. A question is acknowledged
by hand when the broker has confirmed the answer, so that a crash doubles answers and loses none.
"""

from __future__ import annotations

import os
from typing import Any

import faust

from benchmarks.children import end_with_parent

NUMBER_BYTES = 8

app: Any = faust.App(
    os.environ["BENCH_GROUP"],
    broker=f"kafka://{os.environ['BENCH_ENDPOINT']}",
    store="memory://",
    datadir=os.environ["BENCH_DATA"],
    broker_heartbeat_interval=1.0,
    producer_linger_ms=0,
    stream_wait_empty=False,
    topic_disable_leader=True,
    web_enabled=False,
)


def _topic(variable: str) -> Any:
    return app.topic(
        os.environ[variable],
        key_type=bytes,
        key_serializer="raw",
        value_type=bytes,
        value_serializer="raw",
    )


questions = _topic("BENCH_QUESTIONS")
answers = _topic("BENCH_ANSWERS")
worker = os.environ["BENCH_WORKER"].encode()


async def answer(stream: Any) -> None:
    """Send each answer, wait until it is confirmed, then acknowledge the question."""
    async for event in stream.noack().events():
        sent = await answers.send(value=event.value[:NUMBER_BYTES] + worker)
        await sent
        event.ack()


app.agent(questions, concurrency=1)(answer)

if __name__ == "__main__":
    end_with_parent()
    app.main()
