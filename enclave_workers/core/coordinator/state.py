"""Everything the coordinator knows: digests, positions, plan, budgets, ledger, open effects.

No tensors, no clock, no sockets. The state is a document, so that a snapshot is its packed bytes
and two histories are equal when their bytes are. ``step`` consumes a state and returns it changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, ClassVar, Final

from chiron_stream.job.policy import Policy
from chiron_stream.wire.control import TOKEN_LIMIT, RecipeManifest, Use
from chiron_stream.wire.document import Digest, Document, Id, Limit, Name, PublicKey
from chiron_stream.wire.objects import ObjectRef
from chiron_stream.wire.replies import Refusal, RoundProgress, Scored
from chiron_stream.wire.session import Purpose
from chiron_stream.wire.workers import SlotResult

STATE_BYTES: Final = 512 * 1024 * 1024
"""Bytes of a packed state, at most: about a million shards with full tokens. It never leaves the
core but sealed, in chunks."""


@dataclass(frozen=True)
class Context:
    """What never changes while a job lives: its policy, its id and head, its key K."""

    policy: Policy
    job: bytes
    head: bytes
    key: bytes


@dataclass(frozen=True)
class At:
    """Where in the journal the event at hand stands; ``head`` takes the event in."""

    index: int
    head: bytes


@dataclass
class Session(Document):
    """An admitted session. ``next_counter`` and ``chain``: what the next control record must be."""

    KIND: ClassVar[int] = 500
    identity: PublicKey
    purpose: Purpose
    prk: Digest
    data_set: Name
    answer_partition: int
    next_counter: int
    chain: Digest
    replies: int = 0
    open: bool = True
    acknowledge: bool = False
    refusals: tuple[Refusal, ...] = ()


class ShardStatus(IntEnum):
    """Where a shard stands."""

    ACCEPTED = 1
    TRAINED = 2
    VOID = 3
    PARKED = 4


@dataclass
class Shard(Document):
    """An announced shard; ``digest`` is over its ciphertexts, ``session`` holds its key.

    ``uses``: how many committed rounds trained on it; ``contradicted``: its conflict is receipted.
    """

    KIND: ClassVar[int] = 501
    session: Id
    rows: int
    use: Use
    records: int
    digest: Digest
    partition: int
    first: int
    token: Annotated[bytes, Limit(TOKEN_LIMIT)]
    status: ShardStatus = ShardStatus.ACCEPTED
    reason: Name = ""
    uses: int = 0
    contradicted: bool = False


@dataclass
class DataSetState(Document):
    """One data set: who may publish into it now, its shards by number, and whether it is whole.

    ``count`` shards were accepted; an open job forgets those that have had all their uses.
    """

    KIND: ClassVar[int] = 502
    owner: PublicKey
    name: Name
    claim: Id
    shards: dict[int, Shard] = field(default_factory=dict)
    count: int = 0
    fin: int | None = None

    def token(self, number: int) -> bytes:
        """Return a shard's resume token; empty before the first shard."""
        return self.shards[number].token if number >= 0 else b""


@dataclass(frozen=True)
class ShardId(Document):
    """A shard by owner, data set and number: its identity for exactly-once."""

    KIND: ClassVar[int] = 503
    owner: PublicKey
    name: Name
    number: int


@dataclass
class Recipe(Document):
    """The provider's recipe; ``batch_size`` is 0 until it is imported."""

    KIND: ClassVar[int] = 504
    session: Id
    manifest: RecipeManifest
    batch_size: int = 0
    parameter_bytes: int = 0
    refused: bool = False


@dataclass
class Worker(Document):
    """One boot. ``secrets`` are its Welcome secrets by epoch; ``reports``: its next report.

    A lost boot is welcomed again when it shows signs of life and is idle; one that left or was
    quarantined never. ``numerics`` is the class that a trainer says it computes in.
    """

    KIND: ClassVar[int] = 505
    role: Name
    akd: Digest
    hpke_key: bytes
    signing_key: PublicKey
    expires: int
    secrets: dict[int, Digest]
    tasks: int = 0
    reports: int = 0
    lost: bool = False
    quarantined: bool = False
    left: bool = False
    served: int = 0
    numerics: Name = ""


class Leased:
    """A task that is leased to a trainer. ``boot`` holds the lease, ``holders`` have held it.

    ``failures`` counts leases that ended without a result, and behind the first of them the task is
    ``held`` back until the shell's timer says so.
    """

    task: bytes
    boot: bytes | None
    holders: tuple[bytes, ...]
    failures: int
    held: bool

    def give(self, boot: bytes) -> None:
        """Lease the task to a boot."""
        self.boot = boot
        self.holders = (*(one for one in self.holders if one != boot), boot)

    def fail(self) -> None:
        """End a lease that brought no result."""
        self.boot = None
        self.failures += 1
        self.held = self.failures > 1


@dataclass
class Slot(Leased, Document):
    """A slot of the round at hand; ``result`` ends its lease."""

    KIND: ClassVar[int] = 506
    task: Digest
    number: int
    revision: int
    shards: tuple[ShardId, ...]
    rows: int
    seed: int
    boot: Id | None = None
    result: SlotResult | None = None
    holders: tuple[Id, ...] = ()
    failures: int = 0
    held: bool = False

    def fail(self) -> None:
        """End a lease that brought no result, or a result that is of no use."""
        self.result = None
        super().fail()


@dataclass
class Round(Document):
    """The round at hand."""

    KIND: ClassVar[int] = 507
    number: int
    slots: tuple[Slot, ...]
    merging: bool = False


@dataclass
class Version(Document):
    """A committed version: the state behind ``step`` batches."""

    KIND: ClassVar[int] = 508
    number: int
    ref: ObjectRef
    digest: Digest
    parameters: Digest
    step: int


@dataclass
class Evaluation(Leased, Document):
    """A release to evaluate on one owner's shards; ``left`` is left to the owner behind its charge.

    ``round`` counts the rounds that had begun when it was opened.
    """

    KIND: ClassVar[int] = 512
    task: Digest
    owner: PublicKey
    release: int
    version: Version
    round: int
    shards: tuple[ShardId, ...]
    rows: int
    left: int
    revision: int = 0
    boot: Id | None = None
    holders: tuple[Id, ...] = ()
    failures: int = 0
    held: bool = False


@dataclass(frozen=True)
class ImportEffect(Document):
    """Open effect: check the recipe and make version 0."""

    KIND: ClassVar[int] = 509
    manifest: RecipeManifest
    session: Id


@dataclass(frozen=True)
class MergeEffect(Document):
    """Open effect: make the round's version of its slots' updates, in slot order."""

    KIND: ClassVar[int] = 510
    round: int
    version: int
    results: tuple[SlotResult, ...]


@dataclass
class State(Document):
    """The whole state. ``positions`` are hints: the next offset of each input partition.

    A *window* holds the shards that are being passed over, ``passes`` counts its passes begun,
    ``turns`` those of all windows; ``queue`` holds the slots still to come of this pass.
    ``waiting`` holds, by owner and in order of arrival, the shards of an open job that are in no
    window; those up to the arrival ``due`` have waited long enough; ``next_owner`` is whose turn
    it is.

    ``rows_since`` and ``owners_since`` count since the last release; ``tally`` counts shards by
    status; ``settled`` has the digests of the last round's results by task; ``diverged`` counts
    results that contradicted one; ``ledger`` counts granted answers by identity, ``granted`` by
    session and boot.

    ``holdout`` holds, by owner, the shards that are for evaluation, ``aside`` counts those of them
    that are parked; ``evaluations`` are still to come in, ``scores`` counts those that were opened.
    ``disclosed`` counts bits about training by identity, ``told`` keeps what each was told,
    ``listeners`` has its session that listens; ``void_since`` counts shards that became VOID since
    the provider's last report.
    """

    KIND: ClassVar[int] = 511
    MOST: ClassVar[int] = STATE_BYTES
    epoch: int = 0
    positions: dict[Name, int] = field(default_factory=dict)
    sessions: dict[Id, Session] = field(default_factory=dict)
    data_sets: tuple[DataSetState, ...] = ()
    tally: dict[ShardStatus, int] = field(default_factory=dict)
    recipe: Recipe | None = None
    workers: dict[Id, Worker] = field(default_factory=dict)
    numerics: Name = ""
    waiting: dict[PublicKey, dict[int, ShardId]] = field(default_factory=dict)
    arrivals: int = 0
    due: int = 0
    next_owner: int = 0
    window: tuple[ShardId, ...] = ()
    windows: int = 0
    passes: int = 0
    turns: int = 0
    queue: tuple[tuple[ShardId, ...], ...] = ()
    round: Round | None = None
    rounds: int = 0
    settled: dict[Digest, Digest] = field(default_factory=dict)
    diverged: int = 0
    version: Version | None = None
    release: int = 0
    released: Version | None = None
    release_checkpoint: Digest = bytes(32)
    rows_since: int = 0
    owners_since: tuple[PublicKey, ...] = ()
    finished: bool = False
    ledger: dict[PublicKey, int] = field(default_factory=dict)
    granted: dict[bytes, int] = field(default_factory=dict)
    holdout: dict[PublicKey, tuple[ShardId, ...]] = field(default_factory=dict)
    aside: int = 0
    evaluations: tuple[Evaluation, ...] = ()
    disclosed: dict[PublicKey, int] = field(default_factory=dict)
    told: dict[PublicKey, tuple[RoundProgress | Scored, ...]] = field(default_factory=dict)
    listeners: dict[PublicKey, Id] = field(default_factory=dict)
    scores: int = 0
    void_since: int = 0
    checkpoint: Digest = bytes(32)
    open_effects: tuple[ImportEffect | MergeEffect, ...] = ()

    def data_set(self, owner: bytes, name: str) -> DataSetState | None:
        """Return a data set, if it has been claimed."""
        for one in self.data_sets:
            if one.owner == owner and one.name == name:
                return one
        return None

    def shard(self, shard: ShardId) -> Shard:
        """Return an announced shard."""
        found = self.data_set(shard.owner, shard.name)
        if found is None:
            raise KeyError(shard.number)
        return found.shards[shard.number]

    def lose(self, boot: bytes) -> None:
        """Take a boot for lost, and its leases away."""
        self.release_leases(boot, failed=True)
        worker = self.workers.get(boot)
        if worker is not None:
            worker.lost = True

    def release_leases(self, boot: bytes, *, failed: bool) -> None:
        """Take the leases of a boot away; a failure is counted against the slot."""
        for one in self.leases():
            if one.boot == boot:
                if failed:
                    one.fail()
                one.boot = None

    def leases(self) -> list[Slot | Evaluation]:
        """Return every task that may be leased and has no result yet."""
        slots = self.round.slots if self.round is not None else ()
        return [*(slot for slot in slots if slot.result is None), *self.evaluations]

    def quarantine(self, boot: bytes) -> None:
        """Trust a boot's numbers no more."""
        self.lose(boot)
        self.workers[boot].quarantined = True

    def keep(self, data_set: DataSetState, number: int, shard: Shard) -> None:
        """Take in a shard, or another in place of one that is parked."""
        before = data_set.shards.get(number)
        if before is not None:
            self._count(before, -1)
            shard.uses = before.uses
        data_set.shards[number] = shard
        self._count(shard, 1)

    def mark(self, shard: Shard, status: ShardStatus) -> None:
        """Give a shard another status."""
        self._count(shard, -1)
        shard.status = status
        self._count(shard, 1)

    def _count(self, shard: Shard, by: int) -> None:
        self.tally[shard.status] = self.tally.get(shard.status, 0) + by
        if shard.status is ShardStatus.PARKED and shard.use is Use.EVALUATE:
            self.aside += by

    @property
    def training_waits(self) -> bool:
        """Whether a shard is parked that is to be trained on."""
        return self.count(ShardStatus.PARKED) > self.aside

    def count(self, status: ShardStatus) -> int:
        """Return how many shards have a status."""
        return self.tally.get(status, 0)

    @property
    def held(self) -> int:
        """How many accepted shards are for evaluation: they never train."""
        held = (self.shard(one) for shards in self.holdout.values() for one in shards)
        return sum(one.status is ShardStatus.ACCEPTED for one in held)

    @property
    def accepted(self) -> int:
        """How many shards were accepted, whatever became of them."""
        return sum(self.tally.values())

    def live(self, role: str) -> list[bytes]:
        """Return the boots of a role that are not lost and have a secret of this epoch.

        In order of their ids: a state that was read from a snapshot has another order of joining.
        """
        return sorted(
            boot
            for boot, worker in self.workers.items()
            if worker.role == role and not worker.lost and self.epoch in worker.secrets
        )
