"""What a bridge says of shards that the coordinator has taken: each once, and none before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from chiron_stream.bridge.ingest import Bridge
from chiron_stream.clients.publication import Publication, Sent


class Watcher:
    def __init__(self) -> None:
        self.heard: list[tuple[int, bytes]] = []

    def accepted(self, _publication: Publication, sent: Sent) -> None:
        self.heard.append((sent.number, sent.digest))


def sent(number: int) -> Sent:
    return Sent(number, 0, 1, bytes([number]) * 32, b"", b"")


def test_accepted_shard_is_told_once_and_not_before() -> None:
    taken: set[int] = set()
    shards = {1: sent(1), 0: sent(0)}
    publication = cast("Publication", SimpleNamespace(sent=shards, is_accepted=taken.__contains__))
    owner = SimpleNamespace(job=SimpleNamespace(policy=SimpleNamespace(schema=None)))
    nothing, watcher = cast("Any", None), Watcher()
    bridge = Bridge(cast("Any", owner), nothing, "d", nothing, nothing, cast("Any", watcher))
    bridge._tell_accepted(publication)
    assert watcher.heard == []
    taken |= {0, 1}
    bridge._tell_accepted(publication)
    bridge._tell_accepted(publication)
    assert watcher.heard == [(0, bytes(32)), (1, bytes([1]) * 32)]
    shards.pop(0)  # forgotten, for nothing more is to be done for it
    shards[2] = sent(2)
    bridge._tell_accepted(publication)
    assert len(watcher.heard) == 2
    taken.add(2)
    bridge._tell_accepted(publication)
    assert watcher.heard[2:] == [(2, bytes([2]) * 32)]
    assert bridge._accepted == {1, 2}, "what is forgotten is not kept"
