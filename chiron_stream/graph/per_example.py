"""Whether each prediction comes from its own row alone: followed through an eval graph, op by op.

Clients share a batch, so that an answer must not tell of a neighbour, nor of its place. Each
operation either keeps rows apart, and :mod:`~chiron_stream.graph.row_rules` says on which axis, or
is refused: one that reduces, mixes, cuts or reorders the rows' axis, or that puts a tensor with an
entry for each *place* beside it.

It runs beside the check's run without data, at the very batch size that predictors use, so that
shapes are those of the run: nothing here is symbolic.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.definition import Definition, Node
from chiron_stream.graph.interpreter import Value
from chiron_stream.graph.row_rules import spot_of
from chiron_stream.graph.rows_apart import Apart, Call, Mixed, Spot
from chiron_stream.graph.rules import where


class RowTracker:
    """Follows the rows of a batch through an eval graph.

    :param rows: of the batch, as predictors run it.
    """

    def __init__(self, definition: Definition, rows: int) -> None:
        self._rows = rows
        self._spots: dict[int, Spot] = {one.id: Apart(0) for one in definition.inputs}
        self._output = definition.evaluate.output

    def follow(self, node: Node, values: Mapping[int, Value]) -> None:
        """Take one node that has run.

        :raises RecipeRefused: GRAPH_ROWS_MIXED, naming the node: it does not keep rows apart.
        """
        call = Call(node, values, self._spots, self._rows)
        try:
            self._spots[node.id] = spot_of(call)
        except Mixed as error:
            place = where(node, training=False)
            _refuse(f"{place} does not keep the rows of a batch apart", str(error))

    def check_output(self) -> None:
        """Refuse predictions that are not one for each row, in the order of rows.

        :raises RecipeRefused: GRAPH_ROWS_MIXED.
        """
        found = self._spots.get(self._output)
        if found != Apart(0):
            got = "rows on another axis" if found else "no row's values"
            _refuse("$.eval.output is no prediction of each row", got)


def _refuse(message: str, got: str) -> NoReturn:
    raise RecipeRefused(
        message,
        code="GRAPH_ROWS_MIXED",
        expected="each prediction from its own row alone, whatever stands beside it",
        got=got,
    )
