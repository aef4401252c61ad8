"""Rules between nodes: what may be referred to and what may be changed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.definition import Graph, Node, Ref
from chiron_stream.graph.format import parse
from chiron_stream.graph.interpreter import Program
from tests.unit.graph.samples import changed, with_node

BATCH_NORM = [{"ref": 9}, None, None, {"ref": 6}, {"ref": 7}, True, 0.1, 1e-5]


def refusal(data: bytes) -> RecipeRefused:
    with pytest.raises(RecipeRefused) as caught:
        parse(data)
    return caught.value


def batch_norm(statistics: int, *, training: bool = True) -> list[Any]:
    return [*BATCH_NORM[:3], {"ref": statistics}, {"ref": 7}, training, *BATCH_NORM[6:]]


@pytest.mark.parametrize("statistics", [0, 3, 9], ids=["rows", "parameter", "earlier value"])
def test_parse_refuses_a_write_into(statistics: int) -> None:
    error = refusal(with_node(2, "batch_norm", batch_norm(statistics)))
    assert error.code == "GRAPH_EFFECT"
    assert "train graph, node 11 (batch_norm)" in error.message


def test_write_into_a_parameter_happens_without_the_rule() -> None:
    """The control: the interpreter alone lets batch statistics overwrite a parameter."""
    node = Node(3, "batch_norm", (Ref(0), None, None, Ref(1), Ref(2), True, 0.1, 1e-5))
    parameter = torch.zeros(4)
    values = {0: torch.ones(2, 4), 1: parameter, 2: torch.ones(4)}
    Program(Graph((node,), 3), 3, training=True).run(values, 2)
    assert parameter.count_nonzero() == 4


def test_parse_allows_frozen_batch_statistics_of_any_value() -> None:
    parse(with_node(2, "batch_norm", batch_norm(3, training=False)))


@pytest.mark.parametrize(
    ("op", "arguments"),
    [
        ("batch_norm", batch_norm(6)),
        ("dropout", [{"ref": 9}, 0.5, True]),
        ("increment", [{"ref": 8}]),
        ("feature_dropout", [{"ref": 9}, 0.5, True]),
        ("attention", [{"ref": 9}, {"ref": 9}, {"ref": 9}, None, 0.1, False, None]),
    ],
)
def test_parse_refuses_an_eval_graph_with(op: str, arguments: list[Any]) -> None:
    error = refusal(with_node(1, op, arguments, graph="eval"))
    assert error.code == "GRAPH_EFFECT"
    assert "eval graph, node 10" in error.message


def test_parse_refuses_an_eval_graph_that_sees_the_target() -> None:
    error = refusal(with_node(0, "relu", [{"ref": 1}], graph="eval"))
    assert error.code == "GRAPH_REFERENCE"
    assert "target" in str(error)


def test_parse_refuses_an_eval_graph_that_returns_the_target() -> None:
    error = refusal(changed(lambda table: table["eval"].__setitem__("output", 1)))
    assert error.code == "GRAPH_REFERENCE"


@pytest.mark.parametrize("counter", [8, 10], ids=["buffer", "result of increment"])
def test_parse_refuses_to_compute_with_a_counter(counter: int) -> None:
    error = refusal(with_node(3, "add", [{"ref": 11}, {"ref": counter}]))
    assert error.code == "GRAPH_REFERENCE"
    assert "counter" in str(error)


def test_parse_refuses_an_increment_of_a_float_buffer() -> None:
    error = refusal(with_node(1, "increment", [{"ref": 6}]))
    assert error.code in ("GRAPH_EFFECT", "GRAPH_REFERENCE")


def test_parse_refuses_a_counter_of_many_numbers() -> None:
    error = refusal(changed(lambda table: table["buffers"][2].__setitem__("shape", [2])))
    assert error.code == "GRAPH_EFFECT"
    assert "$.buffers[2]" in error.message


def test_parse_refuses_an_increment_of_a_parameter() -> None:
    assert refusal(with_node(1, "increment", [{"ref": 2}])).code == "GRAPH_EFFECT"


def test_parse_allows_attention_that_draws_nothing_in_eval() -> None:
    arguments = [{"ref": 9}, {"ref": 9}, {"ref": 9}, None, 0.0, False, None]
    parse(with_node(1, "attention", arguments, graph="eval"))


MAX = [11, "max", [{"ref": 9}, 1, False]]


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ([12, "relu", [{"ref": 11}]], "the item of a list"),
        ([12, "cat", [[{"ref": 9}, {"ref": 11}], 0]], "the item of a list"),
        ([12, "relu", [{"ref": 9, "item": 0}]], "no item"),
        ([12, "relu", [{"ref": 2, "item": 0}]], "no item"),
    ],
    ids=["list", "list within a list", "item of a value", "item of a parameter"],
)
def test_parse_refuses_to_take_a_list_for_a_value(node: list[Any], words: str) -> None:
    def change(table: dict[str, Any]) -> None:
        table["train"]["nodes"][2:4] = [MAX, node]

    error = refusal(changed(change))
    assert error.code == "GRAPH_REFERENCE"
    assert "train graph, node 12" in error.message
    assert words in str(error)


def test_parse_allows_the_items_of_a_list() -> None:
    def change(table: dict[str, Any]) -> None:
        table["train"]["nodes"][2:4] = [MAX, [12, "relu", [{"ref": 11, "item": 0}]]]

    node = parse(changed(change)).train.nodes[3]
    assert node.arguments == (Ref(11, 0),)


def test_parse_refuses_an_output_that_is_a_list() -> None:
    def change(table: dict[str, Any]) -> None:
        table["eval"]["nodes"].append([13, "max", [{"ref": 12}, 1, False]])
        table["eval"]["output"] = 13

    error = refusal(changed(change))
    assert error.code == "GRAPH_REFERENCE"
    assert "$.eval.output" in error.message


def test_a_list_breaks_the_interpreter_without_the_rule() -> None:
    """The control: what follows the interpreter expects one tensor and gets two."""
    node = Node(1, "max", (Ref(0), 0, False))
    made = Program(Graph((node,), 1), 1, training=True).run({0: torch.ones(2)}, 2)
    assert not isinstance(made, torch.Tensor)


def test_a_value_named_twice_is_overwritten_without_the_rule() -> None:
    """The control for ids that count up: the interpreter alone takes the later node."""
    nodes = (Node(1, "neg", (Ref(0),)), Node(1, "exp", (Ref(0),)))
    made = Program(Graph(nodes, 1), 1, training=True).run({0: torch.zeros(2)}, 2)
    assert made.tolist() == [1.0, 1.0]
