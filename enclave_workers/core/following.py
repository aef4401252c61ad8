"""The loop that trainer and predictor share: hear records, beat, never stop for a bad one."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from typing import Final

from chiron_stream.errors import TamperDetected
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.courier import Line, Lines, Send
from chiron_stream.wire.receipts import Rejected
from chiron_stream.wire.tasks import Task
from enclave_workers.core.link import Link
from enclave_workers.core.membership import Heartbeats, Membership

BATCH: Final = 256
WAIT_MS: Final = 250


def reject(link: Link, boot: bytes, line: Line, code: str) -> None:
    """Put a record's position, digest and reason on ``rejected``; the rest goes on."""
    record = Rejected(
        line.topic, line.partition, line.offset, code, hashlib.sha256(line.value).digest(), boot
    )
    link.append([Send("rejected", 0, record.pack(), b"", b"")])


def follow(
    link: Link,
    membership: Membership,
    take_task: Callable[[Task], None],
    take_others: Callable[[list[Line], float], None] = lambda _lines, _now: None,
    welcomed: Callable[[], None] = lambda: None,
) -> None:
    """Serve until the courier goes away, or asks for the end.

    :param take_task: called with each task for this boot.
    :param take_others: called each turn with the records of other topics and Unix seconds.
    :param welcomed: called once, when the first coordinator has welcomed this boot.
    """
    membership.join()
    beats = Heartbeats(membership)
    beats.start()
    try:
        _follow(link, membership, beats, take_task, take_others, welcomed)
    finally:
        beats.stop()


def _follow(
    link: Link,
    membership: Membership,
    beats: Heartbeats,
    take_task: Callable[[Task], None],
    take_others: Callable[[list[Line], float], None],
    welcomed: Callable[[], None],
) -> None:
    greeted = False
    while beats.error is None:
        if link.draining:
            membership.leave()
            return
        answer = link.poll(BATCH, WAIT_MS)
        others = _heard(link, membership, answer, take_task)
        take_others(others, answer.now / 1000)
        if membership.welcomed and not greeted:
            greeted = True
            welcomed()
        membership.telling.be("ready" if greeted else "joining")
    raise beats.error


def _heard(
    link: Link, membership: Membership, answer: Lines, take_task: Callable[[Task], None]
) -> list[Line]:
    """Take what the coordinator says; return the records of other topics."""
    others: list[Line] = []
    lines = deque(answer.lines)
    while lines:
        line = lines.popleft()
        if line.topic not in ("authority", "tasks"):
            others.append(line)
            continue
        try:
            for task in membership.heard(line, answer.now // 1000):
                _take(membership, task, take_task)
        except (TamperDetected, EncodingRefused) as error:
            if error.code != "REPEAT":
                reject(link, membership.boot.id, line, error.code)
        if line.topic == "authority":
            lines.extendleft(reversed(membership.due()))
    return others


def _take(membership: Membership, task: Task, take_task: Callable[[Task], None]) -> None:
    membership.telling.begin()
    try:
        take_task(task)
        membership.telling.serves(task)
    finally:
        membership.telling.end()
