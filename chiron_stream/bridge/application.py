"""Faust in a thread of its own: one application, one event loop, and the reason of its end."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from chiron_stream import timeouts
from chiron_stream.bridge.connection import faust_connection
from chiron_stream.errors import BrokerUnreachable, ChironError

SESSION_SECONDS: Final = 6.0
"""Without a sign of life for so long a member is taken for dead (``docs/operating.md``)."""

HEARTBEAT_SECONDS: Final = 1.0
COMMIT_SECONDS: Final = 0.5
"""Between two commits of what was acknowledged: what a dead member leaves to be done again."""

_LOOK: Final = 0.2
"""Seconds between two looks whether Faust still runs."""

Reached = Callable[[], None]


class FaustThread(ABC):
    """One Faust application that consumes one topic as a member of a group.

    :param servers: ``host:port`` of the brokers, separated by commas.
    :param properties: Kafka client properties of the user.
    :param group: the group's id.
    :param arrived: called, from Faust's thread, when something has come.
    """

    def __init__(
        self,
        servers: str,
        properties: Mapping[str, str],
        topic: str,
        group: str,
        arrived: Reached,
    ) -> None:
        self._servers = servers
        self._properties = properties
        self._topic = topic
        self._group = group
        self._arrived = arrived
        self._error: ChironError | None = None
        self._loop = asyncio.new_event_loop()
        self._room = asyncio.Event()
        self._ended = asyncio.Event()
        self._data = tempfile.mkdtemp(prefix="chiron-faust-")
        self._thread = threading.Thread(target=self._run, name="faust", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the group and end the thread."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(timeouts.CONNECT)
        shutil.rmtree(self._data, ignore_errors=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        app = self._application()
        try:
            await app.start()
            while not self._ended.is_set() and not app.should_stop:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), _LOOK)
        except (OSError, RuntimeError) as error:  # the latter are those of Faust's Kafka client
            self._fail(f"the consumer group cannot be joined: {type(error).__name__}")
        finally:
            if not self._ended.is_set():  # nobody asked for this end, whatever brought it
                self._fail("the consumer group ended")
            await app.stop()

    def _fail(self, sentence: str) -> None:
        """Have whoever takes records hear why none come any more: of the first reason."""
        self._error = self._error or BrokerUnreachable(sentence, got=self._servers)
        self._arrived()

    def _application(self) -> Any:
        import faust

        logging.getLogger("faust").setLevel(logging.WARNING)
        app = faust.App(
            self._group,
            **faust_connection(self._servers, self._properties),
            broker_session_timeout=SESSION_SECONDS,
            broker_heartbeat_interval=HEARTBEAT_SECONDS,
            broker_commit_interval=COMMIT_SECONDS,
            consumer_auto_offset_reset="earliest",
            store="memory://",
            datadir=self._data,
            loop=self._loop,
            stream_wait_empty=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
        )
        topic = app.topic(
            self._topic, key_serializer="raw", value_type=bytes, value_serializer="raw"
        )
        app.agent(topic, concurrency=1)(self._hear)
        return app

    @abstractmethod
    async def _hear(self, stream: Any) -> None:
        """Take what comes; an agent of Faust's."""
