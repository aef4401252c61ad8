"""Rules between nodes: what may be referred to, and what may be changed.

A node refers to earlier values only. The target is for the train graph. What a node changes in
place is a buffer, and happens in the train graph only; a counter is a whole-number buffer that
nothing but ``increment`` names. So no recipe writes into a parameter, into another value or into
the rows, and an eval graph leaves the state as it is and gives the same answer each time. A list
of results is no value: what refers to it says which item, and it is no output.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NoReturn

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.definition import Definition, Graph, Node, Ref, references
from chiron_stream.graph.ops import INCREMENT, OPS

REFERENCE: Final = "GRAPH_REFERENCE"
EFFECT: Final = "GRAPH_EFFECT"


def check_graph(definition: Definition, *, training: bool) -> None:
    """Check one of the two graphs.

    :raises RecipeRefused: GRAPH_REFERENCE or GRAPH_EFFECT, naming the node.
    """
    graph = definition.train if training else definition.evaluate
    hidden = set() if training else {definition.target.id}
    buffers = {one.id: one for one in definition.buffers}
    counters = counted(graph)
    results = {node.id for node in graph.nodes if node.op == INCREMENT}
    for node in graph.nodes:
        _check_effects(node, set(buffers), training=training)
    lists = {node.id for node in graph.nodes if OPS[node.op].several}
    for node in graph.nodes:
        _check_references(node, hidden, counters | results, training=training)
        _check_items(node, lists, training=training)
    for counter in counters & set(buffers):
        if (buffers[counter].dtype, buffers[counter].shape) != ("i64", ()):
            place = f"$.buffers[{counter - definition.buffers[0].id}]"
            _refuse(place, EFFECT, "a counter: i64 of shape []", "another tensor")
    _check_output(definition, graph, hidden | counters | results | lists, training=training)


def counted(graph: Graph) -> set[int]:
    """Return the ids that ``increment`` nodes change."""
    nodes = (node for node in graph.nodes if node.op == INCREMENT)
    return {number for node in nodes for number in written_by(node)}


def written_by(node: Node) -> Iterator[int]:
    """Yield the ids that a node changes in place."""
    row = OPS[node.op]
    if _active(node):
        for name in row.writes:
            argument = node.arguments[row.position(name)]
            if isinstance(argument, Ref):
                yield argument.id


def where(node: Node, *, training: bool) -> str:
    """Return a node's place, for people."""
    return f"{'train' if training else 'eval'} graph, node {node.id} ({node.op})"


def _active(node: Node) -> bool:
    row = OPS[node.op]
    return row.mode is None or bool(node.arguments[row.position(row.mode)])


def _check_references(node: Node, hidden: set[int], counters: set[int], *, training: bool) -> None:
    place = where(node, training=training)
    for number in (one.id for one in references(node.arguments)):
        if number >= node.id:
            _refuse(place, REFERENCE, f"references below {node.id}", f"{number}")
        if number in hidden:
            _refuse(place, REFERENCE, "no reference to the target", f"{number}")
        if number in counters and node.op != INCREMENT:
            _refuse(place, REFERENCE, "no reference to a counter", f"{number}")


def _check_items(node: Node, lists: set[int], *, training: bool) -> None:
    place = where(node, training=training)
    for one in references(node.arguments):
        if one.id in lists and one.item is None:
            _refuse(place, REFERENCE, "the item of a list of results", f"value {one.id}")
        if one.id not in lists and one.item is not None:
            _refuse(place, REFERENCE, "no item of a single value", f"value {one.id}")


def _check_effects(node: Node, buffers: set[int], *, training: bool) -> None:
    row = OPS[node.op]
    place = where(node, training=training)
    if not training and (row.mode or row.writes) and _active(node):
        _refuse(place, EFFECT, "an eval graph that is not random and changes nothing", "training")
    for number in written_by(node):
        if number not in buffers:
            _refuse(place, EFFECT, "that only buffers are changed", f"value {number}")


def _check_output(
    definition: Definition, graph: Graph, hidden: set[int], *, training: bool
) -> None:
    last = len(definition.declared) + len(graph.nodes)
    if graph.output >= last or graph.output in hidden:
        place = f"$.{'train' if training else 'eval'}.output"
        _refuse(
            place, REFERENCE, f"the id of a value that may leave, below {last}", f"{graph.output}"
        )


def _refuse(place: str, code: str, expected: str, got: str) -> NoReturn:
    raise RecipeRefused(f"{place} is refused", code=code, expected=expected, got=got)
