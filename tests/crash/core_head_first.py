"""``python -m tests.crash.core_head_first ROLE``: a core that releases a version before its chunks.

The control of the crash tests: the head of a version is committed, and only then the chunks that
it names are written. A coordinator that dies in between leaves a version that nobody can read.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from unittest.mock import patch

from chiron_stream.wire.courier import Send
from chiron_stream.wire.crypto import Bytes
from chiron_stream.wire.objects import ObjectRef, object_digest, seal_object
from enclave_workers.core.coordinator import importing, shell
from enclave_workers.core.link import Link
from tests.crash import core

_commit = shell.Coordinator._commit
_delayed: list[tuple[Link, list[Send]]] = []


def write_object(
    link: Link, topic: str, key: bytes, object_id: bytes, plaintext: bytes
) -> ObjectRef:
    """Return the reference of an object whose chunks are kept back."""
    chunks = seal_object(key, object_id, plaintext)
    _delayed.append((link, [Send(topic, 0, chunk, b"", b"") for chunk in chunks]))
    first = link.reach(topic).high
    return ObjectRef(
        topic=topic,
        partition=0,
        first=first,
        last=first + len(chunks) - 1,
        object_id=object_id,
        chunks=len(chunks),
        size=len(plaintext),
        digest=object_digest(plaintext),
    )


def write_stream(
    link: Link, topic: str, key: bytes, object_id: bytes, size: int, pieces: Iterator[Bytes]
) -> ObjectRef:
    """Do the same with an object that comes piece by piece."""
    plaintext = b"".join(pieces)
    assert len(plaintext) == size
    return write_object(link, topic, key, object_id, plaintext)


def commit(coordinator: shell.Coordinator) -> None:
    """Commit heads first, then write the chunks that they name."""
    _commit(coordinator)
    while _delayed:
        link, chunks = _delayed.pop(0)
        link.append(chunks)


if __name__ == "__main__":
    with (
        patch.object(importing, "write_object", write_object),
        patch.object(importing, "write_stream", write_stream),
        patch.object(shell.Coordinator, "_commit", commit),
    ):
        sys.exit(core.run(sys.argv[1:]))
