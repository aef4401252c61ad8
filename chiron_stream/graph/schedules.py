"""Learning-rate schedules: closed forms of the global step.

A schedule gives the factor by which the optimizer's own rate is multiplied at a step. Closed form,
because a slot may be trained by any worker at any time: the factor follows from the step's number
alone. The reference uses ``torch.optim.lr_scheduler.LambdaLR`` over the same function.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chiron_stream.graph.settings import Setting


@dataclass(frozen=True)
class Schedule(Setting):
    """Base of schedules."""

    def factor(self, step: int) -> float:
        """Return what the learning rate is multiplied by at global step ``step`` (from 0)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(Schedule):
    """The optimizer's rate at every step."""

    KIND: ClassVar[str] = "constant"

    def factor(self, step: int) -> float:  # noqa: ARG002  (the same at every step)
        """Return 1."""
        return 1.0


SCHEDULES: Final = {one.KIND: one for one in (Constant,)}
"""By the ``kind`` that a definition names."""
