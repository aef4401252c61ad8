"""The source as one of several bridges sees it: the partitions that a consumer group gives it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chiron_stream.bridge.application import Reached
from chiron_stream.bridge.source import FaustSource
from chiron_stream.broker.records import Partition


class SharedSource(FaustSource):
    """A member of a group whose offsets others commit: Faust begins at them and moves none.

    The arguments are :class:`~chiron_stream.bridge.application.FaustThread`'s.
    """

    def __init__(
        self, servers: str, properties: Mapping[str, str], topic: str, group: str, arrived: Reached
    ) -> None:
        self._assigned: frozenset[Partition] = frozenset()
        super().__init__(servers, properties, topic, group, arrived)

    @property
    def assigned(self) -> frozenset[Partition]:
        """The partitions that are this member's, as far as it has heard.

        A record that was taken before this was asked came of an assignment that still stands, or
        will come again.
        """
        return self._assigned

    def _application(self) -> Any:
        app = super()._application()
        app.on_partitions_assigned.connect(self._take_over)
        app.on_partitions_revoked.connect(self._give_up)
        return app

    async def _take_over(self, _app: Any, assigned: Iterable[Any], **_more: Any) -> None:
        self._assigned = frozenset(Partition(one.topic, one.partition) for one in assigned)
        self._arrived()

    async def _give_up(self, _app: Any, revoked: Iterable[Any], **_more: Any) -> None:
        self._assigned -= {Partition(one.topic, one.partition) for one in revoked}
        self._arrived()
