"""The table of operations against torch's own schemas, and one run of each row."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from chiron_stream.graph.arguments import Tensor
from chiron_stream.graph.ops import OPS, Op


def schema(row: Op) -> Any:
    name, _, overload = row.overload.partition(".")
    return getattr(getattr(torch.ops.aten, name), overload)._schema


@pytest.mark.parametrize("row", OPS.values(), ids=OPS)
def test_row_names_the_arguments_of_its_overload(row: Op) -> None:
    arguments = schema(row).arguments
    names = [name for name, _ in row.arguments]
    assert names == [one.name for one in arguments[: len(names)]]
    assert set(row.fixed) <= {one.name for one in arguments[len(names) :]}
    keywords = {one.name for one in arguments[: len(names)] if one.kwarg_only}
    assert row.keywords == keywords


@pytest.mark.parametrize("row", OPS.values(), ids=OPS)
def test_row_gives_every_argument_that_has_no_default(row: Op) -> None:
    given = {name for name, _ in row.arguments} | set(row.fixed)
    missing = [one.name for one in schema(row).arguments if not one.has_default_value()]
    assert set(missing) <= given


@pytest.mark.parametrize("row", OPS.values(), ids=OPS)
def test_row_says_whether_it_returns_one_tensor_or_several(row: Op) -> None:
    returns = [str(one.type) for one in schema(row).returns]
    several = len(returns) > 1 or returns[0].startswith("List")
    assert row.several == several
    assert set(returns) <= {"Tensor", "List[Tensor]"}


@pytest.mark.parametrize("row", OPS.values(), ids=OPS)
def test_row_lists_what_it_changes_in_place(row: Op) -> None:
    """Torch marks an argument that is written; batch_norm's statistics it does not mark."""
    marked = {one.name for one in schema(row).arguments if one.is_write}
    assert marked <= set(row.writes)
    assert set(row.writes) <= {name for name, kind in row.arguments if isinstance(kind, Tensor)}


def test_only_what_draws_or_writes_has_a_mode() -> None:
    drawing = {"dropout", "feature_dropout", "attention"}
    assert {name for name, row in OPS.items() if row.mode} == {"batch_norm", *drawing}
    assert {name for name, row in OPS.items() if row.writes} == {"batch_norm", "increment"}


@pytest.mark.parametrize("name", ["rand", "bernoulli", "empty", "as_strided", "from_file", "set_"])
def test_table_has_no(name: str) -> None:
    assert not [row for row in OPS.values() if row.overload.split(".")[0] == name]
