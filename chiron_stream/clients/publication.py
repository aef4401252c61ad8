"""One publication: shards on their way from sent to accepted to trained."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from chiron_stream.clients.batches import WRONG
from chiron_stream.clients.receipts import Contradiction, Receipt, read_conflicts, read_receipts
from chiron_stream.clients.sending import Sending
from chiron_stream.clients.windows import Window, Windows
from chiron_stream.errors import (
    ChironError,
    Fenced,
    PolicyRefused,
    SchemaMismatch,
    TamperDetected,
    Timeout,
    UsageRefused,
)
from chiron_stream.job.columns import pack_columns
from chiron_stream.job.fields import packed_bytes
from chiron_stream.job.policy import Policy
from chiron_stream.wire.control import Announcement, Fin, Use
from chiron_stream.wire.replies import (
    Accept,
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
Progress = Callable[[int, int | None], None]
"""Called with rows sent, and rows in all where that is known."""

SEALED_AHEAD: Final = 2
"""Shards sealed while the one before them is being sent: sealing and sending share no lock."""


class SupersededPublisher(Fenced):
    """Another session claimed the data set; this publisher never opens another by itself."""

    default_code = "SUPERSEDED"


@dataclass(frozen=True)
class Sent:
    """A shard as this publication sent it: its rows, and the resume tokens round them."""

    number: int
    start: int
    stop: int
    digest: bytes
    before: bytes
    token: bytes


class Sealed(NamedTuple):
    """A shard ready to be sent."""

    sent: Sent
    records: tuple[bytes, ...]


Shards = Iterable[tuple[int, Window]]


def _ahead(seal: Callable[[int, Window], Sealed], shards: Shards) -> Iterator[Sealed]:
    """Seal in a thread of its own, a few shards ahead of whoever sends them.

    :raises SchemaMismatch: a wrong row, when everything in front of it has been yielded; also
        :class:`UsageRefused` for data that do not read on.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="sealing") as pool:
        coming: deque[Future[Sealed]] = deque()
        wrong: SchemaMismatch | UsageRefused | None = None
        try:
            for number, window in shards:
                coming.append(pool.submit(seal, number, window))
                if len(coming) > SEALED_AHEAD:
                    yield coming.popleft().result()
        except WRONG as error:
            wrong = error
        while coming:
            yield coming.popleft().result()
        if wrong is not None:
            raise wrong


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

    :param windows: the rows.
    :param dropped: columns of the data that the schema does not name; it may still grow.
    :param patience: seconds that the broker may be away.
    """

    def __init__(
        self,
        party: Party,
        session: OpenSession,
        dataset: str,
        windows: Windows,
        dropped: dict[str, None],
        *,
        evaluate: bool,
        patience: float,
    ) -> None:
        self._party = party
        self._session = session
        self._data_set = dataset
        self._windows = windows
        self._dropped = dropped
        self._use = Use.EVALUATE if evaluate else Use.TRAIN
        self._sending = Sending(party, session, patience, self._refuse_if_superseded)
        self._acknowledged = self._sending.counter
        self._refusals: list[Refusal] = []
        self._next = session.accept.next_number
        self._behind: dict[int, int] = {}
        self.sent: dict[int, Sent] = {}
        self.trained: dict[int, ShardTrained] = {}
        self.voided: dict[int, str] = {}
        self.resumed_at = windows.position(session.accept.token)

    @property
    def accept(self) -> Accept:
        """What the coordinator said when it admitted this publication."""
        return self._session.accept

    @property
    def dropped(self) -> tuple[str, ...]:
        """Columns that stayed here: the schema does not name them."""
        return tuple(self._dropped)

    def drop(self, names: Iterable[str]) -> None:
        """Note columns that stay here."""
        self._dropped |= dict.fromkeys(names)

    def send(self, *, fin: bool, progress: Progress) -> None:
        """Send everything that the coordinator has not accepted yet, and announce it.

        :raises SchemaMismatch: a wrong row in a stream: what is before it is sent and announced.
        """
        self._check_fin(self._windows.rows)
        with self._knowing_successors():
            try:
                for shard in _ahead(self._seal, self._windows.shards(self._session.accept)):
                    self._send_shard(shard)
                    progress(shard.sent.stop, self._windows.rows)
            except WRONG:
                self.finish(fin=False)
                raise
            self.finish(fin=fin)

    def add(self, number: int, window: Window) -> Sent:
        """Seal and send one shard, as they come; it is announced when the broker has it."""
        shard = self._seal(number, window)
        with self._knowing_successors():
            self._send_shard(shard)
        return shard.sent

    def go_on(self, timeout: float) -> None:
        """Announce what the broker has by now, and hear what the coordinator says.

        For whoever adds shards as they come; errors as of :meth:`wait`.

        :param timeout: seconds to wait for a word, at most.
        """
        with self._knowing_successors():
            self._sending.announce_ready()
        self.poll(timeout)

    def forget_settled(self) -> int:
        """Forget the shards that need nothing more; return how many those were.

        So a publication that goes on for months keeps only what is under way. Receipts of shards
        that were forgotten are an auditor's to read.
        """
        settled = [n for n in self.sent if n in self.trained or n in self.voided]
        for number in settled:
            self.sent.pop(number)
            self._behind.pop(number, None)
            self.trained.pop(number, None)
            self.voided.pop(number, None)
        return len(settled)

    def finish(self, *, fin: bool) -> None:
        """Announce what is sent, perhaps that the data set is whole, and see that it is taken."""
        with self._knowing_successors():
            self._sending.announce_all()
            if fin and not self._session.accept.fin:
                self._sending.say(Fin(self._next))
            self._sending.settle()

    @contextmanager
    def _knowing_successors(self) -> Iterator[None]:
        """Have an error tell of the successor that is the reason for it, where there is one."""
        try:
            yield
        except SupersededPublisher:
            raise
        except ChironError as error:
            self._refuse_if_superseded(error)
            raise

    def _refuse_if_superseded(self, error: ChironError) -> None:
        if self._is_superseded():
            raise self._superseded() from error

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

    def _check_fin(self, rows: int | None) -> None:
        if self._session.accept.fin and rows is not None and self.resumed_at < rows:
            raise PolicyRefused(
                "the data set is whole; nothing was sent",
                code="AFTER_FIN",
                expected=f"the {self.resumed_at} rows that were published",
                got=f"{rows} rows",
            )

    def _seal(self, number: int, window: Window) -> Sealed:
        """Return a shard: the same rows give the same bytes, under the shard's key."""
        self._check_fin(window.stop)
        records = self._sealed(number, window)
        span = window.start, window.stop
        sent = Sent(number, *span, shard_digest(records), window.before, window.token)
        return Sealed(sent, tuple(records))

    def _send_shard(self, shard: Sealed) -> None:
        sent = shard.sent
        announcement = Announcement(
            number=sent.number,
            rows=sent.stop - sent.start,
            use=self._use,
            records=len(shard.records),
            digest=sent.digest,
            partition=sent.number % self._party.partitions("shards"),
            first=0,
            token=sent.token,
        )
        self._next = max(self._next, sent.number + 1)
        self._sending.shard(shard.records, announcement, lambda: self._announced(sent))

    def _announced(self, sent: Sent) -> None:
        self.sent[sent.number] = sent
        self._behind[sent.number] = self._sending.counter

    def is_accepted(self, number: int) -> bool:
        """Tell whether the coordinator has taken the announcement of a shard, as far as we heard.

        A shard that is not announced is not accepted, nor is one that was forgotten.
        """
        return number in self._behind and self._acknowledged >= self._behind[number]

    def _sealed(self, number: int, window: Window) -> list[bytes]:
        policy, keys = self._party.job.policy, self._session.keys
        content = pack_columns(policy.schema, window.columns, window.stop - window.start)
        name = ShardName(keys.session, keys.data_set(self._data_set), number)
        key = keys.shard(self._data_set, number)
        return seal_shard(key, name, content, policy.shard_classes)

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
        window = self._windows.again(sent.before, sent.token)
        return sent.number, self._sealed(sent.number, window)

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
        return self._acknowledged >= self._sending.counter

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
            self.poll(min(left, 0.5))

    def poll(self, timeout: float) -> None:
        """Hear what the coordinator says, for at most so many seconds; errors as of :meth:`wait`.

        A shard that was damaged on its way is sent again.
        """
        for reply in self._session.replies.poll(timeout):
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
        """Send a parked shard again, byte for byte, and announce it again.

        :raises PolicyRefused: its rows are others by now: one key seals one content, ever.
        """
        shard = self._seal(parked.number, self._windows.again(parked.before, parked.token))
        known = self.sent.get(parked.number)
        if known is not None and known.digest != shard.sent.digest:
            raise PolicyRefused(
                f"the rows of shard {parked.number} are not what they were; nothing was sent",
                code="OTHER_DATA",
                expected=f"rows {known.start} to {known.stop} as they were published",
                got="other values",
                hint="publish again, in a new session, once the source is what it was",
            )
        self._send_shard(shard)
        self._sending.announce_all()

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
