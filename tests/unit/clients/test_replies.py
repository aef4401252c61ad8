"""A session's replies, read from an in-memory broker."""

from __future__ import annotations

import pytest

from chiron_stream.broker.memory import MemoryBroker
from chiron_stream.broker.records import Outgoing, Partition, TopicState
from chiron_stream.clients.replies import Replies
from chiron_stream.errors import Withheld
from chiron_stream.wire.replies import Accept, Acknowledged, Reply, Superseded, seal_reply
from chiron_stream.wire.session import SessionKeys

PLACE = Partition("test.replies", 0)
KEYS = SessionKeys(bytes(16), bytes(32))
ACCEPT = Accept(0, b"", (), fin=False)
SUPERSEDED = Superseded(b"\x01" * 16)


def replied(*bodies: tuple[int, Reply]) -> Replies:
    """Return the replies of a session to which all of these stand on the topic already."""
    broker = MemoryBroker()
    broker.administration().create(PLACE.topic, TopicState(1))
    replies = Replies(broker, PLACE, KEYS, 0)
    for number, body in bodies:
        value = seal_reply(KEYS.replies, KEYS.session, number, body)
        broker.producer().send(Outgoing(PLACE, value, KEYS.session))
    return replies


def test_what_came_with_the_first_reply_is_kept_for_the_next_look() -> None:
    replies = replied((0, ACCEPT), (1, SUPERSEDED))
    assert replies.first(1) == ACCEPT
    assert replies.poll(1) == [SUPERSEDED]
    assert replies.poll(0) == []


def test_replies_are_taken_one_by_one_in_order() -> None:
    replies = replied((0, ACCEPT), (1, Acknowledged(2, ())), (2, SUPERSEDED))
    assert [replies.first(1) for _ in range(3)] == [ACCEPT, Acknowledged(2, ()), SUPERSEDED]
    assert replies.first(0) is None


def test_so_far_is_everything_that_stands_there_now() -> None:
    replies = replied((0, ACCEPT), (1, Acknowledged(2, ())), (2, SUPERSEDED))
    assert replies.first(1) == ACCEPT
    assert replies.so_far() == [Acknowledged(2, ()), SUPERSEDED]
    assert replies.so_far() == []


def test_reply_that_was_taken_is_not_taken_again() -> None:
    replies = replied((0, ACCEPT), (0, SUPERSEDED), (1, Acknowledged(1, ())))
    assert replies.poll(1) == [ACCEPT, Acknowledged(1, ())]


def test_missing_reply_is_withheld() -> None:
    replies = replied((1, SUPERSEDED))
    with pytest.raises(Withheld):
        replies.poll(1)
