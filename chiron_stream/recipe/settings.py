"""Optimizers: from torch's own classes to enums and numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NoReturn

import torch
from torch import nn

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.optimizers import SGD, Adam, AdamW, Optimizer

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
"""Such as ``partial(torch.optim.SGD, lr=0.1)``."""

_OFF: Final = ("amsgrad", "maximize", "foreach", "capturable", "differentiable", "fused")


def optimizer_setting(factory: OptimizerFactory, module: nn.Module) -> Optimizer:
    """Return the numbers of the optimizer that ``factory`` makes for the module's parameters.

    :raises RecipeRefused: EXPORT_OPTIMIZER: of a class or with an option that has no counterpart.
    """
    made = factory(module.parameters())
    if type(made) not in _READERS:
        _refuse("the optimizer", _known(), type(made).__qualname__)
    if len(made.param_groups) != 1:
        _refuse("the optimizer", "one group of parameters", f"{len(made.param_groups)}")
    (group,) = made.param_groups
    for name in _OFF:
        if group.get(name):
            _refuse(f"the optimizer's {name}", "off", "on")
    _check_parameters(module, group["params"])
    return _READERS[type(made)](group)


def _check_parameters(module: nn.Module, given: Iterable[nn.Parameter]) -> None:
    known = {id(one) for one in given}
    for name, one in module.named_parameters():
        if one.requires_grad and id(one) not in known:
            expected = "that it has every parameter that requires a gradient"
            _refuse(f"the optimizer lacks {name}", expected, "requires_grad_(False) freezes one")


def _sgd(group: Mapping[str, Any]) -> Optimizer:
    return SGD(
        lr=_number(group, "lr"),
        momentum=_number(group, "momentum"),
        dampening=_number(group, "dampening"),
        weight_decay=_number(group, "weight_decay"),
        nesterov=bool(group["nesterov"]),
    )


def _adam(group: Mapping[str, Any]) -> Optimizer:
    kind = AdamW if group["decoupled_weight_decay"] else Adam
    first, second = group["betas"]
    return kind(
        lr=_number(group, "lr"),
        beta1=_number({"betas": first}, "betas"),
        beta2=_number({"betas": second}, "betas"),
        eps=_number(group, "eps"),
        weight_decay=_number(group, "weight_decay"),
    )


_READERS: Final[Mapping[type, Callable[[Mapping[str, Any]], Optimizer]]] = {
    torch.optim.SGD: _sgd,
    torch.optim.Adam: _adam,
    torch.optim.AdamW: _adam,
}


def _number(group: Mapping[str, Any], name: str) -> float:
    value = group[name]
    if not isinstance(value, int | float):
        _refuse(f"the optimizer's {name}", "a number", type(value).__name__)
    return float(value)


def _known() -> str:
    return " or ".join(f"torch.optim.{one.__name__}" for one in _READERS)


def _refuse(message: str, expected: str, got: str) -> NoReturn:
    raise RecipeRefused(
        f"{message} is refused", code="EXPORT_OPTIMIZER", expected=expected, got=got
    )
