"""No key meets a nonce twice with different contents, in long random histories of all sealing."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from chiron_stream.wire.control import Announcement, Use, chain_next, chain_start, seal_control
from chiron_stream.wire.journal import Sealer
from chiron_stream.wire.objects import seal_object
from chiron_stream.wire.replies import Superseded, seal_reply
from chiron_stream.wire.serving import (
    AnswerBody,
    Grant,
    QueryName,
    Status,
    seal_answer,
    seal_query,
    seal_sessions,
)
from chiron_stream.wire.session import SessionKeys
from chiron_stream.wire.shards import ShardName, seal_shard
from chiron_stream.wire.tasks import KeyedObject, Serve, seal_task
from chiron_stream.wire.workers import GrantRequest, Heartbeat, seal_presence, seal_report
from tests.unit.wire.nonces import NonceMonitor
from tests.unit.wire.parties import (
    COORDINATOR,
    HELLO,
    KEY,
    REF,
    SCOPE,
    SECRET,
    TRAINER,
    opened,
)
from tests.unit.wire.test_shards import CLASSES

STEPS = 400


class Publisher:
    """An owner's session: shards and announcements in order, each possibly sent again."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        record, self.keys = opened(
            dice.randbytes(32), replace(HELLO, opened_at=dice.getrandbits(32))
        )
        self.chain = chain_start(record.pack())
        self.counter, self.number = 1, 0

    def send(self) -> None:
        name = self.dice.choice(("icu", "ward"))
        shard = ShardName(self.keys.session, self.keys.data_set(name), self.number)
        content = self.dice.randbytes(self.dice.randrange(300))
        for _ in range(self.dice.choice((1, 1, 2))):
            seal_shard(self.keys.shard(name, self.number), shard, content, CLASSES)
        self.number += 1
        self.announce(content)

    def announce(self, content: bytes) -> None:
        body = Announcement(self.number, 5, Use.TRAIN, 3, bytes(32), 0, 0, content[:9])
        arguments = (self.keys.control, self.keys.session, self.counter, self.chain, body)
        record = seal_control(*arguments)
        if self.dice.random() < 0.2:
            assert seal_control(*arguments) == record
        self.chain, self.counter = chain_next(self.chain, record), self.counter + 1


class Client:
    """A client's session and the predictor that answers it; queries and answers sent again."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        _, self.keys = opened(dice.randbytes(32), replace(HELLO, opened_at=dice.getrandbits(32)))
        self.number = 0

    def ask(self) -> None:
        name = QueryName(self.keys.session, self.number)
        self.number += 1
        row = self.dice.randbytes(30)
        for _ in range(self.dice.choice((1, 1, 2))):
            seal_query(self.keys.queries, name, row, 64)
        for release in range(self.dice.choice((1, 2))):  # another boot answers again
            body = AnswerBody(
                Status.OK, (1,), (), release, 1, bytes(32), 5, "local", simulated=True, reason=""
            )
            seal_answer(self.keys.answers, name, self.dice.randbytes(32), body, 200)


class Workers:
    """The coordinator and its workers; restarts go back to an earlier entry of the journal."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.places = [(1, bytes(32))]
        self.number = 0
        self.restart()

    def restart(self) -> None:
        index, head = self.dice.choice(self.places)  # rolled back, or an aborted transaction
        self.sealer = Sealer(KEY, self.dice.randrange(3), self.dice.randbytes(32), index, head)

    def work(self) -> None:
        if self.dice.random() < 0.1:
            self.restart()
        self.sealer.seal(self.dice.randbytes(20))
        self.places.append((self.sealer.index, self.sealer.head))

    def talk(self) -> None:
        number = self.dice.randrange(3)  # numbers repeat, as they do after a rolled-back history
        keyed = KeyedObject(REF, KEY)
        serve = Serve(number, self.dice.getrandbits(30), bytes(32), keyed, keyed, KEY)
        seal_task(SECRET, SCOPE, number, serve, COORDINATOR.sign)
        seal_report(SECRET, SCOPE, number, GrantRequest(self.dice.randbytes(16)), TRAINER.sign)
        seal_presence(SECRET, SCOPE, number, Heartbeat(self.dice.randbytes(32), 1))
        seal_reply(KEY, bytes(16), number, Superseded(self.dice.randbytes(16)))
        grant = Grant(bytes(16), bytes(16), 1, self.dice.getrandbits(30), 1, bytes(32))
        seal_sessions(KEY, number, 0, grant)
        seal_object(KEY, bytes(16), self.dice.randbytes(50))


def long_run(dice: random.Random) -> None:
    owners, clients = [Publisher(dice)], [Client(dice)]
    workers = Workers(dice)
    for _ in range(STEPS):
        if dice.random() < 0.05:
            owners.append(Publisher(dice))
            clients.append(Client(dice))
        moves: list[Callable[[], None]] = [
            dice.choice(owners).send,
            dice.choice(clients).ask,
            workers.work,
            workers.talk,
        ]
        dice.choice(moves)()


@pytest.mark.parametrize("seed", range(3))
def test_no_nonce_meets_two_contents_in_a_long_run(seed: int, nonces: NonceMonitor) -> None:
    long_run(random.Random(seed))
    assert nonces.reused == 0
    assert nonces.sealed > STEPS
    assert nonces.resent > 10  # the same bytes again are no reuse


def test_intent_and_control_records_share_a_key_and_no_nonce(nonces: NonceMonitor) -> None:
    record, keys = opened()
    body = Announcement(0, 5, Use.TRAIN, 3, bytes(32), 0, 0, b"")
    seal_control(keys.control, keys.session, 1, chain_start(record.pack()), body)
    assert nonces.reused == 0
    # The control: counter 0 is the intent's.
    seal_control(keys.control, keys.session, 0, chain_start(record.pack()), body)
    assert nonces.reused == 1


def _two_contents_in_one_shard() -> None:
    name = ShardName(bytes(16), bytes(8), 0)
    seal_shard(KEY, name, b"one", CLASSES)
    seal_shard(KEY, name, b"two", CLASSES)


def _two_rows_under_one_number() -> None:
    name = QueryName(bytes(16), 0)
    seal_query(KEY, name, b"one", 64)
    seal_query(KEY, name, b"two", 64)


def _two_histories_in_one_incarnation() -> None:
    for event in (b"one", b"two"):
        Sealer(KEY, 1, bytes(32), 1, bytes(32)).seal(event)


def _two_answers_under_one_response_nonce() -> None:
    for release in (1, 2):
        body = AnswerBody(
            Status.OK, (), (), release, 1, bytes(32), 0, "local", simulated=False, reason=""
        )
        seal_answer(SECRET, QueryName(bytes(16), 0), bytes(32), body, 200)


@pytest.mark.parametrize(
    "mistake",
    [
        _two_contents_in_one_shard,
        _two_rows_under_one_number,
        _two_histories_in_one_incarnation,
        _two_answers_under_one_response_nonce,
    ],
    ids=lambda mistake: mistake.__name__.strip("_"),
)
def test_monitor_notices(mistake: Callable[[], None], nonces: NonceMonitor) -> None:
    mistake()
    assert nonces.reused > 0


def test_keys_of_two_data_sets_differ_under_one_number() -> None:
    keys = SessionKeys(bytes(16), KEY)
    assert keys.shard("icu", 0) != keys.shard("ward", 0)
