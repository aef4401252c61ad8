"""The record sizes that are measured, and how much of each a repetition moves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from benchmarks.bench import Stage


@dataclass(frozen=True)
class Load:
    """Records of one size.

    :param size: bytes of each value.
    :param produced: records to produce in one repetition.
    :param consumed: records to consume in one repetition.
    """

    label: str
    size: int
    produced: int
    consumed: int

    def payload(self) -> bytes:
        """Return a value of this size that does not compress."""
        return os.urandom(self.size)

    def to_produce(self, stage: Stage) -> int:
        """Return the number of records of a repetition that produces."""
        return stage.amount(self.produced, max(4, self.produced // 40))

    def to_consume(self, stage: Stage) -> int:
        """Return the number of records of a repetition that consumes."""
        return stage.amount(self.consumed, max(4, self.consumed // 40))


LOADS: Final = (
    Load("4KiB", 4096, produced=12_000, consumed=16_000),
    Load("64KiB", 65_536, produced=1_200, consumed=2_400),
    Load("900kB", 900_000, produced=150, consumed=200),
)
"""About a second each on two cores, and to produce more than the seam's window of 32 MiB."""
