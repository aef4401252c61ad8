"""Hostile definitions, one for each defect, with the code of the rule that refuses it.

Each is a way to read files, run code, use up memory or time, overwrite what is not its own, or be
read in two ways. Those that would do harm in an interpreter without the check have that harm shown
beside them, bounded, as a control.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import torch

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.arguments import MAX_TENSORS
from chiron_stream.graph.checked import Limits
from chiron_stream.graph.checker import check
from chiron_stream.graph.definition import Argument, Graph, Node, Ref, Times
from chiron_stream.graph.format import MAX_NODES
from chiron_stream.graph.interpreter import Program
from tests.unit.graph.samples import MLP, bare, changed, encoded, with_node

LIMITS = Limits(max_parameter_bytes=16 << 20, max_activation_bytes=64 << 20, prediction_batch=8)
X = {"ref": 0}

Hostile = tuple[bytes, str]


def square_products(count: int) -> bytes:
    nodes: list[Any] = [[3, "transpose", [X, 0, 1]]]
    nodes += [[n, "matmul", [{"ref": 3}, X]] for n in range(4, 4 + count)]
    return bare(nodes, shape=(256,))


def doubling(times: int) -> bytes:
    """A list of the same value, joined again and again: 64 times the size at each node."""
    nodes = [[3 + n, "cat", [[{"ref": n + 2 if n else 0}] * MAX_TENSORS, 0]] for n in range(times)]
    return bare(nodes)


def duplicate_key() -> bytes:
    return encoded(MLP).replace(b'"batch_size": 8', b'"batch_size": 8, "batch_size": 4096')


def surprise(table: dict[str, Any]) -> None:
    table["code"] = "__import__('os').system('id')"


CORPUS: dict[str, Hostile] = {
    # the sketch's twenty-one
    "unknown operation": (with_node(0, "from_file", ["/etc/passwd", False, 4]), "GRAPH_OP"),
    "attribute as operation": (with_node(0, "__class__", []), "GRAPH_OP"),
    "huge view": (with_node(0, "reshape", [X, [1 << 40]]), "GRAPH_OP"),
    "expansion": (with_node(0, "reshape", [X, [1 << 23, 1 << 23]]), "GRAPH_SHAPE"),
    "outer product": (bare([
        [3, "transpose", [X, 0, 1]], [4, "matmul", [{"ref": 3}, X]],
    ], shape=(1 << 20,)), "GRAPH_MEMORY"),
    "reference to nothing": (with_node(0, "relu", [{"ref": 60000}]), "GRAPH_REFERENCE"),
    "reference forwards": (with_node(0, "relu", [{"ref": 15}]), "GRAPH_REFERENCE"),
    "id redefined": (changed(lambda t: t["train"]["nodes"][1].__setitem__(0, 9)),
                     "GRAPH_REFERENCE"),
    "not a number": (encoded(MLP).replace(b"0.25", b"NaN"), "GRAPH_FORMAT"),
    "truth value as dimension": (with_node(0, "softmax", [X, True]), "GRAPH_OP"),
    "code as size": (with_node(0, "reshape", [X, ["__import__('os')"]]), "GRAPH_OP"),
    "object as element type": (changed(lambda t: t["inputs"][0].__setitem__("dtype", "object")),
                               "GRAPH_FORMAT"),
    "negative size": (changed(lambda t: t["parameters"][0].__setitem__("shape", [-1, 3])),
                      "GRAPH_LIMIT"),
    "depth": (b"[" * 200_000, "GRAPH_LIMIT"),
    "batch statistics into a parameter": (with_node(2, "batch_norm", [
        {"ref": 9}, None, None, {"ref": 3}, {"ref": 7}, True, 0.1, 1e-5]), "GRAPH_EFFECT"),
    "doubled key": (duplicate_key(), "GRAPH_FORMAT"),
    "unknown key": (changed(surprise), "GRAPH_FORMAT"),
    "too many nodes": (changed(lambda t: t["train"].__setitem__(
        "nodes", [[9 + n, "relu", [X]] for n in range(MAX_NODES + 1)])), "GRAPH_LIMIT"),
    "thousands of products": (square_products(4000), "GRAPH_MEMORY"),
    "division by nothing": (with_node(0, "layer_norm", [X, [0], None, None, 1e-5]), "GRAPH_OP"),
    "number of 400 digits": (encoded(MLP).replace(b"0.25", b"1" + b"0" * 400), "GRAPH_LIMIT"),
    # and more
    "uninitialised memory": (with_node(0, "empty", [[4096]]), "GRAPH_OP"),
    "overlapping view": (with_node(0, "as_strided", [X, [1 << 20], [0]]), "GRAPH_OP"),
    "change in place": (with_node(0, "relu_", [X]), "GRAPH_OP"),
    "batch statistics into the rows": (with_node(2, "batch_norm", [
        {"ref": 9}, None, None, X, {"ref": 7}, True, 0.1, 1e-5]), "GRAPH_EFFECT"),
    "batch statistics that are too short": (changed(
        lambda t: t["buffers"][0].__setitem__("shape", [1])), "GRAPH_SHAPE"),
    "increment of a parameter": (with_node(1, "increment", [{"ref": 2}]), "GRAPH_EFFECT"),
    "copies of broadcasting": (bare([
        [4, "reshape", [X, [{"B": 1}, 1, 1, 1024]]], [5, "matmul", [{"ref": 4}, {"ref": 3}]],
    ], shape=(1024,), parameters=((), (1, 2048, 1024, 1))), "GRAPH_MEMORY"),
    "64 to the fifth": (doubling(5), "GRAPH_MEMORY"),
    "eval graph that sees the target": (with_node(0, "relu", [{"ref": 1}], "eval"),
                                        "GRAPH_REFERENCE"),
    "eval graph that draws": (with_node(2, "dropout", [{"ref": 10}, 0.5, True], "eval"),
                              "GRAPH_EFFECT"),
    "eval graph that learns": (with_node(1, "batch_norm", [
        {"ref": 9}, None, None, {"ref": 6}, {"ref": 7}, True, 0.1, 1e-5], "eval"),
        "GRAPH_EFFECT"),
    "prediction that is the weights": (changed(lambda t: t["eval"].__setitem__("output", 2)),
                                       "GRAPH_SHAPE"),
    "weights as loss": (changed(lambda t: t["train"].__setitem__("output", 2)), "GRAPH_SHAPE"),
    "another optimizer": (changed(lambda t: t["optimizer"].__setitem__("kind", "lbfgs")),
                          "GRAPH_FORMAT"),
}  # fmt: skip


def test_corpus_has_the_twenty_one_of_the_sketch_and_more() -> None:
    assert len(CORPUS) > 30


@pytest.mark.parametrize("name", CORPUS)
def test_check_refuses(name: str) -> None:
    data, code = CORPUS[name]
    start = time.perf_counter()
    with pytest.raises(RecipeRefused) as caught:
        check(data, LIMITS)
    assert caught.value.code == code
    assert time.perf_counter() - start < 20
    message = caught.value.message
    assert message.startswith("$") or " graph" in message, "it names the place"
    assert len(str(caught.value)) < 500


def test_check_accepts_what_the_corpus_was_made_from() -> None:
    """The control: the refusals are for the defects."""
    check(encoded(MLP), LIMITS)
    check(bare([[3, "relu", [X]]]), LIMITS)
    check(square_products(4), LIMITS)
    check(doubling(1), LIMITS)


# ---------------------------------------------------------------- the harm, without the check


def run(op: str, *arguments: Argument, values: list[torch.Tensor], rows: int = 2) -> torch.Tensor:
    """Run one operation with nothing checked before."""
    node = Node(len(values), op, arguments)
    program = Program(Graph((node,), node.id), node.id, training=True)
    return program.run(dict(enumerate(values)), rows)


def test_outer_product_grows_by_the_square() -> None:
    made = run("matmul", Ref(0), Ref(1), values=[torch.zeros(2048, 1), torch.zeros(1, 2048)])
    assert made.numel() * 4 == 16 << 20


def test_join_grows_by_the_length_of_the_list() -> None:
    made = run("cat", (Ref(0),) * MAX_TENSORS, 0, values=[torch.zeros(1024)])
    assert made.numel() == 1024 * MAX_TENSORS


def test_batch_statistics_overwrite_the_rows() -> None:
    rows = torch.zeros(4)
    statistics: tuple[Argument, ...] = (Ref(1), Ref(2), True, 1.0, 1e-5)
    values = [torch.full((2, 4), 7.0), rows, torch.ones(4)]
    run("batch_norm", Ref(0), None, None, *statistics, values=values)
    assert rows.tolist() == [7.0] * 4


def test_increment_changes_whatever_it_is_given() -> None:
    parameter = torch.zeros(3)
    run("increment", Ref(0), values=[parameter])
    assert parameter.tolist() == [1.0] * 3


def test_dropout_answers_differently_each_time() -> None:
    values = [torch.ones(1000)]
    first, second = (run("dropout", Ref(0), 0.5, True, values=values) for _ in range(2))
    assert not torch.equal(first, second)


def test_doubled_key_is_read_in_two_ways() -> None:
    assert json.loads(duplicate_key())["batch_size"] == 4096
    first_wins = json.loads(duplicate_key(), object_pairs_hook=lambda p: dict(reversed(p)))
    assert first_wins["batch_size"] == 8


def test_size_is_computed_from_the_batch() -> None:
    """A bound on the factor matters: the batch multiplies it."""
    made = run("reshape", Ref(0), (Times(3), -1), values=[torch.zeros(6, 2)], rows=2)
    assert made.shape == (6, 2)
