"""What the demo trains on, whatever it is: rows of two owners, the provider's recipe, the pace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from chiron_stream.errors import UsageRefused
from chiron_stream.job.terms import Terms, read_terms
from chiron_stream.recipe.replaying import Spec

Rows = dict[str, npt.NDArray[Any]]
Augment = Callable[[np.random.Generator, npt.NDArray[Any]], npt.NDArray[Any]]

SEED: Final = 20_261_125
LABEL: Final = "class"
FIRST, SECOND = "owner-a", "owner-b"
PROVIDER, CLIENT, AUDITOR = "modeller", "app", "auditor"
CLASSES: Final = 10
SLOTS: Final = 4
"""Of a round; two trainers share them."""

MAX_WAIT: Final = 3600
"""Seconds that a shard waits for a window that is not full: longer than the demo takes, so that
what is trained on together does not depend on how quick the machine is."""


@dataclass(frozen=True)
class Pace:
    """How rows come, and in which rounds something happens.

    An owner brings a *day* at a time: rows for half a window of ``window`` rounds, each passed over
    ``passes`` times. The first owner fills ``alone`` windows by itself, with two days each; then
    both bring a day for each of ``together`` windows. Nothing that the story waits for may take
    longer than ``seconds``.
    """

    rows_per_shard: int
    shards_per_slot: int
    window: int
    passes: int
    alone: int
    together: int
    release_every: int = 2
    seconds: float = 600.0

    @property
    def rows_per_day(self) -> int:
        """Rows that one owner brings in a day."""
        return self.window * SLOTS // 2 * self.shards_per_slot * self.rows_per_shard

    @property
    def days_alone(self) -> range:
        """The days that the first owner brings by itself."""
        return range(2 * self.alone)

    @property
    def days_together(self) -> range:
        """The days that both bring."""
        return range(2 * self.alone, 2 * self.alone + self.together)

    def first_day(self, owner: str) -> int:
        """Return the first day on which an owner brings rows."""
        return (self.days_alone if owner == FIRST else self.days_together).start

    @property
    def rounds(self) -> int:
        """Rounds of the whole run."""
        return self.round_at(1)

    def round_at(self, share: float) -> int:
        """Return the round behind which a share of the days that both bring is trained on."""
        return self.passes * self.window * self.alone + int(
            share * self.passes * self.window * self.together
        )

    @property
    def join_at(self) -> int:
        """The round in which the second owner joins, in the first one's last window alone."""
        return self.passes * self.window * (self.alone - 1) + self.window


@dataclass(frozen=True)
class Data:
    """Rows, recipe and pace.

    :param name: as ``DATA`` names it.
    :param column: the schema's entry of the one column that is asked about.
    :param classes: names, in the order of the codes in ``train`` and ``test``.
    :param shard_classes: records and bytes that shards are padded to.
    :param floor: accuracy that the run has to reach.
    :param time: what a person is told.
    :param augment: what an owner does to the rows of a day before it seals them.
    """

    name: str
    column: Mapping[str, Any]
    classes: Sequence[str]
    train: Rows
    test: Rows
    spec: Spec
    pace: Pace
    shard_classes: Sequence[Sequence[int]]
    floor: float
    time: str
    disk_mb: int
    augment: Augment = lambda _dice, rows: rows

    @property
    def input(self) -> str:
        """Name of the column that is asked about."""
        return str(self.column["name"])

    def terms(self, name: str) -> Terms:
        """Return the terms of an open job, whose owners bring data sets as they have them."""
        pace = self.pace
        return read_terms(
            {
                "name": name,
                "owners": [FIRST, SECOND],
                "provider": PROVIDER,
                "clients": [CLIENT],
                "auditor": AUDITOR,
                "seed": self.name,
                "columns": [
                    dict(self.column),
                    {"kind": "label", "name": LABEL, "classes": list(self.classes)},
                ],
                "schedule": {
                    "kind": "open",
                    "slots": SLOTS,
                    "shards_per_slot": pace.shards_per_slot,
                    "passes": pace.passes,
                    "window": pace.window,
                    "max_wait": MAX_WAIT,
                    "release_every": pace.release_every,
                },
                "shard_classes": [list(one) for one in self.shard_classes],
            }
        )

    def day(self, owner: str, number: int) -> Rows:
        """Return the rows that an owner brings on a day: its own classes only, drawn by seed."""
        mine = np.flatnonzero(of_first(self.train[LABEL]) == (owner == FIRST))
        if len(mine) < self.pace.rows_per_day:
            raise UsageRefused(
                f"the data set {self.name} is too small for this demo",
                expected=f"{self.pace.rows_per_day} rows of {owner}'s classes",
                got=f"{len(mine)} rows",
            )
        dice = np.random.default_rng([SEED, owner == FIRST, number])
        chosen = dice.permutation(mine)[: self.pace.rows_per_day]
        drawn = self.augment(dice, self.train[self.input][chosen])
        return {self.input: drawn, LABEL: self.train[LABEL][chosen]}


def of_first(codes: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell of class codes whether they are the first owner's: it has the first half of them."""
    found: npt.NDArray[np.bool_] = codes < CLASSES // 2
    return found
