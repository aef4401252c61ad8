"""The front end: a module, and a loss, through ``torch.export`` with a symbolic batch axis."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from typing import Any, Final, cast

import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.definition import Input
from chiron_stream.graph.format import MAX_BATCH
from chiron_stream.recipe.bindings import Loss, example_of
from chiron_stream.recipe.gradients import plain_gradients
from chiron_stream.recipe.instead import RECURRENT
from chiron_stream.recipe.places import place_of, place_of_error

_EXAMPLE_ROWS: Final = 4
_EXPORT_REFUSES: Final = (
    *(RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError),
    *(AssertionError, LookupError),
)
"""What torch raises for a module that it cannot trace, and the module's own code while it is."""

_BRANCH: Final = "torch.where() instead of if, while or int() on the values of a tensor"
_FORM: Final = (
    "no branches or loops on values of tensors, the batch axis free; wrong types of inputs: "
    "name them with columns= or example="
)


_TALKATIVE: Final = ("torch.utils.flop_counter", "torch.fx.experimental.symbolic_shapes")


def _one_tensor(module: nn.Module, made: object) -> torch.Tensor:
    """Return what a module made.

    :raises RecipeRefused: it is no tensor; code ``EXPORT_FORM``.
    """
    if isinstance(made, torch.Tensor):
        return made
    recurrent = isinstance(module, nn.RNNBase)
    raise RecipeRefused(
        f"the module ({type(module).__name__}): forward() returns no tensor",
        code="EXPORT_FORM",
        expected="one tensor",
        got="None" if made is None else type(made).__name__,
        hint=RECURRENT if recurrent else "return the prediction alone",
    )


class Training(nn.Module):
    """Rows and target to the loss."""

    def __init__(self, module: nn.Module, loss: Loss, names: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        self.loss = loss
        self.names = tuple(names)

    def forward(self, values: Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """Return ``loss(module(**inputs), target)``."""
        made = self.module(**dict(zip(self.names, values, strict=True)))
        return cast("torch.Tensor", self.loss(_one_tensor(self.module, made), target))


class Evaluating(nn.Module):
    """Rows to predictions."""

    def __init__(self, module: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        self.names = tuple(names)

    def forward(self, values: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return ``module(**inputs)``."""
        made = self.module(**dict(zip(self.names, values, strict=True)))
        return _one_tensor(self.module, made)


@contextmanager
def mode(module: nn.Module, *, training: bool) -> Iterator[None]:
    """Put a module into one mode; afterwards each of its modules is as it was."""
    before = {one: one.training for one in module.modules()}
    module.train(training)
    try:
        yield
    finally:
        for one, was in before.items():
            one.training = was


def trace(
    wrapper: Training | Evaluating, inputs: Sequence[Input], target: Input | None
) -> ExportedProgram:
    """Return the exported graph of a wrapper.

    :param inputs: in the order of the wrapper's names.
    :param target: for :class:`Training`.
    :raises RecipeRefused: EXPORT_FORM: torch cannot make a graph of it, with torch's reason.
    """
    batch = Dim("batch", min=2, max=MAX_BATCH)
    arguments: list[Any] = [tuple(example_of(one, _EXAMPLE_ROWS) for one in inputs)]
    dynamic: list[Any] = [tuple({0: batch} for _ in inputs)]
    if target is not None:
        arguments.append(example_of(target, _EXAMPLE_ROWS))
        dynamic.append({0: batch})
    try:
        with plain_gradients(wrapper), _Quietly():
            made = torch.export.export(
                wrapper, tuple(arguments), dynamic_shapes=tuple(dynamic), strict=False
            )
    except RecipeRefused:
        raise
    except _EXPORT_REFUSES as error:
        raise _no_graph(error, wrapper) from error
    _check_constants(made)
    return made


class _Quietly:
    """Keeps back what torch says beside an error: the graph so far, which no provider wrote.

    Its loggers also warn of a missing Triton, and of code that they do not find. Whatever the
    module itself prints comes through, when the export has ended.
    """

    def __enter__(self) -> None:
        self._said, self._before = io.StringIO(), ExitStack()
        for one in map(logging.getLogger, _TALKATIVE):
            self._before.callback(one.setLevel, one.level)
            one.setLevel(logging.ERROR)
        self._before.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "The tensor attribute")  # of networks like nn.LSTM
        self._before.enter_context(redirect_stderr(self._said))

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._before.close()
        said, graph = self._said.getvalue(), getattr(error, "partial_fx_graph", None)
        sys.stderr.write(said if graph is None else said.replace(f"{graph}\n", ""))


def _no_graph(error: Exception, wrapper: nn.Module) -> RecipeRefused:
    reason = str(error).strip().partition("\n")[0][:300] or type(error).__name__
    place = place_of_error(error, wrapper) or "the module"
    return RecipeRefused(
        f"{place}: torch.export cannot make a graph: {reason}",
        code="EXPORT_FORM",
        hint=_BRANCH if isinstance(error, GuardOnDataDependentSymNode) else _FORM,
    )


def _check_constants(made: ExportedProgram) -> None:
    constants = {
        one.arg.name
        for one in made.graph_signature.input_specs
        if one.kind not in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.USER_INPUT)
    }
    for node in made.graph.nodes:
        if node.op == "placeholder" and node.name in constants:
            user = next(iter(node.users), node)
            raise RecipeRefused(
                f"{place_of(user)}: a tensor made in forward() is refused",
                code="EXPORT_FORM",
                expected="buffers: self.register_buffer(...) in __init__()",
            )
