"""Optimizers: their numbers, their state, and one step, bit for bit as ``torch.optim`` does it.

The arithmetic is written out instead of calling ``torch.optim``: its classes keep state in
dictionaries keyed by object, load the compiler at the first step, and run hooks. Each step does
the operations of torch 2.15's ``_single_tensor_*`` functions in the same order on the same values;
``tests/unit/graph/test_optimizers.py`` compares the bits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
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
_DECAY: Final = (0.0, 0.9999999)


@dataclass(frozen=True)
class Optimizer(Setting, ABC):
    """Base of optimizers."""

    @property
    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """Names of the tensors kept for each parameter."""
        ...

    @abstractmethod
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
        ...


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


@dataclass(frozen=True)
class Adam(Optimizer):
    """``torch.optim.Adam`` without ``amsgrad``; Kingma and Ba (2015), algorithm 1."""

    KIND: ClassVar[str] = "adam"
    BOUNDS: ClassVar[Mapping[str, tuple[float, float]]] = {
        "lr": _POSITIVE,
        "beta1": _DECAY,
        "beta2": _DECAY,
        "eps": _UNIT,
        "weight_decay": _POSITIVE,
    }

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    @property
    def slots(self) -> tuple[str, ...]:
        """The running averages of the gradient and of its square."""
        return ("exp_avg", "exp_avg_sq")

    def step(
        self,
        parameter: Tensor,
        gradient: Tensor,
        moments: Moments | None,
        factor: float,
        number: int,
    ) -> Moments:
        """See :meth:`Optimizer.step`."""
        first, second = moments or (parameter.new_zeros(parameter.shape) for _ in self.slots)
        rate = self.lr * factor
        gradient = self._decayed(parameter, gradient, rate)
        first.lerp_(gradient, 1 - self.beta1)
        second.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
        rise = (1 - self.beta2**number) ** 0.5
        denominator = (second.sqrt() / rise).add_(self.eps)
        parameter.addcdiv_(first, denominator, value=-(rate / (1 - self.beta1**number)))
        return first, second

    def _decayed(self, parameter: Tensor, gradient: Tensor, rate: float) -> Tensor:  # noqa: ARG002
        """Return the gradient with weight decay, as a penalty on the weights' squares."""
        return gradient.add(parameter, alpha=self.weight_decay) if self.weight_decay else gradient


@dataclass(frozen=True)
class AdamW(Adam):
    """``torch.optim.AdamW`` without ``amsgrad``; Loshchilov and Hutter (2019), algorithm 2."""

    KIND: ClassVar[str] = "adamw"

    weight_decay: float = 1e-2

    def _decayed(self, parameter: Tensor, gradient: Tensor, rate: float) -> Tensor:
        """Shrink the parameter itself; return the gradient as it is."""
        if self.weight_decay:
            parameter.mul_(1 - rate * self.weight_decay)
        return gradient


OPTIMIZERS: Final[Mapping[str, type[Optimizer]]] = {one.KIND: one for one in (SGD, Adam, AdamW)}
"""By the ``kind`` that a definition names."""
