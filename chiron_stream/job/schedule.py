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
MAX_WAIT_SECONDS: Final = 30 * 86_400
MAX_WINDOW: Final = 1024
"""Rounds of a window, at most."""

MAX_SHARDS_PER_WINDOW: Final = 262_144
"""Shards that may stand in one window of an open job: the state holds their ids."""


class Kind(IntEnum):
    """How a job ends."""

    CLOSED = 1
    """Each listed data set ends with a fin; then passes over all of it, comparable across runs."""
    OPEN = 2
    """Data keeps coming: windows of what has arrived, each passed over, and no end."""


@dataclass(frozen=True)
class DataSet(Document):
    """One data set: its owner's identity, and the owner's name for it."""

    KIND: ClassVar[int] = 151
    owner: PublicKey
    name: Name


@dataclass(frozen=True)
class Schedule(Document):
    """Rounds of ``slots`` slots of up to ``shards_per_slot`` shards of one owner.

    ``passes``: how often each shard is used. ``step_deadline`` in seconds: a trainer without a new
    step for so long is taken for lost. ``release_every`` in rounds.

    Of open jobs, 0 in closed ones: a window is what fills ``window`` rounds, at most
    ``owner_slots`` slots of one owner in each of them. It begins when it is full, or when its
    oldest shard has waited ``max_wait`` seconds; each shard has its passes within its window. A
    closed job is one window of all its data.
    """

    KIND: ClassVar[int] = 155
    kind: Kind
    data_sets: tuple[DataSet, ...]
    slots: int
    shards_per_slot: int
    passes: int
    step_deadline: int
    release_every: int
    window: int = 0
    max_wait: int = 0
    owner_slots: int = 0

    def check(self, roster: Sequence[Member]) -> None:
        """Raise :class:`JobRefused` unless its numbers are in bounds and its owners known."""
        expect_between(self.slots, 1, MAX_SLOTS, "the number of slots of a round")
        expect_between(self.shards_per_slot, 1, MAX_SHARDS_PER_SLOT, "the shards of a slot")
        most = self.slots * self.shards_per_slot
        expect_between(most, 1, MAX_SHARDS_PER_ROUND, "the shards of a round")
        expect_between(self.passes, 1, MAX_PASSES, "the number of passes")
        expect_between(self.step_deadline, 1, MAX_STEP_SECONDS, "the step deadline, in seconds,")
        expect_between(self.release_every, 1, MAX_ROUNDS, "the number of rounds of a release")
        if self.kind is Kind.CLOSED:
            self._check_closed()
            self._check_data_sets(roster)
        else:
            self._check_open()

    def _check_closed(self) -> None:
        given = (self.window, self.max_wait, self.owner_slots)
        expect(not any(given), "a closed schedule has no windows", "window = max_wait = 0", given)

    def _check_open(self) -> None:
        listed = len(self.data_sets)
        expect(not listed, "an open schedule lists data sets", "none: owners name them", listed)
        expect_between(self.window, 1, MAX_WINDOW, "the rounds of a window")
        most = self.window * self.slots * self.shards_per_slot
        expect_between(most, 1, MAX_SHARDS_PER_WINDOW, "the shards of a window")
        expect_between(self.max_wait, 1, MAX_WAIT_SECONDS, "the longest wait, in seconds,")
        expect_between(self.owner_slots, 1, self.slots, "the slots of one owner in a round")

    def owners(self, roster: Sequence[Member]) -> frozenset[bytes]:
        """Return the identities whose rows may be trained on."""
        if self.kind is Kind.CLOSED:
            return frozenset(one.owner for one in self.data_sets)
        return frozenset(one.identity for one in roster if one.role is Role.OWNER)

    def allows(self, owner: bytes, data_set: str) -> bool:
        """Tell whether an owner of the roster may publish a data set of this name."""
        return self.kind is Kind.OPEN or DataSet(owner, data_set) in self.data_sets

    def _check_data_sets(self, roster: Sequence[Member]) -> None:
        count = len(self.data_sets)
        expect_between(count, 1, MAX_DATA_SETS, "the number of data sets of a closed schedule")
        expect(len(set(self.data_sets)) == count, "a data set is listed twice", "each once")
        owners = {member.identity for member in roster if member.role is Role.OWNER}
        for one in self.data_sets:
            expect_name(one.name, "a data set")
            known = one.owner in owners
            expect(known, f"nobody in the roster owns the data set {one.name}", "an owner of it")
