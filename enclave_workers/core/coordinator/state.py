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
from chiron_stream.wire.replies import Refusal
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
    """An announced shard; ``digest`` is over its ciphertexts, ``session`` holds its key."""

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


@dataclass
class DataSetState(Document):
    """One data set: who may publish into it now, its shards by number, and whether it is whole."""

    KIND: ClassVar[int] = 502
    owner: PublicKey
    name: Name
    claim: Id
    shards: dict[int, Shard] = field(default_factory=dict)
    fin: int | None = None


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

    A lost boot is welcomed again when it shows signs of life and is idle; a quarantined one never.
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
    served: int = 0


@dataclass
class Slot(Document):
    """A slot of the round at hand. ``boot`` holds the lease; ``result`` ends it."""

    KIND: ClassVar[int] = 506
    task: Digest
    number: int
    revision: int
    shards: tuple[ShardId, ...]
    seed: int
    boot: Id | None = None
    result: SlotResult | None = None


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

    ``queue`` holds the slots still to come of this pass; ``rows_since`` and ``owners_since`` count
    since the last release; ``ledger`` counts granted answers by identity, ``granted`` by session
    and boot.
    """

    KIND: ClassVar[int] = 511
    MOST: ClassVar[int] = STATE_BYTES
    epoch: int = 0
    positions: dict[Name, int] = field(default_factory=dict)
    sessions: dict[Id, Session] = field(default_factory=dict)
    data_sets: tuple[DataSetState, ...] = ()
    recipe: Recipe | None = None
    workers: dict[Id, Worker] = field(default_factory=dict)
    numerics: Name = ""
    passes: int = 0
    queue: tuple[tuple[ShardId, ...], ...] = ()
    round: Round | None = None
    rounds: int = 0
    version: Version | None = None
    release: int = 0
    released: Version | None = None
    release_checkpoint: Digest = bytes(32)
    rows_since: int = 0
    owners_since: tuple[PublicKey, ...] = ()
    finished: bool = False
    ledger: dict[PublicKey, int] = field(default_factory=dict)
    granted: dict[bytes, int] = field(default_factory=dict)
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
        worker = self.workers.get(boot)
        if worker is not None:
            worker.lost = True
        for slot in self.round.slots if self.round is not None else ():
            if slot.boot == boot and slot.result is None:
                slot.boot = None

    def quarantine(self, boot: bytes) -> None:
        """Trust a boot's numbers no more."""
        self.lose(boot)
        self.workers[boot].quarantined = True

    def counts(self) -> dict[ShardStatus, int]:
        """Return how many shards have each status."""
        counts = dict.fromkeys(ShardStatus, 0)
        for data_set in self.data_sets:
            for shard in data_set.shards.values():
                counts[shard.status] += 1
        return counts

    def live(self, role: str) -> list[bytes]:
        """Return the boots of a role that are not lost and have a secret of this epoch.

        In order of their ids: a state that was read from a snapshot has another order of joining.
        """
        return sorted(
            boot
            for boot, worker in self.workers.items()
            if worker.role == role and not worker.lost and self.epoch in worker.secrets
        )
