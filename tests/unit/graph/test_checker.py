"""The check: shapes, types, memory, and the harm that each refusal prevents."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from contextlib import suppress
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph import state, training
from chiron_stream.graph.checked import CheckedRecipe, Limits, commitment
from chiron_stream.graph.checker import check
from chiron_stream.graph.definition import Graph, Node, Ref
from chiron_stream.graph.interpreter import Program
from chiron_stream.graph.ops import OPS
from tests.unit.graph.samples import (
    CLASSES,
    MLP,
    bare,
    changed,
    encoded,
    weights,
    with_node,
)

SMALL = Limits(max_parameter_bytes=1 << 20, max_activation_bytes=4 << 20, prediction_batch=4)


def refusal(data: bytes, limits: Limits = SMALL) -> RecipeRefused:
    with pytest.raises(RecipeRefused) as caught:
        check(data, limits)
    return caught.value


def test_check_returns_what_the_recipe_is() -> None:
    found = check(encoded(MLP))
    assert isinstance(found, CheckedRecipe)
    assert found.digest == hashlib.sha256(encoded(MLP)).digest()
    assert found.trained == (2, 3, 4, 5)
    assert found.counters == (8,)
    assert found.statistics == (6, 7)
    assert found.output_shape == (CLASSES,)
    assert 0 < found.train_bytes < 100_000
    assert 0 < found.eval_bytes < 100_000


def test_check_leaves_out_parameters_that_are_not_trained() -> None:
    frozen = check(changed(lambda table: table["parameters"][0].__setitem__("trainable", False)))
    assert frozen.trained == (3, 4, 5)
    unused = check(bare([[4, "relu", [{"ref": 0}]]], parameters=((), (3,))))
    assert unused.trained == (2,)


def test_commitment_changes_with_definition_and_weights() -> None:
    digests = {
        commitment(encoded(MLP), weights()),
        commitment(encoded(MLP) + b" ", weights()),
        commitment(encoded(MLP), weights(1)),
    }
    assert len(digests) == 3


# ---------------------------------------------------------------- shapes and types


WRONG: list[tuple[str, bytes, str]] = [
    ("sizes that do not fit", with_node(0, "linear", [{"ref": 0}, {"ref": 4}, {"ref": 3}]), "9"),
    ("an impossible reshape", with_node(0, "reshape", [{"ref": 0}, [5, 7]]), "9"),
    ("a reshape for one batch only", with_node(0, "reshape", [{"ref": 0}, [8, 3]]), "9"),
    ("two unknown sizes", with_node(0, "reshape", [{"ref": 0}, [-1, -1]]), "9"),
    ("a dimension beyond", with_node(0, "softmax", [{"ref": 0}, 5]), "9"),
    ("a row beyond", with_node(0, "select", [{"ref": 0}, 0, 3]), "9"),
    ("indices that are floats", with_node(0, "embedding", [{"ref": 2}, {"ref": 0}, -1]), "9"),
    ("a table of whole numbers", with_node(0, "embedding", [{"ref": 8}, {"ref": 1}, -1]), "9"),
    ("a loss of floats as classes", with_node(6, "nll_loss", [
        {"ref": 14}, {"ref": 0}, None, 1, -100]), "15"),
    ("relu of whole numbers", with_node(0, "relu", [{"ref": 1}]), "9"),
    ("seven dimensions", bare(
        [[3 + n, "unsqueeze", [{"ref": 2 + n if n else 0}, 0]] for n in range(5)]), "7"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "node"), [one[1:] for one in WRONG], ids=[w[0] for w in WRONG])
def test_check_refuses(data: bytes, node: str) -> None:
    error = refusal(data)
    assert error.code in ("GRAPH_SHAPE", "GRAPH_REFERENCE")
    assert f"node {node} " in error.message


@pytest.mark.parametrize("name", ["running_mean", "running_var"])
def test_check_refuses_batch_statistics_of_another_length(name: str) -> None:
    number = {"running_mean": 0, "running_var": 1}[name]
    error = refusal(changed(lambda table: table["buffers"][number].__setitem__("shape", [3])))
    assert error.code == "GRAPH_SHAPE"
    assert "batch_norm" in error.message
    assert name in error.message


def test_check_refuses_batch_statistics_that_are_whole_numbers() -> None:
    error = refusal(changed(lambda table: table["buffers"][0].__setitem__("dtype", "i64")))
    assert error.code == "GRAPH_SHAPE"


@pytest.mark.parametrize("output", [0, 2, 12, 14], ids=["rows", "parameter", "values", "logits"])
def test_check_refuses_a_loss_that_is_not_one_number(output: int) -> None:
    error = refusal(changed(lambda table: table["train"].__setitem__("output", output)))
    assert error.code == "GRAPH_SHAPE"
    assert "$.train.output" in error.message


def test_check_refuses_a_loss_that_no_parameter_changes() -> None:
    error = refusal(changed(lambda table: [
        one.__setitem__("trainable", False) for one in table["parameters"]
    ]))  # fmt: skip
    assert error.code == "GRAPH_SHAPE"


@pytest.mark.parametrize("output", [2, 5, 8], ids=["matrix", "vector", "counter"])
def test_check_refuses_a_prediction_that_is_not_one_for_each_row(output: int) -> None:
    error = refusal(changed(lambda table: table["eval"].__setitem__("output", output)))
    assert error.code == "GRAPH_SHAPE"
    assert "$.eval.output" in error.message


def test_check_refuses_a_prediction_whose_shape_depends_on_the_batch() -> None:
    nodes = [[9, "transpose", [{"ref": 0}, 0, 1]], [10, "matmul", [{"ref": 0}, {"ref": 9}]]]
    error = refusal(changed(lambda table: table.__setitem__(
        "eval", {"nodes": nodes, "output": 10}
    )))  # fmt: skip
    assert error.code == "GRAPH_ROWS_MIXED"
    assert "rows of a batch apart" in str(error)


NORM_OF_ONE_NUMBER = [
    [3, "sum_all", [{"ref": 0}]],
    [4, "mul", [{"ref": 3}, {"ref": 2}]],
    [5, "batch_norm", [{"ref": 4}, None, None, None, None, True, 0.1, 1e-5]],
]
"""Torch's shape function takes it in the forward pass, and not in the backward pass."""


def test_check_refuses_a_backward_pass_that_does_not_fit() -> None:
    error = refusal(bare(NORM_OF_ONE_NUMBER))
    assert error.code == "GRAPH_SHAPE"
    assert error.message.startswith("train graph, backward, does not fit: ")


def test_check_refuses_a_backward_pass_above_the_memory() -> None:
    """The forward pass makes one small value; its backward pass one as large as the rows."""
    nodes = [[3, "mul", [{"ref": 0}, {"ref": 2}]], [4, "mean", [{"ref": 3}, [0], False]]]
    found = check(bare(nodes, shape=(1000,)), SMALL)
    forward = 9 * 1000 * 4 + 1000 * 4 + 8
    assert found.train_bytes > forward
    limits = Limits(max_activation_bytes=forward, prediction_batch=4)
    error = refusal(bare(nodes, shape=(1000,)), limits)
    assert error.code == "GRAPH_MEMORY"
    assert "train graph" in error.message


@pytest.mark.parametrize("item", [0, 1])
def test_check_takes_one_result_of_several(item: int) -> None:
    nodes = [
        [3, "chunk", [{"ref": 0}, 2, 1]],
        [4, "mul", [{"ref": 3, "item": item}, {"ref": 3, "item": 0}]],
    ]
    assert check(bare(nodes, shape=(4,)), SMALL).trained == (2,)


def test_check_refuses_a_result_whose_number_depends_on_sizes() -> None:
    """Four columns in chunks of at most three make two; a third there is not."""
    nodes = [[3, "chunk", [{"ref": 0}, 3, 1]], [4, "relu", [{"ref": 3, "item": 2}]]]
    error = refusal(bare(nodes, shape=(4,)))
    assert error.code == "GRAPH_SHAPE"
    assert "node 4 (relu)" in error.message


# ---------------------------------------------------------------- memory


def outer(width: int) -> bytes:
    """A row of ``width`` numbers becomes a square."""
    nodes = [[3, "transpose", [{"ref": 0}, 0, 1]], [4, "matmul", [{"ref": 3}, {"ref": 0}]]]
    return bare(nodes, shape=(width,))


def broadcast(left: int, right: int) -> bytes:
    """A product of a few numbers whose operands torch copies out to ``8 · right · left``."""
    nodes = [
        [4, "reshape", [{"ref": 0}, [{"B": 1}, 1, 1, left]]],
        [5, "matmul", [{"ref": 4}, {"ref": 3}]],
    ]
    return bare(nodes, shape=(left,), parameters=((), (1, right, left, 1)))


def many(count: int) -> bytes:
    nodes: list[Any] = [[3, "transpose", [{"ref": 0}, 0, 1]]]
    nodes += [[n, "matmul", [{"ref": 3}, {"ref": 0}]] for n in range(4, 4 + count)]
    return bare(nodes, shape=(128,))


@pytest.mark.parametrize(
    "data",
    [outer(1 << 20), outer(4096), broadcast(256, 512), many(2000)],
    ids=["square beyond the index", "square", "copies of broadcasting", "many products"],
)
def test_check_refuses_more_memory_than_the_limit(data: bytes) -> None:
    error = refusal(data)
    assert error.code == "GRAPH_MEMORY"
    assert "train graph" in error.message


def test_check_counts_the_copies_that_broadcasting_makes() -> None:
    """Input, output and weights are small; what torch copies inside is what is refused."""
    assert prod((9, 1024)) * 4 < SMALL.max_activation_bytes / 50
    assert refusal(broadcast(256, 512)).code == "GRAPH_MEMORY"
    assert check(broadcast(8, 8), SMALL).train_bytes < SMALL.max_activation_bytes


BOMB = """
import resource, sys, torch
from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.checker import program
from chiron_stream.graph.format import parse
definition = parse(sys.stdin.buffer.read())
rows, values = 8, {}
for one in definition.declared:
    shape = (rows, *one.row_shape) if hasattr(one, "row_shape") else one.shape
    values[one.id] = torch.zeros(shape)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
try:
    program(definition, training=True).run(values, rows)
    print("fits")
except RecipeRefused as error:
    print(error.code)
"""


@pytest.mark.parametrize(
    ("data", "outcome"),
    [(outer(16), "fits"), (outer(8192), "GRAPH_RUN"), (broadcast(2048, 2048), "GRAPH_RUN")],
    ids=["small square", "square", "copies of broadcasting"],
)
def test_memory_is_used_up_without_the_check(data: bytes, outcome: str) -> None:
    """The control: under 64 MB of further address space, unchecked graphs run out of it."""
    shown = subprocess.run(
        [sys.executable, "-c", BOMB], input=data, capture_output=True, check=True
    )
    assert shown.stdout.decode().strip() == outcome


def test_check_refuses_a_batch_above_the_limit() -> None:
    error = refusal(encoded(MLP), Limits(max_batch=7))
    assert error.code == "GRAPH_LIMIT"
    assert "$.batch_size" in error.message


def test_check_refuses_more_parameters_than_the_limit() -> None:
    error = refusal(encoded(MLP), Limits(max_parameter_bytes=100))
    assert error.code == "GRAPH_MEMORY"
    assert (error.expected, error.got) == ("at most 100 bytes", "144")


def test_check_refuses_a_prediction_above_the_memory() -> None:
    squares = [
        [9, "reshape", [{"ref": 0}, [{"B": 1}, 3, 1]]],
        [10, "reshape", [{"ref": 0}, [{"B": 1}, 1, 3]]],
        [11, "matmul", [{"ref": 9}, {"ref": 10}]],
    ]
    data = changed(lambda table: table.__setitem__("eval", {"nodes": squares, "output": 11}))
    assert check(data, Limits(prediction_batch=4)).output_shape == (3, 3)
    error = refusal(data, Limits(max_activation_bytes=1 << 20, prediction_batch=1 << 16))
    assert error.code == "GRAPH_MEMORY"
    assert "eval graph" in error.message


def test_measured_memory_bounds_what_a_step_takes() -> None:
    """Against a real step: torch's profiler sees all that is allocated, kernels' scratch too."""
    width, norm = 4096, [None, None, {"ref": 3}, {"ref": 4}, True, 0.1, 1e-5]
    nodes = [
        [5, "mul", [{"ref": 0}, {"ref": 2}]],
        [6, "batch_norm", [{"ref": 5}, *norm]],
        [7, "gelu", [{"ref": 6}, "none"]],
        [8, "dropout", [{"ref": 7}, 0.5, True]],
        [9, "layer_norm", [{"ref": 8}, [width], None, None, 1e-5]],
        [10, "softmax", [{"ref": 9}, 1]],
        [11, "cat", [[{"ref": 10}, {"ref": 9}], 0]],
    ]
    buffers = (("f32", (width,)), ("f32", (width,)))
    found = check(bare(nodes, shape=(width,), buffers=buffers))
    start = state.initial(found, bytes(4 + 8 * width))
    columns = {"x": np.ones((9, width), np.float32), "y": np.ones(9, np.float32)}
    with torch.profiler.profile(profile_memory=True) as profile:
        training.train_slot(found, start, columns, seed=1, first_step=0)
    usage = [event.self_cpu_memory_usage for event in profile.events()]
    allocated = sum(max(0, one) for one in usage)
    assert 0.8 * found.train_bytes < allocated < 1.25 * found.train_bytes
    assert max(accumulate(usage)) < 0.8 * found.train_bytes


# ---------------------------------------------------------------- what torch itself would do


def test_uninitialised_memory_shows_old_values_without_the_table() -> None:
    """The control for having no ``empty``: torch hands out memory as it was."""
    seen = set()
    for _ in range(100):
        secret = torch.full((4096,), 42.5)
        del secret
        seen.add(float(torch.ops.aten.empty.memory_format([4096])[2048]))
    assert 42.5 in seen or torch.are_deterministic_algorithms_enabled()  # which fills with NaN
    assert refusal(with_node(0, "empty", [[1 << 16]])).code == "GRAPH_OP"


def test_files_are_read_without_the_table(tmp_path: Any) -> None:
    """The control for the table: an ATen operation that reads any file."""
    path = tmp_path / "secret"
    path.write_bytes(b"TOPSECRET")
    read = torch.ops.aten.from_file.default(str(path), False, 9, dtype=torch.uint8)
    assert bytes(read.tolist()) == b"TOPSECRET"
    assert refusal(with_node(0, "from_file", [str(path), False, 9])).code == "GRAPH_OP"


def test_true_is_a_dimension_without_types() -> None:
    """The control for typed arguments."""
    node = Node(1, "softmax", (Ref(0), True))
    made = Program(Graph((node,), 1), 1, training=True).run({0: torch.zeros(2, 2)}, 2)
    assert made.tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_a_number_of_400_digits_overflows_without_the_limit() -> None:
    """The control for the length of numbers."""
    with pytest.raises(OverflowError):
        float(json.loads("1" + "0" * 400))
    huge = encoded(MLP).replace(b"0.25", b"1" + b"0" * 400)
    assert refusal(huge).code == "GRAPH_LIMIT"


# ---------------------------------------------------------------- properties

SIGNS = b'0123456789[]{},:"eE-+.tfnulabcBr '


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(SIGNS)), min_size=1, max_size=3))
def test_check_of_changed_bytes_refuses_or_accepts_and_never_fails_otherwise(
    changes: list[tuple[int, int]],
) -> None:
    data = bytearray(encoded(MLP))
    for position, sign in changes:
        data[position % len(data)] = sign
    with suppress(RecipeRefused):
        check(bytes(data), SMALL)


VALUES = st.sampled_from(
    [None, True, False, 0, 1, -1, 2, 7, 1 << 24, 0.5, 1e-5, 1e30, "none", [], [0], [1, 2], [-1]]
    + [{"ref": n} for n in range(16)]
    + [{"ref": n, "item": n % 2} for n in range(9, 12)]
    + [[{"ref": 0}, {"ref": 9}], [{"B": 1}, 3], [{"B": 2}, -1], {}]
)
"""Arguments of every type, right and wrong."""


@settings(max_examples=300)
@given(st.data())
def test_check_of_any_operation_with_any_arguments_never_fails_otherwise(
    data: st.DataObject,
) -> None:
    name = data.draw(st.sampled_from(sorted(OPS)))
    count = len(OPS[name].arguments)
    arguments = data.draw(st.lists(VALUES, min_size=count, max_size=count))
    position = data.draw(st.integers(0, 6))
    with suppress(RecipeRefused):
        check(with_node(position, name, arguments), SMALL)
