"""How a rehearsal uses a sample: rows that are held out, and rows that train, slot by slot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy.typing as npt
import torch

from chiron_stream.errors import SchemaMismatch, UsageRefused
from chiron_stream.graph.batching import SMALLEST_SLOT

Positions = npt.NDArray[Any]
"""int64 ``[rows]``: where rows stand in the sample, from 0."""

MOST_SEED: Final = 2**62
"""Seeds of slots lie below it."""


@dataclass(frozen=True, eq=False)
class Portion:
    """The rows of one slot, in the order of their shards, and its seed."""

    sweep: int
    rows: Positions
    seed: int


@dataclass(frozen=True)
class Cut:
    """How rows are cut.

    :param held_out: share of the sample that does not train, from 0 to below 1.
    :param rows_per_shard: the last shard may have fewer; a single row joins the one before.
    :param shards_per_slot: of each slot but the last of a pass.
    :param passes: how often each row trains.
    :param seed: of everything that is drawn.
    """

    held_out: float
    rows_per_shard: int
    shards_per_slot: int
    passes: int
    seed: int

    def __post_init__(self) -> None:
        """Check the numbers.

        :raises UsageRefused: naming the one that cannot mean anything.
        """
        _expect(0 <= self.held_out < 1, "held_out", "0 to below 1", self.held_out)
        _expect(self.rows_per_shard >= 1, "rows_per_shard", "at least 1", self.rows_per_shard)
        _expect(self.passes >= 1, "passes", "at least 1", self.passes)
        _expect(0 <= self.seed < MOST_SEED, "seed", f"0 to below {MOST_SEED}", self.seed)

    def portions(self, rows: int) -> tuple[Positions, list[Portion]]:
        """Return the rows that are held out, and the slots of all passes in order.

        Shards keep the order of the sample, as an owner's do; each pass takes them in another.

        :raises SchemaMismatch: NO_ROWS: too few are left to train on.
        """
        dice = torch.Generator().manual_seed(self.seed)
        count = round(rows * self.held_out)
        if rows - count < SMALLEST_SLOT:
            raise SchemaMismatch(
                "the sample is too small",
                code="NO_ROWS",
                expected=f"at least {SMALLEST_SLOT} rows to train on",
                got=f"{rows} rows, {count} of them held out",
            )
        order = torch.randperm(rows, generator=dice)
        held, trained = order[:count].sort().values, order[count:].sort().values
        shards = self._shards(trained)
        return held.numpy(), list(self._slots(shards, dice))

    def _shards(self, rows: torch.Tensor) -> list[torch.Tensor]:
        shards = list(torch.split(rows, self.rows_per_shard))
        if len(shards) > 1 and len(shards[-1]) < min(SMALLEST_SLOT, self.rows_per_shard):
            last = shards.pop()
            shards[-1] = torch.cat([shards[-1], last])
        return shards

    def _slots(self, shards: Sequence[torch.Tensor], dice: torch.Generator) -> Iterator[Portion]:
        for sweep in range(1, self.passes + 1):
            order = torch.randperm(len(shards), generator=dice)
            for chosen in torch.split(order, self.shards_per_slot):
                rows = torch.cat([shards[int(one)] for one in chosen])
                seed = int(torch.randint(MOST_SEED, (), generator=dice))
                yield Portion(sweep, rows.numpy(), seed)


def _expect(good: bool, name: str, expected: str, got: object) -> None:  # noqa: FBT001  (a condition)
    if not good:
        raise UsageRefused(f"{name} cannot mean anything", expected=expected, got=str(got))
