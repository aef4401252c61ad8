"""One publication: shards on their way from sent to accepted to trained."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from chiron_stream.broker.records import Outgoing
from chiron_stream.broker.seam import Delivery
from chiron_stream.clients.receipts import Contradiction, Receipt, read_conflicts, read_receipts
from chiron_stream.errors import ChironError, Fenced, PolicyRefused, TamperDetected, Timeout
from chiron_stream.job.columns import pack_columns
from chiron_stream.job.fields import packed_bytes
from chiron_stream.job.policy import Policy
from chiron_stream.job.rows import Prepared
from chiron_stream.wire.control import (
    FIRST_COUNTER,
    Announcement,
    Body,
    Fin,
    Use,
    chain_next,
    chain_start,
    seal_control,
)
from chiron_stream.wire.replies import (
    Acknowledged,
    Parked,
    Refusal,
    Reply,
    ShardParked,
    ShardTrained,
    ShardVoid,
    Superseded,
)
from chiron_stream.wire.session import SessionKeys
from chiron_stream.wire.shards import ShardName, capacity, seal_shard, shard_digest

if TYPE_CHECKING:
    from chiron_stream.clients.party import OpenSession, Party

State = Literal["sent", "accepted", "trained"]

SEALED_AHEAD: Final = 2
"""Shards sealed while the one before them is being sent: sealing and sending share no lock."""

UNDER_WAY: Final = 16
"""Shards sent and not yet announced, at most."""

_TOKEN_BYTES: Final = 8
"""A resume token of this publisher: the first row that is not in the shard, big-endian."""


class SupersededPublisher(Fenced):
    """Another session claimed the data set; this publisher never opens another by itself."""

    default_code = "SUPERSEDED"


@dataclass(frozen=True)
class Sent:
    """A shard as this publication sent it."""

    number: int
    start: int
    stop: int
    digest: bytes


Bounds = tuple[int, int, int]
"""A shard to come: its number, its first row, the row behind its last."""


class Sealed(NamedTuple):
    """A shard ready to be sent."""

    number: int
    start: int
    stop: int
    records: tuple[bytes, ...]
    digest: bytes


def _ahead(seal: Callable[[Bounds], Sealed], bounds: Sequence[Bounds]) -> Iterator[Sealed]:
    """Seal in a thread of its own, a few shards ahead of whoever sends them."""
    with ThreadPoolExecutor(1, thread_name_prefix="sealing") as pool:
        coming: deque[Future[Sealed]] = deque()
        for one in bounds:
            coming.append(pool.submit(seal, one))
            if len(coming) > SEALED_AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def rows_that_fit(policy: Policy) -> int:
    """Return how many rows fill the policy's largest shard class."""
    room = max(capacity(one) for one in policy.shard_classes)
    fields = policy.schema.fields("train")
    one, two = packed_bytes(fields, 1), packed_bytes(fields, 2)
    return max(1, (room - one) // (two - one) + 1)


class Publication:
    """What became of one call of ``publish``.

    ``resumed_at`` is the first row that this publication sent: what lies before was accepted
    earlier. ``voided`` tells, by shard number, why the workers left a shard out.
    """

    def __init__(
        self,
        party: Party,
        session: OpenSession,
        dataset: str,
        prepared: Prepared,
        rows_per_shard: int,
        *,
        evaluate: bool,
    ) -> None:
        self._party = party
        self._session = session
        self._data_set = dataset
        self._prepared = prepared
        self._size = rows_per_shard
        self._use = Use.EVALUATE if evaluate else Use.TRAIN
        self._counter = FIRST_COUNTER
        self._chain = chain_start(session.record)
        self._acknowledged = FIRST_COUNTER
        self._refusals: list[Refusal] = []
        self._pending: deque[tuple[list[Delivery], Sent, Announcement]] = deque()
        self._said: deque[Delivery] = deque()
        self.sent: dict[int, Sent] = {}
        self.trained: dict[int, ShardTrained] = {}
        self.voided: dict[int, str] = {}
        self.resumed_at = _row_of(session.accept.token)
        self.dropped = prepared.dropped

    def send(self, *, fin: bool, progress: Callable[[int, int], None]) -> None:
        """Send everything that the coordinator has not accepted yet, and announce it."""
        rows = self._prepared.rows
        if self.resumed_at > rows:
            raise PolicyRefused(
                "the data set goes on behind these rows",
                code="OTHER_DATA",
                expected=f"the same rows as before, at least {self.resumed_at}",
                got=f"{rows} rows",
                hint="publish other rows under another data set name",
            )
        self._check_fin(rows)
        accept = self._session.accept
        bounds = [(one.number, _row_of(one.before), _row_of(one.token)) for one in accept.parked]
        starts = range(self.resumed_at, rows, self._size)
        bounds += [
            (number, start, min(start + self._size, rows))
            for number, start in enumerate(starts, accept.next_number)
        ]
        last = accept.next_number + len(starts)
        try:
            self._send_all(bounds, Fin(last) if fin and not accept.fin else None, progress)
        except ChironError as error:
            if self._is_superseded():
                raise self._superseded() from error
            raise

    def _send_all(
        self, bounds: Sequence[Bounds], fin: Fin | None, progress: Callable[[int, int], None]
    ) -> None:
        for shard in _ahead(self._seal, bounds):
            self._send_shard(shard)
            progress(shard.stop, self._prepared.rows)
        self._announce_all(0)
        if fin is not None:
            self._control(fin)
        self._settle(wait=True)

    def _is_superseded(self) -> bool:
        """Tell whether a successor has claimed the data set, as far as the broker says."""
        try:
            return any(isinstance(one, Superseded) for one in self._session.replies.so_far())
        except ChironError:
            return False  # what went wrong before is the reason to give

    def _superseded(self) -> SupersededPublisher:
        return SupersededPublisher(
            f"another publisher claimed the data set {self._data_set}",
            hint="only one publisher of a data set may run",
        )

    def _check_fin(self, rows: int) -> None:
        if self._session.accept.fin and self.resumed_at < rows:
            raise PolicyRefused(
                "the data set is whole; nothing was sent",
                code="AFTER_FIN",
                expected=f"the {self.resumed_at} rows that were published",
                got=f"{rows} rows",
            )

    def _seal(self, bounds: Bounds) -> Sealed:
        records = self._sealed(*bounds)
        return Sealed(*bounds, tuple(records), shard_digest(records))

    def _send_shard(self, shard: Sealed) -> None:
        partition = shard.number % self._party.partitions("shards")
        place = self._party.partition("shards", partition)
        session = self._session.keys.session
        deliveries = [
            self._party.producer.send(Outgoing(place, record, session)) for record in shard.records
        ]
        announcement = Announcement(
            number=shard.number,
            rows=shard.stop - shard.start,
            use=self._use,
            records=len(shard.records),
            digest=shard.digest,
            partition=partition,
            first=0,
            token=shard.stop.to_bytes(_TOKEN_BYTES, "big"),
        )
        self._pending.append((deliveries, Sent(*shard[:3], shard.digest), announcement))
        self._announce_all(UNDER_WAY)

    def _sealed(self, number: int, start: int, stop: int) -> list[bytes]:
        """Return a shard's records: the same rows give the same bytes, under the shard's key."""
        policy, keys = self._party.job.policy, self._session.keys
        part = {name: array[start:stop] for name, array in self._prepared.columns.items()}
        content = pack_columns(policy.schema, part, stop - start)
        name = ShardName(keys.session, keys.data_set(self._data_set), number)
        key = keys.shard(self._data_set, number)
        return seal_shard(key, name, content, policy.shard_classes)

    def _announce_all(self, most: int) -> None:
        """Announce, in order, until at most so many shards are sent and not announced."""
        while len(self._pending) > most:
            deliveries, sent, announcement = self._pending.popleft()
            first = min(delivery.result().offset for delivery in deliveries)
            self._control(replace(announcement, first=first))
            self.sent[sent.number] = sent

    def _control(self, body: Body) -> None:
        keys = self._session.keys
        record = seal_control(keys.control, keys.session, self._counter, self._chain, body)
        self._chain = chain_next(self._chain, record)
        self._counter += 1
        place = self._party.partition("control")
        self._said.append(self._party.producer.send(Outgoing(place, record, keys.session)))
        self._settle(wait=False)

    def _settle(self, *, wait: bool) -> None:
        """See that the broker has taken what was said on ``control``, all of it or so far.

        :raises ChironError: it has not taken a record; nothing behind it counts.
        """
        while self._said and (wait or self._said[0].done):
            self._said.popleft().result()

    @property
    def keys(self) -> SessionKeys:
        """The session's keys: the owner's own, never to be shown to anybody."""
        return self._session.keys

    @property
    def data_set(self) -> str:
        """The data set's name."""
        return self._data_set

    def sealed_again(self, place: int) -> tuple[int, list[bytes]]:
        """Return number and records of a shard, by its place: the same bytes as were sent."""
        sent = list(self.sent.values())[place]
        return sent.number, self._sealed(sent.number, sent.start, sent.stop)

    @property
    def state(self) -> State:
        """How far all shards of this publication are; for evaluation, accepted is the end."""
        if not self._accepted:
            return "sent"
        done = self._use is Use.EVALUATE or all(
            number in self.trained or number in self.voided for number in self.sent
        )
        return "trained" if done else "accepted"

    @property
    def _accepted(self) -> bool:
        return self._acknowledged >= self._counter

    def wait(self, state: State = "accepted", timeout: float = 60.0) -> None:
        """Wait until every shard is accepted, or trained (a VOID shard counts as done).

        :raises Timeout: not in ``timeout`` seconds; call again to wait on.
        :raises PolicyRefused: the coordinator refused a shard; the code says why.
        :raises SupersededPublisher: another publisher claimed the data set.
        """
        deadline = time.monotonic() + timeout
        order = ("sent", "accepted", "trained")
        while order.index(self.state) < order.index(state):
            left = deadline - time.monotonic()
            if left <= 0:
                raise Timeout(
                    f"the publication of {self._data_set} is not {state} yet",
                    expected=f"{state} within {timeout:g} s",
                    got=f"{self.state}: {len(self.trained)} of {len(self.sent)} shards trained",
                    hint="chiron status shows what the job waits for",
                )
            for reply in self._session.replies.poll(min(left, 0.5)):
                self._take(reply)
            self._raise_refusals()

    def _take(self, reply: Reply) -> None:
        if isinstance(reply, Acknowledged):
            self._acknowledged = max(self._acknowledged, reply.next_counter)
            self._refusals += reply.refusals
        elif isinstance(reply, ShardTrained):
            self.trained[reply.number] = reply
        elif isinstance(reply, ShardVoid):
            self.voided[reply.number] = reply.reason
        elif isinstance(reply, ShardParked):
            self._again(reply.shard)
        elif isinstance(reply, Superseded):
            raise self._superseded()

    def _again(self, parked: Parked) -> None:
        """Send a parked shard again, byte for byte, and announce it again."""
        bounds = parked.number, _row_of(parked.before), _row_of(parked.token)
        self._send_shard(self._seal(bounds))
        self._announce_all(0)

    def _raise_refusals(self) -> None:
        if self._refusals:
            first = self._refusals[0]
            raise PolicyRefused(f"the coordinator refused: {first.reason}", code=first.code)

    def receipts(self) -> list[Receipt]:
        """Return a verified receipt for each shard of this publication that entered a version.

        :raises TamperDetected: checkpoints contradict each other or what the replies said.
        """
        found = read_receipts(self._party, self._names)
        for receipt in found:
            told = self.trained.get(receipt.shard)
            if told is not None and told.checkpoint not in receipt.checkpoints:
                raise TamperDetected(
                    f"shard {receipt.shard} has another receipt than its owner was told",
                    code="RECEIPT",
                )
        return found

    def conflicts(self) -> list[Contradiction]:
        """Return the receipts of shards of this publication that were announced with two contents.

        They name both, and prove later that this happened; the first content stands.

        :raises TamperDetected: a conflict of no coordinator that the policy allows.
        """
        return read_conflicts(self._party, self._names)

    @property
    def _names(self) -> dict[int, tuple[bytes, int, bytes]]:
        session = self._session.keys.session
        return {number: (session, number, one.digest) for number, one in self.sent.items()}

    def close(self) -> None:
        """Stop listening; what was sent goes on."""
        self._session.replies.close()


def _row_of(token: bytes) -> int:
    if not token:
        return 0
    if len(token) != _TOKEN_BYTES:
        raise PolicyRefused(
            "the data set was published by another kind of publisher",
            code="TOKEN",
            expected="a resume token of rows",
            got=f"{len(token)} bytes",
        )
    return int.from_bytes(token, "big")
