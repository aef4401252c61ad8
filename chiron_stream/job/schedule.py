"""The schedule: which data sets are trained on, in rounds of how many slots, how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final

from chiron_stream.job.refusal import expect, expect_between, expect_name
from chiron_stream.job.roster import Member, Role
from chiron_stream.wire.document import Document, Name, PublicKey

MAX_DATA_SETS: Final = 1024
MAX_SLOTS: Final = 1024
MAX_SHARDS_PER_SLOT: Final = 1024
"""A slot's task, with a key for each shard, is one record of at most 250 kB."""

MAX_SHARDS_PER_ROUND: Final = 8192
"""A round's plan and the leaves of its checkpoint are one record each."""

MAX_PASSES: Final = 100_000
MAX_STEP_SECONDS: Final = 86_400
MAX_ROUNDS: Final = 1_000_000


class Kind(IntEnum):
    """How a job ends."""

    CLOSED = 1
    """Each listed data set ends with a fin; then passes over all of it, comparable across runs."""
    OPEN = 2
    """Data keeps coming. Reserved: policies that ask for it are refused."""


@dataclass(frozen=True)
class DataSet(Document):
    """One data set: its owner's identity, and the owner's name for it."""

    KIND: ClassVar[int] = 151
    owner: PublicKey
    name: Name


@dataclass(frozen=True)
class Schedule(Document):
    """Rounds of ``slots`` slots of up to ``shards_per_slot`` shards of one owner.

    ``step_deadline`` in seconds: a trainer without a new step for so long is taken for lost.
    ``release_every`` in rounds.
    """

    KIND: ClassVar[int] = 155
    kind: Kind
    data_sets: tuple[DataSet, ...]
    slots: int
    shards_per_slot: int
    passes: int
    step_deadline: int
    release_every: int

    def check(self, roster: Sequence[Member]) -> None:
        """Raise :class:`JobRefused` unless it is closed and its data sets are the owners'."""
        closed = self.kind is Kind.CLOSED
        expect(closed, "this version runs no open schedules", Kind.CLOSED.name, self.kind.name)
        self._check_data_sets(roster)
        expect_between(self.slots, 1, MAX_SLOTS, "the number of slots of a round")
        expect_between(self.shards_per_slot, 1, MAX_SHARDS_PER_SLOT, "the shards of a slot")
        most = self.slots * self.shards_per_slot
        expect_between(most, 1, MAX_SHARDS_PER_ROUND, "the shards of a round")
        expect_between(self.passes, 1, MAX_PASSES, "the number of passes")
        expect_between(self.step_deadline, 1, MAX_STEP_SECONDS, "the step deadline, in seconds,")
        expect_between(self.release_every, 1, MAX_ROUNDS, "the number of rounds of a release")

    def owners(self) -> frozenset[bytes]:
        """Return the identities whose data sets are listed."""
        return frozenset(one.owner for one in self.data_sets)

    def _check_data_sets(self, roster: Sequence[Member]) -> None:
        count = len(self.data_sets)
        expect_between(count, 1, MAX_DATA_SETS, "the number of data sets of a closed schedule")
        expect(len(set(self.data_sets)) == count, "a data set is listed twice", "each once")
        owners = {member.identity for member in roster if member.role is Role.OWNER}
        for one in self.data_sets:
            expect_name(one.name, "a data set")
            known = one.owner in owners
            expect(known, f"nobody in the roster owns the data set {one.name}", "an owner of it")
