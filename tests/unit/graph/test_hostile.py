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


def one(
    op: str,
    *arguments: Any,
    shape: tuple[int, ...] = (4,),
    parameters: tuple[tuple[int, ...], ...] = ((),),
    buffers: tuple[tuple[str, tuple[int, ...]], ...] = (),
) -> bytes:
    """Return a definition with one operation; value 3 is its first tensor beside the rows."""
    node = [2 + len(parameters) + len(buffers), op, list(arguments)]
    return bare([node], shape=shape, parameters=parameters, buffers=buffers)


def conv(
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    image: tuple[int, ...] = (2, 8, 8),
    weight: tuple[int, ...] = (4, 2, 3, 3),
) -> bytes:
    numbers = [[stride], [padding], [dilation], groups]
    parts: tuple[tuple[int, ...], ...] = ((), weight)
    return one("conv2d", X, {"ref": 3}, None, *numbers, shape=image, parameters=parts)


def pool(op: str, *arguments: Any, image: tuple[int, ...] = (2, 8, 8)) -> bytes:
    return one(op, X, *arguments, shape=image)


def attend(
    *arguments: Any,
    shape: tuple[int, ...] = (6, 4),
    mask: tuple[str, tuple[int, ...]] | None = None,
) -> bytes:
    return one("attention", X, X, X, *arguments, shape=shape, buffers=(mask,) if mask else ())


def largest(item: Any, op: str = "relu") -> bytes:
    return bare([[3, "max", [X, 1, False]], [4, op, [item]]])


LAYERS: dict[str, Hostile] = {
    "convolution in no groups": (conv(groups=0), "GRAPH_OP"),
    "convolution in groups that do not divide": (conv(groups=3), "GRAPH_SHAPE"),
    "convolution that stands still": (conv(stride=0), "GRAPH_OP"),
    "convolution without distance": (conv(dilation=0), "GRAPH_OP"),
    "convolution with negative padding": (conv(padding=-1), "GRAPH_OP"),
    "convolution with huge padding": (conv(padding=1 << 20), "GRAPH_OP"),
    "convolution with padding that grows the image": (conv(padding=1024), "GRAPH_MEMORY"),
    "convolution wider than the image": (conv(dilation=1024), "GRAPH_SHAPE"),
    "convolution of other channels": (conv(weight=(4, 3, 3, 3)), "GRAPH_SHAPE"),
    "convolution with a matrix": (conv(weight=(4, 2)), "GRAPH_SHAPE"),
    "convolution that unfolds terabytes": (
        conv(image=(1, 1500, 1500), weight=(1, 1, 700, 700)), "GRAPH_MEMORY"),
    "convolution along three axes": (one(
        "conv2d", X, {"ref": 3}, None, [1, 1, 1], [0], [1], 1,
        shape=(2, 8, 8), parameters=((), (4, 2, 3, 3))), "GRAPH_LIMIT"),
    "convolution with padding by name": (one(
        "conv2d_padded", X, {"ref": 3}, None, [1], "os.system", [1], 1,
        shape=(2, 8, 8), parameters=((), (4, 2, 3, 3))), "GRAPH_OP"),
    "pooling of nothing": (pool("max_pool2d", [0], [], [0], [1], False), "GRAPH_OP"),
    "pooling without a window": (pool("max_pool2d", [], [], [0], [1], False), "GRAPH_OP"),
    "pooling that stands still": (pool("max_pool2d", [2], [0], [0], [1], False), "GRAPH_OP"),
    "pooling of padding alone": (pool("max_pool2d", [2], [2], [2], [1], False), "GRAPH_SHAPE"),
    "pooling wider than the image": (pool("max_pool2d", [100], [2], [0], [1], False),
                                     "GRAPH_SHAPE"),
    "averages of nothing": (pool("avg_pool2d", [0], [], [0], False, True), "GRAPH_OP"),
    "averages of padding alone": (pool("avg_pool2d", [2], [2], [2], False, False), "GRAPH_SHAPE"),
    "adaptive pooling to nothing": (pool("adaptive_avg_pool2d", [0, 1]), "GRAPH_OP"),
    "adaptive pooling to a huge image": (pool("adaptive_avg_pool2d", [1 << 20, 1]), "GRAPH_OP"),
    "adaptive pooling to a large image": (
        pool("adaptive_avg_pool2d", [1024, 1024]), "GRAPH_MEMORY"),
    "groups of no channels": (one("group_norm", X, 0, None, None, 1e-5), "GRAPH_OP"),
    "groups that do not divide": (one("group_norm", X, 3, None, None, 1e-5), "GRAPH_SHAPE"),
    "group norm with a short weight": (one(
        "group_norm", X, 2, {"ref": 3}, None, 1e-5, parameters=((), (3,))), "GRAPH_SHAPE"),
    "root mean square of another shape": (one("rms_norm", X, [3], None, None), "GRAPH_SHAPE"),
    "slice without a step": (one("slice", X, 1, 0, 4, 0), "GRAPH_OP"),
    "slice backwards": (one("slice", X, 1, 4, 0, -1), "GRAPH_OP"),
    "slice of no dimension": (one("slice", X, 2, 0, 4, 1), "GRAPH_SHAPE"),
    "slice with a huge border": (one("slice", X, 1, 0, 1 << 40, 1), "GRAPH_OP"),
    "parts that do not add up": (bare([
        [3, "split", [X, [1, 1], 1]], [4, "relu", [{"ref": 3, "item": 0}]]]), "GRAPH_SHAPE"),
    "parts of negative size": (one("split", X, [-1, 5], 1), "GRAPH_OP"),
    "65 parts": (one("split", X, [0] * 65, 1), "GRAPH_LIMIT"),
    "no parts": (one("split", X, [], 1), "GRAPH_OP"),
    "chunks by the million": (one("chunk", X, 1 << 20, 1), "GRAPH_OP"),
    "list as a value": (largest({"ref": 3}), "GRAPH_REFERENCE"),
    "item beyond the list": (largest({"ref": 3, "item": 2}), "GRAPH_SHAPE"),
    "item far beyond the list": (largest({"ref": 3, "item": 64}), "GRAPH_OP"),
    "item from the end": (largest({"ref": 3, "item": -1}), "GRAPH_OP"),
    "item that is true": (largest({"ref": 3, "item": True}), "GRAPH_OP"),
    "item of the rows": (bare([[3, "relu", [{"ref": 0, "item": 0}]]]), "GRAPH_REFERENCE"),
    "positions as floats": (largest({"ref": 3, "item": 1}), "GRAPH_SHAPE"),
    "list as loss": (changed(lambda t: t["train"].update(
        nodes=[*t["train"]["nodes"], [16, "max", [{"ref": 14}, 1, False]]], output=16)),
        "GRAPH_REFERENCE"),
    "expansion of the batch": (one("expand", X, [1 << 20, 4]), "GRAPH_SHAPE"),
    "expansion to a cube": (one("expand", X, [4096, 4096, 4096, {"B": 1}, 4]), "GRAPH_MEMORY"),
    "dimension of two huge ones": (one("unflatten", X, 1, [1 << 23, 1 << 23]), "GRAPH_SHAPE"),
    "huge border": (one("pad", X, [1 << 20], 0.0), "GRAPH_OP"),
    "half a border": (one("pad", X, [1], 0.0), "GRAPH_SHAPE"),
    "attention that draws in eval": (
        changed(lambda t: t["eval"]["nodes"].__setitem__(
            2, [11, "attention", [{"ref": 10}] * 3 + [None, 0.1, False, None]])), "GRAPH_EFFECT"),
    "channels dropped in eval": (with_node(2, "feature_dropout", [{"ref": 10}, 0.5, True], "eval"),
                                 "GRAPH_EFFECT"),
    "attention to everything at once": (bare([
        [3, "reshape", [X, [{"B": 1}, 1, -1, 1]]],
        [4, "attention", [{"ref": 3}] * 3 + [None, 0.0, False, None]]], shape=(1 << 14,)),
        "GRAPH_MEMORY"),
    "attention with a mask of whole numbers": (
        attend({"ref": 3}, 0.0, False, None, mask=("i64", (6, 6))), "GRAPH_SHAPE"),
    "attention with a mask of another shape": (
        attend({"ref": 3}, 0.0, False, None, mask=("bool", (5, 5))), "GRAPH_SHAPE"),
    "attention with two masks": (
        attend({"ref": 3}, 0.0, True, None, mask=("bool", (6, 6))), "GRAPH_SHAPE"),
    "attention of single numbers": (attend(None, 0.0, False, None, shape=()), "GRAPH_SHAPE"),
    "attention divided by nothing": (attend(None, 0.0, False, 0.0), "GRAPH_FORMAT"),
    "mask of floats": (one("masked_fill", X, X, 0.0), "GRAPH_SHAPE"),
    "choice by floats": (one("where", X, X, X), "GRAPH_SHAPE"),
    "clamp without borders": (one("clamp", X, None, None), "GRAPH_SHAPE"),
    "class weights that are too few": (with_node(6, "cross_entropy", [
        {"ref": 14}, {"ref": 1}, {"ref": 6}, 1, -100, 0.0]), "GRAPH_SHAPE"),
    "class weights that learn": (with_node(6, "cross_entropy", [
        {"ref": 14}, {"ref": 1}, {"ref": 5}, 1, -100, 0.0]), "GRAPH_SHAPE"),
    "weights of positives that do not fit": (one(
        "binary_cross_entropy_with_logits", {"ref": 1}, {"ref": 1}, None, X, 1), "GRAPH_SHAPE"),
    "slopes of other channels": (one("prelu", X, {"ref": 3}, parameters=((), (3,))),
                                 "GRAPH_SHAPE"),
    "clipping to nothing": (changed(lambda t: t.__setitem__("clip_norm", 0.0)), "GRAPH_FORMAT"),
}  # fmt: skip

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
    **LAYERS,
    "another optimizer": (changed(lambda t: t["optimizer"].__setitem__("kind", "lbfgs")),
                          "GRAPH_FORMAT"),
}  # fmt: skip


def test_corpus_has_the_twenty_one_of_the_sketch_and_more() -> None:
    assert len(CORPUS) > 90


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
    check(conv(padding=1), LIMITS)
    check(pool("max_pool2d", [2], [], [1], [1], True), LIMITS)
    check(pool("adaptive_avg_pool2d", [2, 2]), LIMITS)
    check(attend({"ref": 3}, 0.1, False, None, mask=("bool", (6, 6))), LIMITS)
    check(largest({"ref": 3, "item": 0}), LIMITS)
    check(one("group_norm", X, 2, None, None, 1e-5), LIMITS)
    check(one("slice", X, 1, 100, 200, 1), LIMITS)


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


def test_split_makes_as_many_values_as_it_is_told() -> None:
    """Without a limit on parts, the bytes of one definition make millions of objects."""
    made = torch.ops.aten.split.Tensor(torch.zeros(100_000, device="meta"), 1)
    assert len(made) == 100_000


def test_attention_draws_whenever_it_is_told() -> None:
    values = [torch.ones(1, 1, 64, 4)]
    arguments: tuple[Argument, ...] = (Ref(0), Ref(0), Ref(0), None, 0.5, False, None)
    first, second = (run("attention", *arguments, values=values) for _ in range(2))
    assert not torch.equal(first, second)


def test_bias_that_does_not_fit_is_refused_on_rows() -> None:
    """The shape function lets it through; the kernel does not read beyond it."""
    image, weight = torch.zeros(2, 2, 8, 8), torch.zeros(4, 2, 3, 3)
    for bias in (torch.zeros(()), torch.zeros(3), torch.zeros(2, 2)):
        with pytest.raises(RecipeRefused) as caught:
            run("conv2d", Ref(0), Ref(1), Ref(2), (1,), (0,), (1,), 1, values=[image, weight, bias])
        assert caught.value.code == "GRAPH_RUN"
