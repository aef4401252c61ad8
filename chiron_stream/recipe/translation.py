"""From an exported graph to the closed format, node by node, by the table of operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, cast

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.definition import Argument, Graph, Node, Ref, Times
from chiron_stream.graph.ops import INCREMENT, OPS, Op
from chiron_stream.recipe.places import place_of

_NAMES: Final = {
    **{f"aten.{row.overload}": name for name, row in OPS.items()},
    "aten.view.default": "reshape",
    "aten._unsafe_view.default": "reshape",
}
"""By the overload that an exported graph calls."""

_SAME: Final = frozenset({"aten.clone.default", "aten.contiguous.default", "aten.alias.default"})
"""Copies and views that mean their argument."""

_SKIPPED: Final = (
    *("aten._assert_", "aten.sym_constrain_", "aten.broadcast_tensors"),
    "<built-in function",
)
"""Assertions about sizes, arithmetic with sizes, and what is resolved elsewhere."""

_VIEWS: Final = frozenset(
    {"flatten", "reshape", "transpose", "permute", "unsqueeze", "squeeze", "select"}
)
_ANY: Final = frozenset({"cudnn_enabled", "cudnn_enable"})
"""Arguments that change nothing on a CPU."""

_INSTEAD: Final = {
    "aten.detach.default": "requires_grad_(False) on the parameters to freeze",
    "aten.randn": "nn.Dropout, the one source of randomness",
    "aten.rand": "nn.Dropout, the one source of randomness",
    "aten.empty": "a buffer: register_buffer(...) in __init__()",
    "aten.zeros": "a buffer: register_buffer(...) in __init__()",
    "aten.ones": "a buffer: register_buffer(...) in __init__()",
    "aten.arange": "a buffer: register_buffer(...) in __init__()",
}


class Translator:
    """One graph under way.

    :param program: of the front end.
    :param tensors: ids of parameters and buffers by their names in the program; one tensor under
        two names has one id.
    :param inputs: ids of the inputs, in the order of the program's arguments.
    :param first: the id of the first node.
    """

    def __init__(
        self,
        program: ExportedProgram,
        tensors: Mapping[str, int],
        inputs: Sequence[int],
        first: int,
    ) -> None:
        self._program = program
        self._first = first
        self._ids: dict[fx.Node, int] = {}
        self._views: set[fx.Node] = set()
        self._nodes: list[Node] = []
        self.places: dict[int, str] = {}
        self._declare(tensors, list(inputs))

    def graph(self) -> Graph:
        """Return the graph in the closed format.

        :raises RecipeRefused: EXPORT_OP, naming the module and the provider's line.
        """
        for node in self._program.graph.nodes:
            if node.op == "call_function":
                self._call(node)
        (output,) = (one for one in self._program.graph.nodes if one.op == "output")
        results = output.args[0]
        if len(results) != 1 or results[0] not in self._ids:
            raise RecipeRefused(
                "forward() returns something else than one tensor",
                code="EXPORT_FORM",
                expected="one tensor",
                got=f"{len(results)} results",
            )
        return Graph(tuple(self._nodes), self._ids[results[0]])

    def _declare(self, tensors: Mapping[str, int], inputs: list[int]) -> None:
        specs = {one.arg.name: one for one in self._program.graph_signature.input_specs}
        for node in self._program.graph.nodes:
            if node.op == "placeholder":
                spec = specs[node.name]
                mine = spec.kind is InputKind.USER_INPUT
                self._ids[node] = inputs.pop(0) if mine else tensors[str(spec.target)]
                if mine:
                    self._batch = node.meta["val"].shape[0].node.expr

    def _call(self, node: fx.Node) -> None:
        target = str(node.target)
        if target == "aten.broadcast_tensors.default":
            self._broadcast(node)
        if isinstance(node.meta.get("val"), torch.SymInt) or target.startswith(_SKIPPED):
            return
        base, _, overload = target.rpartition(".")
        if target in _SAME:
            self._ids[node] = self._ids[node.all_input_nodes[0]]
            self._views.add(node)
        elif base.endswith("_"):
            self._in_place(node, f"{base[:-1]}.{overload}")
        else:
            self._append(node, self._name(node, target))

    def _broadcast(self, node: fx.Node) -> None:
        """Let the results, which losses of torch take instead of their arguments, be those."""
        tensors = cast("list[fx.Node]", node.args[0])
        for result in node.users:
            before = tensors[cast("int", result.args[1])]
            if before.meta["val"].shape != result.meta["val"].shape:
                shapes = ", ".join(str(list(one.meta["val"].shape)) for one in tensors)
                _refuse(node, f"shapes {shapes}", "a prediction and a target of one shape")
            self._ids[result] = self._ids[before]
            self._views.add(result)

    def _in_place(self, node: fx.Node, functional: str) -> None:
        """Append the operation that makes a new value, which from here on stands for the old."""
        changed = node.all_input_nodes[0]
        if changed.op == "placeholder":
            self._increment(node, changed)
            return
        if changed in self._views:
            _refuse(node, f"{node.target} on a view", "the same operation, not in place")
        self._append(node, self._name(node, functional))
        self._ids[changed] = self._ids[node]

    def _increment(self, node: fx.Node, changed: fx.Node) -> None:
        value = changed.meta["val"]
        counter = (value.dtype, tuple(value.shape)) == (torch.int64, ())
        if str(node.target) != "aten.add_.Tensor" or node.args[1:] != (1,) or not counter:
            _refuse(node, f"{node.target} on {changed.name}", "no change of tensors in place")
        self._put(node, INCREMENT, (Ref(self._ids[changed]),))

    def _name(self, node: fx.Node, target: str) -> str:
        if target in _NAMES:
            return _NAMES[target]
        words = (text for start, text in _INSTEAD.items() if target.startswith(start))
        return _refuse(node, str(node.target), next(words, f"one of {', '.join(sorted(OPS))}"))

    def _append(self, node: fx.Node, name: str) -> None:
        row = OPS[name]
        given = self._given(node)
        chosen = len(row.arguments)
        for argument, value in given[chosen:]:
            self._check_fixed(node, row, argument, value)
        self._put(node, name, tuple(self._value(node, value) for _, value in given[:chosen]))
        if name in _VIEWS:
            self._views.add(node)

    def _put(self, node: fx.Node, name: str, values: tuple[Argument, ...]) -> None:
        number = self._first + len(self._nodes)
        self._nodes.append(Node(number, name, values))
        self.places[number] = place_of(node)
        self._ids[node] = number

    def _given(self, node: fx.Node) -> list[tuple[str, Any]]:
        """Return every argument of the call in ATen's order, defaults included."""
        schema = node.target._schema.arguments  # type: ignore[union-attr]
        positional = dict(zip((one.name for one in schema), node.args, strict=False))
        return [
            (one.name, positional.get(one.name, node.kwargs.get(one.name, one.default_value)))
            for one in schema
        ]

    def _check_fixed(self, node: fx.Node, row: Op, name: str, value: Any) -> None:
        schema = node.target._schema.arguments  # type: ignore[union-attr]
        (default,) = (one.default_value for one in schema if one.name == name)
        if name not in _ANY and value != row.fixed.get(name, default):
            _refuse(node, f"{name}={value}", f"{name}={row.fixed.get(name, default)}")

    def _value(self, node: fx.Node, value: Any) -> Argument:
        if isinstance(value, fx.Node):
            return Ref(self._ids[value]) if value in self._ids else self._size(node, value)
        if isinstance(value, list | tuple):
            return tuple(self._value(node, one) for one in value)
        if value is None or isinstance(value, int | float | str):
            return value
        return _refuse(node, f"an argument of type {type(value).__name__}", "numbers and tensors")

    def _size(self, node: fx.Node, value: fx.Node) -> Argument:
        """Return a symbolic size as a multiple of the batch."""
        symbol = value.meta.get("val")
        if isinstance(symbol, torch.SymInt):
            factor = symbol.node.expr / self._batch
            if factor.is_Integer:
                return Times(int(factor))
        return _refuse(node, "a number computed from sizes", "multiples of the batch, as sizes")


def _refuse(node: fx.Node, got: str, expected: str) -> NoReturn:
    raise RecipeRefused(
        f"{place_of(node)}: not in a closed graph", code="EXPORT_OP", expected=expected, got=got
    )
