"""What the table says about the batch axis is what happens: one row is changed, and watched."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import pytest
import torch

from chiron_stream.graph.definition import Argument, Graph, Node, Ref
from chiron_stream.graph.interpreter import Program, tensors_of
from chiron_stream.graph.operation import Axis
from chiron_stream.graph.ops import OPS
from tests.unit.graph.test_interpreter import CASES

MIXING = {
    "matmul": "of a vector, or of the transpose",
    "reshape": "moves rows to other places",
    "increment": "has no rows",
}
"""Rows of the table that may mix, though not in the case of the other test."""


def outputs(
    op: str, values: Sequence[torch.Tensor], arguments: tuple[Argument, ...]
) -> torch.Tensor:
    node = Node(len(values), op, arguments)
    program = Program(Graph((node,), node.id), node.id, training=True)
    made = program.run(dict(enumerate(one.clone() for one in values)), rows=6)
    return tensors_of(made)[0]


def changed_rows(name: str) -> set[int]:
    """Return which first indices of the result change with the last row of the rows."""
    values, arguments, _ = CASES[name]
    number = 1 if name == "embedding" else 0  # the rows of an embedding are its indices
    before = outputs(name, values, arguments)
    after_values = [one.clone() for one in values]
    rows = after_values[number]
    rows[-1] = (
        rows[0]
        if rows.dtype == torch.int64
        else ~rows[-1]
        if rows.dtype == torch.bool
        else (rows[-1] * -0.5 + 0.25)
    )
    if name == "binary_cross_entropy":
        rows.clamp_(0, 1)
    after = outputs(name, after_values, arguments)
    if not before.dim():
        return {-1} if not torch.equal(before, after) else set()
    return {n for n in range(len(before)) if not torch.equal(before[n], after[n])}


APART = [name for name, row in OPS.items() if row.axis in (Axis.EACH, Axis.INNER)]


@pytest.mark.parametrize("name", APART)
def test_rows_stay_apart(name: str) -> None:
    values, _, _ = CASES[name]
    last = len(values[1 if name == "embedding" else 0]) - 1
    assert changed_rows(name) <= {last}


@pytest.mark.parametrize("name", sorted({n for n, r in OPS.items() if r.axis is Axis.NAMED}))
def test_only_named_dimensions_are_mixed(name: str) -> None:
    """The cases name dimensions behind the rows, or move the rows as a whole."""
    values, arguments, _ = CASES[name]
    moving = {"transpose", "permute", "flatten", "sum", "expand_as"}
    last = len(values[0]) - 1
    assert changed_rows(name) <= {last} or name in moving
    assert len(arguments) > 1


@pytest.mark.parametrize("name", [n for n, r in OPS.items() if r.axis is Axis.MIXED])
def test_rows_are_mixed(name: str) -> None:
    if name in MIXING:
        return
    values, arguments, _ = CASES[name]
    if name == "batch_norm":
        arguments = (*arguments[:5], True, *arguments[6:])
    before = outputs(name, values, arguments)
    other = [values[0].flip(0) * 0.5, *values[1:]]
    other[0][0] = values[0][0]
    after = outputs(name, other, arguments)
    assert not torch.equal(before.flatten()[:1], after.flatten()[:1])


def test_every_row_says_what_happens_to_the_batch() -> None:
    assert all(isinstance(row.axis, Axis) for row in OPS.values())
    assert prod(len([1 for row in OPS.values() if row.axis is axis]) for axis in Axis) > 0


def test_attention_without_a_batch_would_mix_rows() -> None:
    """The control for what ``INNER`` says about ranks: the first of two dimensions is mixed."""
    rows = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    arguments: tuple[Argument, ...] = (Ref(0), Ref(0), Ref(0), None, 0.0, False, None)
    before = outputs("attention", [rows], arguments)
    other = rows.clone()
    other[-1] = 3.0
    assert not torch.equal(before[0], outputs("attention", [other], arguments)[0])
