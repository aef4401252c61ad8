"""What a client can see of a job that does not answer: whether there is a release at all."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from chiron_stream.broker.extents import read_until
from chiron_stream.clients.party import Connected
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.receipts import Checkpoint, CheckpointRecord, read_record

LOOK_BACK: Final = 200
"""Offsets of ``receipts`` that are looked at: the last rounds."""

_SECONDS: Final = 2.0


def newest_release(party: Connected) -> int:
    """Return the newest release that the log's last checkpoints name; 0: none.

    Nothing is verified: this is for a sentence to a person, and decides nothing.

    :raises ChironError: the broker does not answer.
    """
    place = party.partition("receipts")
    marks = party.broker.watermarks(place)
    start, release = max(marks.low, marks.stable - LOOK_BACK), 0
    if start == marks.stable:
        return release
    with party.broker.reader({place: start}, wait=0.01) as reader:
        for record in read_until(reader, place, marks.stable, timeout=_SECONDS):
            with suppress(EncodingRefused):
                found = read_record(record.value)
                if isinstance(found, CheckpointRecord):
                    release = max(release, Checkpoint.unpack(found.checkpoint).release)
    return release
