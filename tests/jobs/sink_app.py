"""``python -m tests.jobs.sink_app SERVERS TOPIC DIRECTORY``: an owner's own Faust application.

Its agent makes rows of records, and leaves out what is none of its business.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import faust

from chiron_stream import DataOwner
from chiron_stream.bridge.sink import FaustSink, faust_sink
from chiron_stream.local.directory import JobDirectory
from tests.jobs import jobs


def application(servers: str, topic: str, sink: FaustSink) -> Any:
    app = faust.App(
        "owners-own",
        broker=f"kafka://{servers}",
        store="memory://",
        datadir=tempfile.mkdtemp(),
        broker_session_timeout=6.0,
        broker_commit_interval=0.2,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
        topic_disable_leader=True,
        web_enabled=False,
    )

    @app.agent(app.topic(topic, value_type=bytes, value_serializer="raw"), sink=[sink])
    async def rows(stream: Any) -> AsyncIterator[dict[str, Any]]:
        async for value in stream:
            row = json.loads(value)
            if "width" in row:
                yield {**row, "ward": 3}

    return app


async def serve(app: Any) -> None:
    await app.start()
    await asyncio.Event().wait()


def main(servers: str, topic: str, path: str) -> None:
    directory = JobDirectory(Path(path))
    owner = DataOwner(directory.job(), directory.identity("alice"), evidence=jobs.SIMULATED)
    sink = faust_sink(owner, "sunk", rows_per_shard=7, max_wait=0.3)
    asyncio.run(serve(application(servers, topic, sink)))


if __name__ == "__main__":
    main(*sys.argv[1:])
