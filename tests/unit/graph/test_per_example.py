"""Each prediction comes from its own row: proved by the check, and shown by changing neighbours."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.checked import Limits
from chiron_stream.graph.checker import check, program
from chiron_stream.graph.definition import Input
from chiron_stream.graph.format import parse
from chiron_stream.graph.per_example import RowTracker
from tests.unit.graph.samples import MLP, encoded

ROWS = 6
LIMITS = Limits(prediction_batch=ROWS)
X = {"ref": 0}
FIRST = 5
"""Id of the first node: behind the rows, the target, and three parameters."""

SQUARE, ROW, PLACES = {"ref": 2}, {"ref": 3}, {"ref": 4}
"""Parameters ``[4, 4]``, ``[4]`` and ``[ROWS, 4]``, which has an entry for each place."""

Nodes = list[tuple[str, list[Any]]]


def definition(nodes: Nodes, shape: tuple[int, ...] = (4,)) -> bytes:
    """Return a definition whose eval graph is ``nodes``, on rows of a shape."""
    table = copy.deepcopy(MLP)
    table["inputs"] = [{"id": 0, "dtype": "f32", "shape": ["B", *shape], "columns": "x"}]
    table["target"] = {"id": 1, "dtype": "f32", "shape": ["B"], "columns": "y"}
    shapes = ([4, 4], [4], [ROWS, 4])
    table["parameters"] = [
        {"id": n, "dtype": "f32", "shape": one, "trainable": True}
        for n, one in enumerate(shapes, 2)
    ]
    table["buffers"] = []
    total: list[Any] = [[FIRST + n, "sum_all", [{"ref": 2 + n}]] for n in range(3)]
    total += [[8, "add", [{"ref": 5}, {"ref": 6}]], [9, "add", [{"ref": 8}, {"ref": 7}]]]
    table["train"] = {"nodes": total, "output": 9}
    listed = [[FIRST + n, op, arguments] for n, (op, arguments) in enumerate(nodes)]
    table["eval"] = {"nodes": listed, "output": FIRST + len(nodes) - 1 if nodes else 0}
    return encoded(table)


def predictions(packed: bytes, rows: torch.Tensor) -> torch.Tensor:
    """Run an eval graph that nobody has checked."""
    parsed = parse(packed)
    dice = torch.Generator().manual_seed(7)
    values = {0: rows, 1: torch.zeros(len(rows))}
    for one in parsed.parameters:
        values[one.id] = torch.randn(one.shape, generator=dice)
    with torch.no_grad():
        return program(parsed, training=False).run(values, len(rows))


def follow(packed: bytes) -> None:
    """Follow the rows at the predictors' batch alone; the check refuses some graphs elsewhere."""
    parsed = parse(packed)
    values = {
        one.id: torch.empty(
            (ROWS, *one.row_shape) if isinstance(one, Input) else one.shape, device="meta"
        )
        for one in parsed.declared
    }
    tracker = RowTracker(parsed, ROWS)
    program(parsed, training=False).run(values, ROWS, tracker.follow)
    tracker.check_output()


def rows_of(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn((ROWS, *shape), generator=torch.Generator().manual_seed(seed))


def leaks(packed: bytes, shape: tuple[int, ...]) -> bool:
    """Tell whether a prediction changes with its neighbours, or with its place."""
    rows, others = rows_of(shape), rows_of(shape, 1)
    others[0] = rows[0]
    moved = rows.roll(1, dims=0)
    before = predictions(packed, rows)
    beside, elsewhere = predictions(packed, others), predictions(packed, moved)
    if before.dim() == 0 or len(before) != ROWS:
        return True
    return not torch.equal(before[0], beside[0]) or not torch.equal(before[0], elsewhere[1])


def at(n: int) -> dict[str, int]:
    return {"ref": FIRST + n}


TURNED: Nodes = [("transpose", [X, 0, 1])]

HOSTILE: dict[str, tuple[Nodes, tuple[int, ...]]] = {
    "softmax over the rows": ([("softmax", [X, 0])], (4,)),
    "softmax over the rows from the right": ([("softmax", [X, -2])], (4,)),
    "log softmax of the transpose": (
        [*TURNED, ("log_softmax", [at(0), 1]), ("transpose", [at(1), 0, 1])], (4,)),
    "mean of the rows beside them": ([("mean", [X, [0], True]), ("sub", [X, at(0)])], (4,)),
    "mean of everything": ([("mean_all", [X]), ("add", [X, at(0)])], (4,)),
    "largest of the rows": ([("amax", [X, [0], True]), ("add", [X, at(0)])], (4,)),
    "norm over rows and columns": (
        [("vector_norm", [X, 2.0, [0, 1], True]), ("div", [X, at(0)])], (4,)),
    "product with the transpose": ([*TURNED, ("matmul", [X, at(0)])], (4,)),
    "product over the rows": (
        [*TURNED, ("matmul", [at(0), X]), ("matmul", [X, at(1)])], (4,)),
    "first row for all": ([("slice", [X, 0, 0, 1, 1]), ("add", [X, at(0)])], (4,)),
    "one row for all": ([("select", [X, 0, 0]), ("add", [X, at(0)])], (4,)),
    "rows in reverse by parts": (
        [("split", [X, [3, 3], 0]), ("cat", [[{"ref": FIRST, "item": 1},
                                              {"ref": FIRST, "item": 0}], 0])], (4,)),
    "chunks of rows": (
        [("chunk", [X, 2, 0]), ("cat", [[{"ref": FIRST, "item": 1},
                                         {"ref": FIRST, "item": 0}], 0])], (4,)),
    "rows moved down": ([("pad", [X, [0, 0, 1, 0], 0.0]), ("slice", [at(0), 0, 0, ROWS, 1])], (4,)),
    "rows merged from before and read as if from behind": (
        [("transpose", [X, 0, 1]), ("reshape", [at(0), [{"B": 3}, 4]]),
         ("reshape", [at(1), [{"B": 1}, 12]])], (3, 4)),
    "rows merged from behind": (
        [*TURNED, ("reshape", [at(0), [{"B": 1}, 4]])], (4,)),
    "rows spread over others": (
        [*TURNED, ("flatten", [at(0), 0, 1]), ("unflatten", [at(1), 0, [{"B": 1}, 4]])], (4,)),
    "rows attend to each other": (
        [("unsqueeze", [X, 0]), ("attention", [at(0), at(0), at(0), None, 0.0, False, None]),
         ("squeeze", [at(1), 0])], (4,)),
    "rows attend to what was before": (
        [("unsqueeze", [X, 0]), ("attention", [at(0), at(0), at(0), None, 0.0, True, None]),
         ("squeeze", [at(1), 0])], (4,)),
    "norm of a layer over the rows": (
        [*TURNED, ("layer_norm", [at(0), [ROWS], None, None, 1e-5]),
         ("transpose", [at(1), 0, 1])], (4,)),
    "root mean square over the rows": (
        [*TURNED, ("rms_norm", [at(0), [ROWS], None, 1e-5]), ("transpose", [at(1), 0, 1])], (4,)),
    "rows as columns of a linear layer": (
        [*TURNED, ("linear", [at(0), at(0), None]), ("matmul", [X, at(1)])], (4,)),
    "pooling along the rows": (
        [*TURNED, ("max_pool1d", [at(0), [3], [1], [1], [1], False]),
         ("transpose", [at(1), 0, 1])], (4,)),
    "groups over the rows": (
        [("unsqueeze", [X, 0]), ("group_norm", [at(0), 1, None, None, 1e-5]),
         ("squeeze", [at(1), 0])], (4,)),
    "an entry for each place": ([("add", [X, PLACES])], (4,)),
    "an entry for each place, joined": ([("cat", [[X, PLACES], 1])], (4,)),
    "a product with an entry for each place": (
        [("unsqueeze", [X, 1]), ("unsqueeze", [PLACES, 2]), ("bmm", [at(0), at(1)])], (4,)),
    "stacked with places": ([("stack", [[X, PLACES], 1])], (4,)),
    "other rows by a mean squared error": (
        [("relu", [X]), ("mse_loss", [at(0), X, 1]), ("add", [X, at(1)])], (4,)),
    "rows behind each other": (
        [("cat", [[X, X], 0]), ("slice", [at(0), 0, 1, ROWS + 1, 1])], (4,)),
    "a slope for each place": ([*TURNED, ("select", [PLACES, 1, 0]), ("prelu", [at(0), at(1)]),
                                ("transpose", [at(2), 0, 1])], (4,)),
}  # fmt: skip
"""Eval graphs whose predictions depend on neighbours or places, with the shape of a row."""

HONEST: dict[str, tuple[Nodes, tuple[int, ...]]] = {
    "nothing": ([], (4,)),
    "a linear layer": ([("linear", [X, SQUARE, ROW]), ("relu", [at(0)])], (4,)),
    "products of matrices": ([("matmul", [X, SQUARE]), ("matmul", [at(0), ROW])], (4,)),
    "turned and back": (
        [*TURNED, ("softmax", [at(0), 0]), ("matmul", [SQUARE, at(1)]),
         ("transpose", [at(2), 0, 1])], (4,)),
    "a sequence as one": (
        [("flatten", [X, 0, 1]), ("linear", [at(0), SQUARE, None]),
         ("unflatten", [at(1), 0, [{"B": 1}, 3]]), ("mean", [at(2), [1], False])], (3, 4)),
    "reshaped to merged rows and back": (
        [("reshape", [X, [{"B": 3}, 4]]), ("softmax", [at(0), 1]),
         ("reshape", [at(1), [{"B": 1}, 12]])], (3, 4)),
    "attention in each row": (
        [("attention", [X, X, X, None, 0.0, True, None]), ("flatten", [at(0), 1, 2])], (3, 4)),
    "heads": (
        [("unflatten", [X, 2, [2, 2]]), ("permute", [at(0), [0, 2, 1, 3]]),
         ("attention", [at(1), at(1), at(1), None, 0.0, False, None]),
         ("permute", [at(2), [0, 2, 1, 3]]), ("flatten", [at(3), 2, 3])], (3, 4)),
    "heads as torch has them, the sequence first": (
        [("transpose", [X, 0, 1]), ("reshape", [at(0), [3, {"B": 2}, 2]]),
         ("transpose", [at(1), 0, 1]), ("unflatten", [at(2), 0, [{"B": 1}, 2]]),
         ("attention", [at(3), at(3), at(3), None, 0.0, False, None]),
         ("permute", [at(4), [2, 0, 1, 3]]), ("reshape", [at(5), [{"B": 3}, 4]]),
         ("linear", [at(6), SQUARE, ROW]), ("reshape", [at(7), [3, {"B": 1}, 4]]),
         ("transpose", [at(8), 0, 1]), ("flatten", [at(9), 1, 2])], (3, 4)),
    "a token of its own": (
        [("unsqueeze", [ROW, 0]), ("unsqueeze", [at(0), 0]),
         ("expand", [at(1), [{"B": 1}, -1, -1]]), ("cat", [[at(2), X], 1]),
         ("select", [at(3), 1, 0])], (3, 4)),
    "expanded as the rows": ([("expand_as", [ROW, X]), ("cat", [[at(0), X], 1])], (4,)),
    "an image": (
        [("avg_pool2d", [X, [2], [2], [0], False, True]), ("flatten", [at(0), 1, 3])], (2, 4, 4)),
    "a tensor beside each row": ([("add", [X, ROW]), ("maximum", [at(0), ROW])], (4,)),
    "parts of each row": (
        [("chunk", [X, 2, 1]), ("mul", [{"ref": FIRST, "item": 0}, {"ref": FIRST, "item": 1}]),
         ("pad", [at(1), [1, 1], 0.0])], (4,)),
    "norms": (
        [("layer_norm", [X, [4], ROW, ROW, 1e-5]), ("rms_norm", [at(0), [4], None, None]),
         ("group_norm", [at(1), 2, None, None, 1e-5])], (4,)),
    "products in batches": (
        [("transpose", [X, 1, 2]), ("bmm", [X, at(0)]), ("amax", [at(1), [2], False])], (3, 4)),
    "a scale of each row": (
        [("vector_norm", [X, 2.0, [1], True]), ("div", [X, at(0)]), ("squeeze", [at(1), 1])], (4,)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_check_refuses_an_eval_graph_that_mixes(name: str) -> None:
    nodes, shape = HOSTILE[name]
    packed = definition(nodes, shape)
    with pytest.raises(RecipeRefused) as refused:
        follow(packed)
    assert refused.value.code == "GRAPH_ROWS_MIXED"
    with pytest.raises(RecipeRefused):
        check(packed, LIMITS)
    assert leaks(packed, shape), "the control: without the check it tells of neighbours or places"


@pytest.mark.parametrize("name", HONEST)
def test_check_accepts_an_eval_graph_that_keeps_rows_apart(name: str) -> None:
    nodes, shape = HONEST[name]
    packed = definition(nodes, shape)
    check(packed, LIMITS)
    assert not leaks(packed, shape)


@pytest.mark.parametrize("node", [("expand", [ROW, [ROWS, 4]]), ("relu", [PLACES])], ids=str)
def test_prediction_without_the_rows_is_refused(node: tuple[str, list[Any]]) -> None:
    with pytest.raises(RecipeRefused, match="of each row") as refused:
        follow(definition([node]))
    assert refused.value.code == "GRAPH_ROWS_MIXED"


def test_refusal_names_the_node() -> None:
    with pytest.raises(RecipeRefused, match=r"eval graph, node 5 \(softmax\)"):
        check(definition([("softmax", [X, 0])]), LIMITS)


DIMENSIONS = st.integers(-3, 2)
OPERATIONS = st.sampled_from(
    [
        ("relu", 0), ("transpose", 2), ("softmax", 1), ("unsqueeze", 1), ("squeeze", 1),
        ("flatten", 2), ("mean", 1), ("amax", 1), ("select", 1), ("matmul", -1), ("bmm", -1),
        ("add", -1), ("mul", -1), ("cat", 1), ("stack", 1), ("attention", 0), ("expand_as", -1),
        ("reshape", 0), ("linear", 0), ("slice", 1), ("layer_norm", 0), ("group_norm", 0),
    ]
)  # fmt: skip


FLAGS: st.SearchStrategy[bool] = st.booleans()
SIZES = st.sampled_from([[{"B": 1}, -1], [-1, 4], [{"B": 2}, -1], [4, -1]])


@st.composite
def graphs(draw: st.DrawFn) -> Nodes:
    """Draw a few operations, each on any earlier values, along any dimensions."""
    nodes: Nodes = []
    for _ in range(draw(st.integers(1, 6))):
        op, dims = draw(OPERATIONS)
        pool: list[Any] = [X, X, SQUARE, ROW, PLACES, *(at(n) for n in range(len(nodes)))]
        last = bool(nodes) and draw(FLAGS)
        here = at(len(nodes) - 1) if last else draw(st.sampled_from(pool))
        other = draw(st.sampled_from(pool))
        along = [draw(DIMENSIONS) for _ in range(max(dims, 0))]
        nodes.append((op, _arguments(draw, op, here, other, along)))
    return nodes


def _arguments(draw: st.DrawFn, op: str, here: Any, other: Any, along: list[int]) -> list[Any]:
    keep = bool(draw(FLAGS))
    special: dict[str, list[Any]] = {
        "mean": [here, along, keep],
        "amax": [here, along, keep],
        "select": [here, *along, 0],
        "slice": [here, *along, 0, draw(st.sampled_from([1, ROWS])), 1],
        "cat": [[here, other], *along],
        "stack": [[here, other], *along],
        "attention": [here, other, other, None, 0.0, False, None],
        "reshape": [here, draw(SIZES)],
        "linear": [here, SQUARE, None],
        "layer_norm": [here, [4], None, None, 1e-5],
        "group_norm": [here, 1, None, None, 1e-5],
    }
    if op in special:
        return special[op]
    return [here, other] if op in ("matmul", "bmm", "add", "mul", "expand_as") else [here, *along]


@given(nodes=graphs(), shape=st.sampled_from([(4,), (3, 4), (4, 4)]))
@settings(max_examples=600)
def test_whatever_graph_is_followed_to_its_end_keeps_rows_apart(
    nodes: Nodes, shape: tuple[int, ...]
) -> None:
    packed = definition(nodes, shape)
    try:
        follow(packed)
        found = leaks(packed, shape)
    except RecipeRefused:  # some run on the meta device alone; the check knows them by other rules
        return
    assert not found


def test_without_following_the_rows_the_check_lets_graphs_through_that_mix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RowTracker, "follow", lambda *_: None)
    monkeypatch.setattr(RowTracker, "check_output", lambda _self: None)
    for name in ("softmax over the rows", "first row for all", "rows attend to each other"):
        nodes, shape = HOSTILE[name]
        check(definition(nodes, shape), LIMITS)
        assert leaks(definition(nodes, shape), shape)
