"""One step of an optimizer has the bits of ``torch.optim``."""

from __future__ import annotations

import itertools

import pytest
import torch

from chiron_stream.graph.optimizers import SGD, Moments, Optimizer
from chiron_stream.graph.schedules import Constant

STEPS = 6
SGDS = [
    SGD(0.1, momentum, dampening, decay, nesterov)
    for momentum, dampening, decay, nesterov in itertools.product(
        (0.0, 0.9), (0.0, 0.3), (0.0, 0.01), (False, True)
    )
    if not nesterov or (momentum and not dampening)
]


def gradients(seed: int) -> list[torch.Tensor]:
    dice = torch.Generator().manual_seed(seed)
    return [torch.randn(1000, generator=dice) for _ in range(STEPS)]


def ours(optimizer: Optimizer, start: torch.Tensor, factor: float) -> torch.Tensor:
    parameter = start.clone()
    moments: Moments | None = None
    for number, gradient in enumerate(gradients(1), 1):
        moments = optimizer.step(parameter, gradient.clone(), moments, factor, number)
    return parameter


def theirs(made: torch.optim.Optimizer, parameter: torch.nn.Parameter) -> torch.Tensor:
    for gradient in gradients(1):
        parameter.grad = gradient.clone()
        made.step()
    return parameter.detach()


@pytest.mark.parametrize("setting", SGDS, ids=str)
def test_sgd_has_the_bits_of_torch(setting: SGD) -> None:
    start = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    parameter = torch.nn.Parameter(start.clone())
    options = {name: value for name, value in setting.to_json().items() if name != "kind"}
    options["lr"] = 0.1 * 0.37
    expected = theirs(torch.optim.SGD([parameter], **options), parameter)
    assert torch.equal(ours(setting, start, 0.37), expected)
    assert not torch.equal(start, expected)


def test_sgd_leaves_the_gradient_as_it_is() -> None:
    gradient = torch.ones(3)
    SGD(0.1, 0.9, 0.0, 0.1).step(torch.ones(3), gradient, None, 1.0, 1)
    assert gradient.tolist() == [1.0, 1.0, 1.0]


def test_constant_is_one_at_every_step() -> None:
    assert {Constant().factor(step) for step in (0, 1, 10**9)} == {1.0}
