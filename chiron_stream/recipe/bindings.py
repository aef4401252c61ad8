"""From the provider's words for inputs to the definition's: element types, shapes, columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any, Final, NoReturn, cast

import torch
from torch import nn

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.columns import ColumnKinds
from chiron_stream.graph.definition import Input

Columns = str | Sequence[str]
"""A column as it is, or a list of number columns to be stacked."""

Loss = nn.Module | Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Example = Mapping[str, torch.Tensor]

DTYPES: Final = {"f32": torch.float32, "i64": torch.int64}
_KINDS: Final = {"number": "f32", "category": "i64", "tensor": "f32", "label": "i64"}
_LABEL_LOSSES: Final = (nn.CrossEntropyLoss, nn.NLLLoss)
_LABEL_FUNCTIONS: Final = (nn.functional.cross_entropy, nn.functional.nll_loss)


def check_parameters(module: nn.Module, inputs: Mapping[str, Columns]) -> None:
    """See that ``forward()`` takes what the recipe names, and needs nothing else.

    :raises RecipeRefused: it does not.
    """
    found = signature(module.forward).parameters
    kinds = {one.kind for one in found.values()}
    if not inputs or kinds & {Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL}:
        return
    needed = [name for name, one in found.items() if one.default is Parameter.empty]
    missing = [name for name in needed if name not in inputs]
    if missing or any(name not in found for name in inputs):
        what = f"inputs are not those of {type(module).__name__}.forward()"
        _refuse(what, f"its parameters: {', '.join(found)}", ", ".join(inputs) or "none")


def bound_inputs(
    inputs: Mapping[str, Columns], kinds: ColumnKinds | None, example: Example
) -> tuple[Input, ...]:
    """Return the definition's inputs, numbered from 0 in the order of ``inputs``.

    What an input is follows from ``example`` by its name, else from the schema's ``kinds``, else
    from its form: a list is float32 numbers, a single column is an int64 category.
    """
    if not inputs:
        _refuse("the recipe has no inputs", "a column for each parameter of forward()", "none")
    for name, one in cast("Mapping[str, object]", example).items():
        if not isinstance(one, torch.Tensor):
            expected = "a tensor [rows, ...] of float32 or int64"
            _refuse(f"the example for {name!r}", expected, type(one).__name__)
    return tuple(
        _input(n, name, columns, kinds, example.get(name))
        for n, (name, columns) in enumerate(inputs.items())
    )


def bound_target(
    number: int, column: str, loss: Loss, kinds: ColumnKinds | None, example: Example
) -> Input:
    """Return the definition's target: from ``example`` by the column's name, the schema, or the
    loss: int64 for those that take classes, else float32.
    """  # noqa: D205  (one sentence)
    if column in example:
        return _shaped(number, column, example[column])
    if kinds is not None:
        kind, _ = _look_up(column, kinds)
        return Input(number, _KINDS.get(kind, "f32"), (), (column,), stacked=False)
    labels = isinstance(loss, _LABEL_LOSSES) or loss in _LABEL_FUNCTIONS
    return Input(number, "i64" if labels else "f32", (), (column,), stacked=False)


def example_of(one: Input, rows: int) -> torch.Tensor:
    """Return zeros ``[rows, *row_shape]``: the front end looks at shapes only."""
    return torch.zeros((rows, *one.row_shape), dtype=DTYPES[one.dtype])


def _input(
    number: int,
    name: str,
    columns: Columns,
    kinds: ColumnKinds | None,
    example: torch.Tensor | None,
) -> Input:
    if not isinstance(columns, str | Sequence):
        _refuse(f"input {name!r} is no column", "a name, or a list of names", repr(columns))
    if isinstance(columns, str):
        if example is not None:
            return _shaped(number, columns, example)
        kind, shape = ("category", ()) if kinds is None else _look_up(columns, kinds)
        return Input(number, _KINDS.get(kind, "f32"), tuple(shape), (columns,), stacked=False)
    if not columns:
        _refuse(f"input {name!r} has no columns", "at least one", "none")
    found = {"number"} if kinds is None else {_look_up(one, kinds)[0] for one in columns}
    dtype = "i64" if found == {"category"} else "f32"
    return Input(number, dtype, (len(columns),), tuple(columns), stacked=True)


def _shaped(number: int, column: str, example: torch.Tensor) -> Input:
    names = {dtype: name for name, dtype in DTYPES.items()}
    if example.dtype not in names or not example.dim():
        got = f"{example.dtype} of shape {list(example.shape)}"
        _refuse(f"the example for {column!r}", "float32 or int64, [rows, ...]", got)
    shape = tuple(example.shape[1:])
    return Input(number, names[example.dtype], shape, (column,), stacked=False)


def _look_up(column: str, kinds: ColumnKinds) -> tuple[str, tuple[int, ...]]:
    if column not in kinds:
        _refuse(f"column {column!r} is not in the schema", ", ".join(sorted(kinds)), "none")
    return kinds[column]


def _refuse(message: str, expected: str, got: Any) -> NoReturn:
    raise RecipeRefused(message, code="EXPORT_INPUT", expected=expected, got=str(got))
