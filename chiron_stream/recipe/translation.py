"""From an exported graph to the closed format, node by node, by the table of operations."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, cast

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.arguments import MAX_DIMENSION
from chiron_stream.graph.definition import Argument, Graph, Node, Ref, Times
from chiron_stream.graph.ops import INCREMENT, OPS, Op
from chiron_stream.recipe.instead import in_place, inside, instead_of
from chiron_stream.recipe.places import place_of

_NAMES: Final = {
    **{f"aten.{row.overload}": name for name, row in OPS.items()},
    "aten.view.default": "reshape",
    "aten._unsafe_view.default": "reshape",
    "aten.pad.default": "pad",
    "aten.split.Tensor": "split",
}
"""By the overload that an exported graph calls."""

_SAME: Final = frozenset({"aten.alias.default"})
"""What means its argument."""

_SKIPPED: Final = ("aten._assert_", "aten.sym_constrain_", "aten.broadcast_tensors")
"""Assertions about sizes, and what is resolved elsewhere."""

_VIEWS: Final = frozenset(
    {
        *("flatten", "unflatten", "reshape", "transpose", "permute", "unsqueeze", "squeeze"),
        *("contiguous", "expand", "expand_as", "select", "slice", "chunk", "split", "float"),
    }
)
"""Operations whose results may share memory with their argument."""

_ANY: Final = frozenset({"cudnn_enabled", "cudnn_enable", "non_blocking", "copy"})
"""Arguments that change nothing on a CPU, or no bit."""

_DTYPES: Final = {"f32": torch.float32}


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
        self._values: dict[fx.Node, Ref] = {}
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
        if len(results) != 1 or results[0] not in self._values:
            raise RecipeRefused(
                "forward() returns something else than one tensor",
                code="EXPORT_FORM",
                expected="one tensor",
                got="None" if results == (None,) else f"{len(results)} results",
            )
        return Graph(tuple(self._nodes), self._output(results[0]))

    def _output(self, result: fx.Node) -> int:
        """Return the id of the output; an item of a list becomes a value of its own."""
        found = self._values[result]
        if found.item is not None:
            self._put(result, "contiguous", (found,))
        return self._values[result].id

    def _declare(self, tensors: Mapping[str, int], inputs: list[int]) -> None:
        specs = {one.arg.name: one for one in self._program.graph_signature.input_specs}
        for node in self._program.graph.nodes:
            if node.op == "placeholder":
                spec = specs[node.name]
                mine = spec.kind is InputKind.USER_INPUT
                self._values[node] = Ref(inputs.pop(0) if mine else tensors[str(spec.target)])
                if mine:
                    self._batch = node.meta["val"].shape[0].node.expr

    def _call(self, node: fx.Node) -> None:
        target = str(node.target)
        if target == "aten.broadcast_tensors.default":
            self._broadcast(node)
        if isinstance(node.meta.get("val"), torch.SymInt | torch.SymBool):
            return
        if node in self._values or target.startswith(_SKIPPED):
            return
        base, _, overload = target.rpartition(".")
        if node.target is operator.getitem:
            self._item(node)
        elif target in _SAME:
            self._values[node] = self._values[node.all_input_nodes[0]]
            self._views.add(node)
        elif in_place(target):
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
            self._values[result] = self._values[before]
            self._views.add(result)

    def _item(self, node: fx.Node) -> None:
        """Let a result of a list be a reference to it."""
        whole = node.all_input_nodes[0]
        self._values[node] = Ref(self._values[whole].id, cast("int", node.args[1]))
        if whole in self._views:
            self._views.add(node)

    def _in_place(self, node: fx.Node, functional: str) -> None:
        """Append the operation that makes a new value, which from here on stands for the old."""
        changed = node.all_input_nodes[0]
        if changed.op == "placeholder":
            self._increment(node, changed)
            return
        if changed in self._views or self._views & set(changed.users):
            _refuse(node, f"{node.target} on a view", "the same operation, not in place")
        self._append(node, self._name(node, functional))
        self._values[changed] = self._values[node]

    def _increment(self, node: fx.Node, changed: fx.Node) -> None:
        value = changed.meta["val"]
        counter = (value.dtype, tuple(value.shape)) == (torch.int64, ())
        if str(node.target) != "aten.add_.Tensor" or node.args[1:] != (1,) or not counter:
            _refuse(node, f"{node.target} on {changed.name}", "no change of tensors in place")
        self._put(node, INCREMENT, (self._values[changed],))

    def _name(self, node: fx.Node, target: str) -> str:
        if target in _NAMES:
            return _NAMES[target]
        blamed = inside(node)
        if blamed is not node and in_place(str(blamed.target)):
            expected = "no change of parameters or buffers in forward()"
            return _refuse(blamed, f"{blamed.target} under {target}", expected)
        return _refuse(blamed, target, instead_of(target))

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
        self._values[node] = Ref(number)

    def _given(self, node: fx.Node) -> list[tuple[str, Any]]:
        """Return every argument of the call in ATen's order, defaults included."""
        schema = node.target._schema.arguments  # type: ignore[union-attr]
        positional = dict(zip((one.name for one in schema), node.args, strict=False))
        given = [
            (one.name, positional.get(one.name, node.kwargs.get(one.name, one.default_value)))
            for one in schema
        ]
        rewrite = _REWRITTEN.get(str(node.target))
        return rewrite(node, dict(given)) if rewrite else given

    def _check_fixed(self, node: fx.Node, row: Op, name: str, value: Any) -> None:
        schema = node.target._schema.arguments  # type: ignore[union-attr]
        (default,) = (one.default_value for one in schema if one.name == name)
        fixed = row.fixed.get(name, default)
        if name == "dtype":
            fixed = _DTYPES.get(fixed, fixed)
        if name not in _ANY and value != fixed:
            words = instead_of(str(node.target)) if name == "dtype" else f"{name}={fixed}"
            _refuse(node, f"{name}={value}", words)

    def _value(self, node: fx.Node, value: Any) -> Argument:
        if isinstance(value, fx.Node):
            return self._values[value] if value in self._values else self._size(node, value)
        if isinstance(value, list | tuple):
            return tuple(self._value(node, one) for one in value)
        if isinstance(value, float) and not math.isfinite(value):
            return _refuse(node, f"the number {value}", "finite numbers, such as -1e9 in a mask")
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


def _sliced(_node: fx.Node, given: dict[str, Any]) -> list[tuple[str, Any]]:
    """Let a border that is beyond every size be absent."""
    beyond = isinstance(given["end"], int) and given["end"] > MAX_DIMENSION
    return list({**given, "end": None if beyond else given["end"]}.items())


def _split(node: fx.Node, given: dict[str, Any]) -> list[tuple[str, Any]]:
    """Say the size of each part, instead of one for all."""
    size = cast("fx.Node", given["self"]).meta["val"].shape[given["dim"]]
    if not isinstance(size, int) or not isinstance(given["split_size"], int):
        _refuse(node, "parts of the batch", "parts of another dimension")
    whole, rest = divmod(size, given["split_size"])
    sizes = [given["split_size"]] * whole + [rest] * bool(rest)
    return [("self", given["self"]), ("split_sizes", sizes), ("dim", given["dim"])]


def _padded(node: fx.Node, given: dict[str, Any]) -> list[tuple[str, Any]]:
    """Say the value that is put round a tensor."""
    if given["mode"] != "constant":
        _refuse(node, f"mode={given['mode']}", "mode=constant")
    return [("self", given["self"]), ("pad", given["pad"]), ("value", given["value"] or 0.0)]


_REWRITTEN: Final = {
    "aten.slice.Tensor": _sliced,
    "aten.split.Tensor": _split,
    "aten.pad.default": _padded,
}
"""Calls whose arguments are not the row's as they stand."""


def _refuse(node: fx.Node, got: str, expected: str) -> NoReturn:
    raise RecipeRefused(
        f"{place_of(node)}: not in a closed graph", code="EXPORT_OP", expected=expected, got=got
    )
