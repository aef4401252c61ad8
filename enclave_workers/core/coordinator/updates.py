"""A slot's update on its way from the log into the round's merge."""

from __future__ import annotations

from collections.abc import Sequence

from chiron_stream.errors import TamperDetected
from chiron_stream.graph.layout import Segment, check_length
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import derive
from chiron_stream.wire.tasks import KeyedObject
from chiron_stream.wire.workers import SlotResult
from enclave_workers.core.coordinator.state import Context, Recipe
from enclave_workers.core.link import Link
from enclave_workers.core.lookup import UPDATES
from enclave_workers.core.recipes import ParametersDigest
from enclave_workers.core.streaming import Sink, read_stream


def read_update(
    link: Link,
    context: Context,
    recipe: Recipe,
    segments: Sequence[Segment],
    result: SlotResult,
    sink: Sink,
) -> None:
    """Read what a trainer reported into a sink.

    :param segments: that every update has.
    :raises TamperDetected: it is missing, or not what its trainer described.
    :raises RecipeRefused: it is no state of the recipe; the sink may have more to say.
    """
    ref = result.update
    if ref is None:
        raise TamperDetected("a slot without an update", code="NO_UPDATE")
    if ref.topic != UPDATES or ref.partition >= link.partitions(UPDATES):
        raise TamperDetected("an update in a place that there is not", code="PLACE")
    if ref.digest != result.digest:
        raise _not_described()
    check_length(segments, ref.size)
    key = derive(context.key, labels.K_UPDATE, result.task)
    described = _Described(sink, ParametersDigest(recipe.parameter_bytes), result.parameters)
    read_stream(link, KeyedObject(ref, key), described)


class _Described:
    """A sink that finishes another one if the parameters are those that a trainer described."""

    def __init__(self, sink: Sink, digest: ParametersDigest, expected: bytes) -> None:
        self._sink = sink
        self._digest = digest
        self._expected = expected

    def take(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self._sink.take(chunk)

    def finish(self) -> None:
        if self._digest.digest() != self._expected:
            raise _not_described()
        self._sink.finish()


def _not_described() -> TamperDetected:
    return TamperDetected("an update is not the one that its trainer described", code="DIGEST")
