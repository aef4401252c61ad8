"""Optimizers: their numbers, their state, and one step, bit for bit as ``torch.optim`` does it.

The arithmetic is written out instead of calling ``torch.optim``: its classes keep state in
dictionaries keyed by object, load the compiler at the first step, and run hooks. Each step does
the operations of torch 2.15's ``_single_tensor_*`` functions in the same order on the same values;
``tests/unit/graph/test_optimizers.py`` compares the bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from chiron_stream.graph.settings import Setting

if TYPE_CHECKING:
    from torch import Tensor

Moments: TypeAlias = "tuple[Tensor, ...]"
"""What an optimizer keeps for one parameter: as many tensors of its shape as ``slots``."""

_UNIT: Final = (0.0, 1.0)
_POSITIVE: Final = (0.0, 1e6)


@dataclass(frozen=True)
class Optimizer(Setting):
    """Base of optimizers."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the tensors kept for each parameter."""
        raise NotImplementedError

    def step(
        self,
        parameter: Tensor,
        gradient: Tensor,
        moments: Moments | None,
        factor: float,
        number: int,
    ) -> Moments:
        """Change ``parameter`` in place, outside autograd.

        :param moments: what the step before returned, changed in place; None at the first step.
        :param factor: of the schedule, for the learning rate.
        :param number: of this optimizer's steps, from 1.
        :returns: what the next step is to get.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class SGD(Optimizer):
    """``torch.optim.SGD``."""

    KIND: ClassVar[str] = "sgd"
    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "lr": _POSITIVE,
        "momentum": _UNIT,
        "dampening": _UNIT,
        "weight_decay": _POSITIVE,
    }

    lr: float = 1e-3
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False

    @property
    def slots(self) -> tuple[str, ...]:
        """One momentum buffer, where there is momentum."""
        return ("momentum_buffer",) if self.momentum else ()

    def step(
        self,
        parameter: Tensor,
        gradient: Tensor,
        moments: Moments | None,
        factor: float,
        number: int,  # noqa: ARG002  (Adam's)
    ) -> Moments:
        """See :meth:`Optimizer.step`; the first momentum buffer is the gradient itself."""
        if self.weight_decay:
            gradient = gradient.add(parameter, alpha=self.weight_decay)
        if self.momentum:
            moments = self._momentum(gradient, moments)
            velocity = moments[0]
            nesterov = self.nesterov
            gradient = gradient.add(velocity, alpha=self.momentum) if nesterov else velocity
        parameter.add_(gradient, alpha=-(self.lr * factor))
        return moments or ()

    def _momentum(self, gradient: Tensor, moments: Moments | None) -> Moments:
        if moments is None:
            return (gradient.detach().clone(),)
        moments[0].mul_(self.momentum).add_(gradient, alpha=1 - self.dampening)
        return moments


OPTIMIZERS: Final[Mapping[str, type[Optimizer]]] = {one.KIND: one for one in (SGD,)}
"""By the ``kind`` that a definition names."""
