"""The interpreter: each operation does what torch does, and values live no longer than needed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (torch's custom)

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.definition import Argument, Graph, Node, Ref, Times
from chiron_stream.graph.interpreter import Program, Value, tensors_of
from chiron_stream.graph.ops import OPS

DICE = torch.Generator().manual_seed(3)


def floats(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=DICE)


A, B, M, V = floats(6, 4), floats(6, 4), floats(4, 3), floats(4)
POSITIVE = A.abs() + 0.1
CLASSES = torch.randint(0, 4, (6,), generator=DICE)
TABLE = floats(4, 5)

IMAGE, LINE = floats(2, 4, 6, 6), floats(2, 4, 9)
FILTER, FILTER1 = floats(6, 2, 3, 3), floats(6, 4, 3)
Q, K, W = floats(2, 2, 5, 4), floats(2, 2, 5, 4), floats(2, 2, 5, 4)
MASK = floats(5, 5) > 0
BATCHES, ADDED = (floats(3, 2, 4), floats(3, 4, 5)), floats(3, 2, 5)

Expected = Callable[[], Value]
Case = tuple[list[torch.Tensor], tuple[Argument, ...], Expected]

CASES: dict[str, Case] = {
    "linear": ([A, M.T, floats(3)], (Ref(0), Ref(1), None), lambda: F.linear(A, M.T)),
    "embedding": ([TABLE, CLASSES], (Ref(0), Ref(1), -1), lambda: F.embedding(CLASSES, TABLE)),
    "batch_norm": ([A, V, V.abs()], (Ref(0), None, None, Ref(1), Ref(2), False, 0.1, 1e-5),
                   lambda: F.batch_norm(A, V, V.abs())),
    "layer_norm": ([A, V], (Ref(0), (4,), Ref(1), None, 1e-5), lambda: F.layer_norm(A, (4,), V)),
    "group_norm": ([IMAGE, V], (Ref(0), 2, Ref(1), None, 1e-5),
                   lambda: F.group_norm(IMAGE, 2, V)),
    "rms_norm": ([A, V], (Ref(0), (4,), Ref(1), None), lambda: F.rms_norm(A, (4,), V)),
    "conv1d": ([LINE, FILTER1], (Ref(0), Ref(1), None, (2,), (1,), (1,), 1),
               lambda: F.conv1d(LINE, FILTER1, stride=2, padding=1)),
    "conv2d": ([IMAGE, FILTER], (Ref(0), Ref(1), None, (1,), (1, 2), (2,), 2),
               lambda: F.conv2d(IMAGE, FILTER, padding=(1, 2), dilation=2, groups=2)),
    "conv1d_padded": ([LINE, FILTER1], (Ref(0), Ref(1), None, (1,), "same", (1,), 1),
                      lambda: F.conv1d(LINE, FILTER1, padding="same")),
    "conv2d_padded": ([IMAGE, FILTER], (Ref(0), Ref(1), None, (1,), "valid", (1,), 2),
                      lambda: F.conv2d(IMAGE, FILTER, groups=2)),
    "max_pool1d": ([LINE], (Ref(0), (3,), (2,), (1,), (1,), False),
                   lambda: F.max_pool1d(LINE, 3, 2, 1)),
    "max_pool2d": ([IMAGE], (Ref(0), (2,), (), (0,), (1,), True),
                   lambda: F.max_pool2d(IMAGE, 2, ceil_mode=True)),
    "avg_pool1d": ([LINE], (Ref(0), (3,), (2,), (1,), False, False),
                   lambda: F.avg_pool1d(LINE, 3, 2, 1, count_include_pad=False)),
    "avg_pool2d": ([IMAGE], (Ref(0), (3, 2), (2,), (1,), False, True),
                   lambda: F.avg_pool2d(IMAGE, (3, 2), 2, 1)),
    "adaptive_avg_pool1d": ([LINE], (Ref(0), (4,)), lambda: F.adaptive_avg_pool1d(LINE, 4)),
    "adaptive_avg_pool2d": ([IMAGE], (Ref(0), (4, 1)),
                            lambda: F.adaptive_avg_pool2d(IMAGE, (4, 1))),
    "adaptive_max_pool1d": ([LINE], (Ref(0), (4,)),
                            lambda: F.adaptive_max_pool1d(LINE, 4, return_indices=True)),
    "adaptive_max_pool2d": ([IMAGE], (Ref(0), (4, 1)),
                            lambda: F.adaptive_max_pool2d(IMAGE, (4, 1), return_indices=True)),
    "attention": ([Q, K, W, MASK], (Ref(0), Ref(1), Ref(2), Ref(3), 0.0, False, 0.3),
                  lambda: F.scaled_dot_product_attention(Q, K, W, MASK, scale=0.3)),
    "feature_dropout": ([IMAGE], (Ref(0), 0.5, False), lambda: IMAGE),
    "selu": ([A], (Ref(0),), lambda: F.selu(A)),
    "log_sigmoid": ([A], (Ref(0),), lambda: F.logsigmoid(A)),
    "hardsigmoid": ([A], (Ref(0),), lambda: F.hardsigmoid(A)),
    "hardswish": ([A], (Ref(0),), lambda: F.hardswish(A)),
    "prelu": ([A, V], (Ref(0), Ref(1)), lambda: F.prelu(A, V)),
    "rsqrt": ([POSITIVE], (Ref(0),), POSITIVE.rsqrt),
    "clamp": ([A], (Ref(0), None, 0.5), lambda: A.clamp(max=0.5)),
    "clamp_min": ([A], (Ref(0), 0.5), lambda: A.clamp(min=0.5)),
    "maximum": ([A, B], (Ref(0), Ref(1)), lambda: torch.maximum(A, B)),
    "minimum": ([A, B], (Ref(0), Ref(1)), lambda: torch.minimum(A, B)),
    "float": ([CLASSES], (Ref(0),), CLASSES.float),
    "eq": ([CLASSES], (Ref(0), 1.0), lambda: CLASSES == 1),
    "ne": ([CLASSES], (Ref(0), 1.0), lambda: CLASSES != 1),
    "lt": ([A], (Ref(0), 0.1), lambda: A < 0.1),
    "le": ([A], (Ref(0), 0.1), lambda: A <= 0.1),
    "gt": ([A], (Ref(0), 0.1), lambda: A > 0.1),
    "ge": ([A], (Ref(0), 0.1), lambda: A >= 0.1),
    "logical_not": ([MASK], (Ref(0),), lambda: ~MASK),
    "where": ([A > 0, A, B], (Ref(0), Ref(1), Ref(2)), lambda: torch.where(A > 0, A, B)),
    "masked_fill": ([A, A > 0], (Ref(0), Ref(1), -1e9), lambda: A.masked_fill(A > 0, -1e9)),
    "bmm": ([*BATCHES], (Ref(0), Ref(1)), lambda: torch.bmm(*BATCHES)),
    "baddbmm": ([ADDED, *BATCHES], (Ref(0), Ref(1), Ref(2)),
                lambda: torch.baddbmm(ADDED, *BATCHES)),
    "unflatten": ([A], (Ref(0), 1, (2, -1)), lambda: A.reshape(6, 2, 2)),
    "clone": ([A], (Ref(0),), lambda: A),
    "contiguous": ([A.T], (Ref(0),), lambda: A.T),
    "expand": ([A[:, :1]], (Ref(0), (Times(1), 3)), lambda: A[:, :1].expand(6, 3)),
    "expand_as": ([V, A], (Ref(0), Ref(1)), lambda: V.expand(6, 4)),
    "slice": ([A], (Ref(0), 1, -3, None, 2), lambda: A[:, -3::2]),
    "chunk": ([A], (Ref(0), 3, 1), lambda: A.chunk(3, 1)),
    "split": ([A], (Ref(0), (1, 3), 1), lambda: torch.split(A, [1, 3], 1)),
    "stack": ([A, B], ((Ref(0), Ref(1)), 1), lambda: torch.stack([A, B], 1)),
    "pad": ([A], (Ref(0), (1, 2), 0.5), lambda: F.pad(A, (1, 2), value=0.5)),
    "amax": ([A], (Ref(0), (1,), False), lambda: A.amax(1)),
    "max": ([A], (Ref(0), 1, True), lambda: A.max(1, keepdim=True)),
    "vector_norm": ([A], (Ref(0), 2.0, (1,), True), lambda: A.norm(2, 1, keepdim=True)),
    "binary_cross_entropy": ([A.sigmoid(), B.sigmoid()], (Ref(0), Ref(1), None, 1),
                             lambda: F.binary_cross_entropy(A.sigmoid(), B.sigmoid())),
    "dropout": ([A], (Ref(0), 0.5, False), lambda: A),
    "relu": ([A], (Ref(0),), lambda: F.relu(A)),
    "gelu": ([A], (Ref(0), "tanh"), lambda: F.gelu(A, approximate="tanh")),
    "silu": ([A], (Ref(0),), lambda: F.silu(A)),
    "sigmoid": ([A], (Ref(0),), lambda: torch.sigmoid(A)),
    "tanh": ([A], (Ref(0),), lambda: torch.tanh(A)),
    "softplus": ([A], (Ref(0), 2.0, 20.0), lambda: F.softplus(A, 2.0)),
    "elu": ([A], (Ref(0), 0.7), lambda: F.elu(A, 0.7)),
    "leaky_relu": ([A], (Ref(0), 0.2), lambda: F.leaky_relu(A, 0.2)),
    "hardtanh": ([A], (Ref(0), 0.0, 6.0), lambda: F.relu6(A)),
    "softmax": ([A], (Ref(0), 1), lambda: F.softmax(A, 1)),
    "log_softmax": ([A], (Ref(0), -1), lambda: F.log_softmax(A, -1)),
    "add": ([A, B], (Ref(0), Ref(1)), lambda: A + B),
    "sub": ([A], (Ref(0), 3), lambda: A - 3),
    "mul": ([A, V], (Ref(0), Ref(1)), lambda: A * V),
    "div": ([A], (Ref(0), 3.0), lambda: A / 3.0),
    "rsub": ([A], (Ref(0), 1.0), lambda: 1.0 - A),
    "pow": ([A], (Ref(0), 2.0), lambda: A**2),
    "neg": ([A], (Ref(0),), lambda: -A),
    "abs": ([A], (Ref(0),), A.abs),
    "exp": ([A], (Ref(0),), A.exp),
    "log": ([POSITIVE], (Ref(0),), POSITIVE.log),
    "sqrt": ([POSITIVE], (Ref(0),), POSITIVE.sqrt),
    "matmul": ([A, M], (Ref(0), Ref(1)), lambda: A @ M),
    "flatten": ([A], (Ref(0), 0, 1), A.flatten),
    "reshape": ([A], (Ref(0), (Times(2), 2)), lambda: A.reshape(12, 2)),
    "transpose": ([A], (Ref(0), 0, 1), lambda: A.T),
    "permute": ([A], (Ref(0), (1, 0)), lambda: A.permute(1, 0)),
    "unsqueeze": ([A], (Ref(0), 1), lambda: A[:, None]),
    "squeeze": ([A[:, :1]], (Ref(0), 1), lambda: A[:, 0]),
    "select": ([A], (Ref(0), 1, 2), lambda: A[:, 2]),
    "cat": ([A, B], ((Ref(0), Ref(1)), 1), lambda: torch.cat([A, B], 1)),
    "mean": ([A], (Ref(0), (1,), True), lambda: A.mean(1, keepdim=True)),
    "sum": ([A], (Ref(0), (0, 1), False), lambda: A.sum((0, 1))),
    "mean_all": ([A], (Ref(0),), A.mean),
    "sum_all": ([A], (Ref(0),), A.sum),
    "cross_entropy": ([A, CLASSES, V.abs()], (Ref(0), Ref(1), Ref(2), 1, -100, 0.1),
                      lambda: F.cross_entropy(A, CLASSES, V.abs(), label_smoothing=0.1)),
    "nll_loss": ([A, CLASSES], (Ref(0), Ref(1), None, 2, -100),
                 lambda: F.nll_loss(A, CLASSES, reduction="sum")),
    "binary_cross_entropy_with_logits": (
        [A, B.sigmoid()], (Ref(0), Ref(1), None, None, 1),
        lambda: F.binary_cross_entropy_with_logits(A, B.sigmoid())),
    "mse_loss": ([A, B], (Ref(0), Ref(1), 1), lambda: F.mse_loss(A, B)),
    "l1_loss": ([A, B], (Ref(0), Ref(1), 2), lambda: F.l1_loss(A, B, reduction="sum")),
    "smooth_l1_loss": ([A, B], (Ref(0), Ref(1), 1, 0.5), lambda: F.smooth_l1_loss(A, B, beta=0.5)),
    "huber_loss": ([A, B], (Ref(0), Ref(1), 1, 0.5), lambda: F.huber_loss(A, B, delta=0.5)),
    "increment": ([torch.tensor(4)], (Ref(0),), lambda: torch.tensor(5)),
}  # fmt: skip


def test_every_operation_has_a_case() -> None:
    assert set(CASES) == set(OPS)


@pytest.mark.parametrize("name", CASES)
def test_operation_does_what_torch_does(name: str) -> None:
    values, arguments, expected = CASES[name]
    node = Node(len(values), name, arguments)
    program = Program(Graph((node,), node.id), node.id, training=True)
    made: Value = program.run({n: one.clone() for n, one in enumerate(values)}, rows=6)
    pairs = list(zip(tensors_of(made), tensors_of(expected()), strict=True))
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)
    assert len(pairs) > 1 or not OPS[name].several


def test_batch_norm_in_training_has_the_bits_of_torch() -> None:
    mine, theirs = (torch.zeros(4), torch.ones(4)), (torch.zeros(4), torch.ones(4))
    arguments: tuple[Argument, ...] = (Ref(0), None, None, Ref(1), Ref(2), True, 0.1, 1e-5)
    program = Program(Graph((Node(3, "batch_norm", arguments),), 3), 3, training=True)
    made = program.run({0: A, 1: mine[0], 2: mine[1]}, 6)
    assert torch.equal(made, F.batch_norm(A, *theirs, training=True))
    assert torch.equal(mine[0], theirs[0])
    assert torch.equal(mine[1], theirs[1])


def chain(length: int) -> Program:
    nodes = tuple(Node(n, "exp", (Ref(n - 1),)) for n in range(1, length + 1))
    return Program(Graph(nodes, length), 1, training=False)


def test_values_are_dropped_after_their_last_use() -> None:
    alive: list[int] = []
    born: list[weakref.ref[torch.Tensor]] = []

    def watch(node: Node, values: Mapping[int, Value]) -> None:
        born.extend(weakref.ref(one) for one in tensors_of(values[node.id]))
        alive.append(sum(one() is not None for one in born))

    with torch.no_grad():
        chain(10).run({0: torch.zeros(3)}, 1, watch)
    assert max(alive) == 2


def test_values_of_the_caller_stay() -> None:
    declared = {0: torch.zeros(3)}
    chain(2).run(declared, 1)
    assert set(declared) == {0}


def test_value_that_nobody_uses_is_dropped() -> None:
    nodes = (Node(1, "exp", (Ref(0),)), Node(2, "neg", (Ref(0),)))
    seen: list[set[int]] = []
    program = Program(Graph(nodes, 2), 1, training=False)
    program.run({0: torch.zeros(3)}, 1, lambda _node, values: seen.append(set(values)))
    assert seen == [{0, 1}, {0, 2}]


def test_gradients_flow_through_every_node() -> None:
    start = torch.zeros(3, requires_grad=True)
    (gradient,) = torch.autograd.grad(chain(2).run({0: start}, 1).sum(), [start])
    assert torch.allclose(gradient, torch.full((3,), torch.e))


def failing(device: str) -> RecipeRefused:
    node = Node(2, "matmul", (Ref(0), Ref(1)))
    program = Program(Graph((node,), 2), 2, training=False)
    with pytest.raises(RecipeRefused) as caught:
        program.run({n: torch.zeros(2, 3, device=device) for n in range(2)}, 1)
    assert caught.value.got == "float32[2, 3], float32[2, 3]"
    return caught.value


def test_refusal_without_data_gives_the_reason() -> None:
    error = failing("meta")
    assert error.code == "GRAPH_SHAPE"
    assert error.message.startswith("eval graph, node 2 (matmul) does not fit: ")


def test_refusal_with_data_gives_no_reason() -> None:
    error = failing("cpu")
    assert error.code == "GRAPH_RUN"
    assert error.message == "eval graph, node 2 (matmul) does not run on these rows"
