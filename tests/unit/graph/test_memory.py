"""The meter against real runs: kernels allocate in proportion to what the check has counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.definition import Argument, Graph, Node
from chiron_stream.graph.interpreter import Program, tensors_of
from chiron_stream.graph.meter import Meter
from chiron_stream.graph.ops import OPS
from tests.unit.graph.test_interpreter import CASES

NOT_DIFFERENTIABLE = {("cross_entropy", 2), ("batch_norm", 1), ("batch_norm", 2)}
ACTIVE = {"attention": 0.3}
SLACK = 64
"""Bytes: the numbers that kernels make of numbers."""


def in_training(name: str) -> tuple[Argument, ...]:
    row, arguments = OPS[name], list(CASES[name][1])
    if row.mode:
        arguments[row.position(row.mode)] = ACTIVE.get(name, True)
    return tuple(arguments)


def forward_and_backward(name: str, values: list[torch.Tensor]) -> None:
    for n, one in enumerate(values):
        one.requires_grad_(one.dtype == torch.float32 and (name, n) not in NOT_DIFFERENTIABLE)
    node = Node(len(values), name, in_training(name))
    program = Program(Graph((node,), node.id), node.id, training=True)
    made = [one for one in tensors_of(program.run(dict(enumerate(values)), 6)) if one.requires_grad]
    wanted = [one for one in values if one.requires_grad]
    if made:
        torch.autograd.grad([one.sum() for one in made], wanted, allow_unused=True)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in a core; with more of them, each has a part of the sums of a backward pass."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", OPS)
def test_operation_allocates_in_proportion_to_what_the_meter_counts(name: str) -> None:
    """Most stay below it; some copy a gradient that lies in memory in another order."""
    values = [one.detach().clone() for one in CASES[name][0]]
    shadows = [torch.empty_like(one, device="meta") for one in values]
    with Meter(1 << 30, "train graph") as meter:
        forward_and_backward(name, shadows)
    with torch.profiler.profile(profile_memory=True) as profile:
        forward_and_backward(name, values)
    allocated = sum(max(0, event.self_cpu_memory_usage) for event in profile.events())
    assert allocated <= 2 * meter.bytes + SLACK


def convolution(kernel: int, side: int) -> int:
    """Return the bytes that the meter counts for two images."""
    image = torch.empty(2, 1, side, side, device="meta")
    weight = torch.empty(1, 1, kernel, kernel, device="meta")
    with Meter(1 << 50, "train graph") as meter, torch.no_grad():
        torch.conv2d(image, weight)
    found: int = meter.bytes
    return found


def test_convolution_counts_the_windows_of_one_image() -> None:
    """A million windows of a million numbers: a result of 8 MB, and 4 TB on the way."""
    result = 2 * 1001 * 1001 * 4
    assert convolution(1000, 2000) == result + 1000 * 1000 * 1001 * 1001 * 4
    assert convolution(3, 8) == 2 * 6 * 6 * 4 + 9 * 36 * 4


def test_meter_stops_at_the_limit_and_says_whose_it_is() -> None:
    with (
        pytest.raises(RecipeRefused, match="eval graph needs too much memory") as caught,
        Meter(1000, "eval graph"),
    ):
        torch.zeros(1000, device="meta").exp()
    assert caught.value.code == "GRAPH_MEMORY"
    assert caught.value.expected == "at most 1000 bytes"


def test_meter_counts_no_views() -> None:
    whole = torch.empty(100, 100, device="meta")
    with Meter(0, "train graph") as meter:
        whole.t().unsqueeze(0).select(0, 0).expand(100, 100).chunk(2)
    assert meter.bytes == 0
