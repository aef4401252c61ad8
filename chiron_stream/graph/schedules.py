"""Learning-rate schedules: closed forms of the global step.

A schedule gives the factor by which the optimizer's own rate is multiplied at a step. Closed form,
because a slot may be trained by any worker at any time: the factor follows from the step's number
alone. The reference uses ``torch.optim.lr_scheduler.LambdaLR`` over the same function; torch's own
``CosineAnnealingLR`` and ``StepLR`` compute each rate from the one before and round otherwise.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from chiron_stream.graph.settings import Setting

_STEPS: Final = (0.0, 1e9)
_PERIOD: Final = (1.0, 1e9)
_UNIT: Final = (0.0, 1.0)


@dataclass(frozen=True)
class Schedule(Setting, ABC):
    """Base of schedules."""

    @abstractmethod
    def at(self, step: int) -> float:
        """Return what the learning rate is multiplied by at global step ``step`` (from 0)."""
        ...


@dataclass(frozen=True)
class Constant(Schedule):
    """The optimizer's rate at every step."""

    KIND: ClassVar[str] = "constant"

    def at(self, step: int) -> float:  # noqa: ARG002  (the same at every step)
        """Return 1."""
        return 1.0


@dataclass(frozen=True)
class Step(Schedule):
    """Every ``every`` steps the rate is multiplied by ``factor``."""

    KIND: ClassVar[str] = "step"
    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {"every": _PERIOD, "factor": _UNIT}

    every: int = 1000
    factor: float = 0.1

    def at(self, step: int) -> float:
        """Return ``factor ** (step // every)``."""
        return float(self.factor ** (step // self.every))


@dataclass(frozen=True)
class Warmup(Schedule):
    """The rate rises in equal parts over the first ``steps`` steps, and then stays."""

    KIND: ClassVar[str] = "warmup"
    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {"steps": _PERIOD}

    steps: int = 1000

    def at(self, step: int) -> float:
        """Return ``min(1, (step + 1) / steps)``."""
        return min(1.0, (step + 1) / self.steps)


@dataclass(frozen=True)
class Cosine(Schedule):
    """After a linear rise over ``warmup`` steps, half a cosine down to 0 at step ``total``.

    Loshchilov and Hutter, SGDR (2017), equation 5, without restarts: of ``total`` steps in all,
    those of the rise included; from ``total`` on, the rate is 0.
    """

    KIND: ClassVar[str] = "cosine"
    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {"warmup": _STEPS, "total": _PERIOD}

    warmup: int = 0
    total: int = 10_000

    def expected(self) -> str:
        """See :class:`~chiron_stream.graph.settings.Setting`."""
        return "" if self.warmup < self.total else "a warmup shorter than the total"

    def at(self, step: int) -> float:
        """Return the factor of the rise, or of the cosine behind it."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = min(1.0, (step - self.warmup) / (self.total - self.warmup))
        return 0.5 * (1.0 + math.cos(math.pi * done))


SCHEDULES: Final = {one.KIND: one for one in (Constant, Step, Warmup, Cosine)}
"""By the ``kind`` that a definition names."""
