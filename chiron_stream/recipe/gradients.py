"""What would change gradients without leaving a trace in an exported graph.

``torch.export`` records what ``forward()`` computes. A backward pass written by hand, or a hook on
a gradient, leaves no node: the recipe would train other numbers than the module, silently.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import nn

from chiron_stream.errors import RecipeRefused
from chiron_stream.recipe.places import place_of_frame


@contextmanager
def plain_gradients(root: nn.Module) -> Iterator[None]:
    """Refuse functions with a backward pass of their own, and hooks, while the modules run.

    :param root: of the modules.
    :raises RecipeRefused: EXPORT_OP, from within, naming the module and the line.
    """
    functions = _refusing(root, "a torch.autograd.Function")
    hooks = _refusing(root, "a hook on a gradient")
    with (
        _replaced(torch.autograd.Function, "apply", classmethod(functions)),
        _replaced(torch.Tensor, "register_hook", hooks),
    ):
        yield


@contextmanager
def _replaced(owner: type, name: str, value: Any) -> Iterator[None]:
    before = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _refusing(root: nn.Module, what: str) -> Callable[..., NoReturn]:
    def refuse(*_arguments: Any, **_named: Any) -> NoReturn:
        place = place_of_frame(inspect.currentframe(), root) or "the module"
        raise RecipeRefused(
            f"{place}: not in a closed graph",
            code="EXPORT_OP",
            expected="operations of torch, with the gradients that autograd gives them",
            got=what,
        )

    return refuse
