"""Optimizers, schedules and clipping have the bits of ``torch.optim`` and its closed forms."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.format import parse
from chiron_stream.graph.optimizers import OPTIMIZERS, SGD, Adam, AdamW, Moments, Optimizer
from chiron_stream.graph.schedules import SCHEDULES, Constant, Cosine, Schedule, Step, Warmup
from chiron_stream.graph.training import clipped
from tests.unit.graph.samples import changed

STEPS = 6
SGDS = [
    SGD(0.1, momentum, dampening, decay, nesterov)
    for momentum, dampening, decay, nesterov in itertools.product(
        (0.0, 0.9), (0.0, 0.3), (0.0, 0.01), (False, True)
    )
    if not nesterov or (momentum and not dampening)
]


ADAMS = [
    kind(0.1, beta1, beta2, eps, decay)
    for kind, beta1, beta2, eps, decay in itertools.product(
        (Adam, AdamW), (0.9, 0.0), (0.999, 0.5), (1e-8, 1e-3), (0.0, 0.01)
    )
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


def adam_of_torch(setting: Adam, parameter: torch.nn.Parameter, rate: float) -> Any:
    kind = torch.optim.AdamW if isinstance(setting, AdamW) else torch.optim.Adam
    betas = (setting.beta1, setting.beta2)
    return kind(
        *([parameter], rate, betas, setting.eps, setting.weight_decay), foreach=False, fused=False
    )


@pytest.mark.parametrize("setting", ADAMS, ids=str)
def test_adam_has_the_bits_of_torch(setting: Adam) -> None:
    start = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    parameter = torch.nn.Parameter(start.clone())
    expected = theirs(adam_of_torch(setting, parameter, 0.1 * 0.37), parameter)
    assert torch.equal(ours(setting, start, 0.37), expected)
    assert not torch.equal(start, expected)


def test_adam_keeps_what_torch_keeps() -> None:
    parameter = torch.nn.Parameter(torch.ones(1000))
    made = adam_of_torch(Adam(), parameter, 1e-3)
    theirs(made, parameter)
    mine, moments = torch.ones(1000), None
    for number, gradient in enumerate(gradients(1), 1):
        moments = Adam().step(mine, gradient, moments, 1.0, number)
    assert moments is not None
    kept = zip(Adam().slots, moments, strict=True)
    assert all(torch.equal(one, made.state[parameter][name]) for name, one in kept)


def test_adamw_is_not_adam_with_decay() -> None:
    """The control: the two kinds of weight decay differ."""
    start = torch.ones(1000)
    decayed = [ours(kind(weight_decay=0.1), start, 1.0) for kind in (Adam, AdamW)]
    assert not torch.equal(*decayed)


@pytest.mark.parametrize("setting", [SGD(0.1, 0.9, 0.0, 0.1), Adam(0.1, 0.9, 0.9, 1e-8, 0.1)])
def test_optimizer_leaves_the_gradient_as_it_is(setting: Optimizer) -> None:
    gradient = torch.ones(3)
    setting.step(torch.ones(3), gradient, None, 1.0, 1)
    assert gradient.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("kind", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_definition_reads_the_optimizer(kind: type[Optimizer]) -> None:
    found = parse(changed(lambda table: table.__setitem__("optimizer", kind().to_json())))
    assert found.optimizer == kind()


BAD_OPTIMIZERS: dict[str, dict[str, Any]] = {
    "amsgrad": {**Adam().to_json(), "amsgrad": True},
    "a missing rate": {n: v for n, v in Adam().to_json().items() if n != "lr"},
    "a decay of one": {**Adam().to_json(), "beta1": 1.0},
    "a negative decay": {**AdamW().to_json(), "beta2": -0.1},
    "an infinite rate": {**AdamW().to_json(), "lr": 1e300},
    "fields of another": {**SGD().to_json(), "kind": "adam"},
}


@pytest.mark.parametrize("name", BAD_OPTIMIZERS)
def test_definition_refuses_an_optimizer_with(name: str) -> None:
    with pytest.raises(RecipeRefused) as caught:
        parse(changed(lambda table: table.__setitem__("optimizer", BAD_OPTIMIZERS[name])))
    assert caught.value.code == "GRAPH_FORMAT"
    assert caught.value.message.startswith("$.optimizer")


# ---------------------------------------------------------------- schedules


def test_constant_is_one_at_every_step() -> None:
    assert {Constant().at(step) for step in (0, 1, 10**9)} == {1.0}


def test_step_multiplies_every_so_often() -> None:
    found = [Step(every=2, factor=0.5).at(step) for step in range(6)]
    assert found == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_warmup_rises_in_equal_parts() -> None:
    assert [Warmup(4).at(step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_rises_and_falls() -> None:
    schedule = Cosine(warmup=2, total=6)
    found = [schedule.at(step) for step in range(8)]
    assert found[:3] == [0.5, 1.0, 1.0]
    assert found[4] == pytest.approx(0.5)
    assert found[6:] == [0.0, 0.0]
    assert Cosine(total=4).at(0) == 1.0


@given(st.integers(0, 500), st.integers(1, 1000), st.integers(0, 10**9))
def test_factor_is_between_nothing_and_the_whole_rate(warmup: int, more: int, step: int) -> None:
    schedules = (Cosine(warmup, warmup + more), Warmup(more), Step(more, 0.9))
    assert all(0.0 <= one.at(step) <= 1.0 for one in schedules)


def test_lambda_lr_gives_the_rate_that_training_uses() -> None:
    """The reference's scheduler, over our function: the same product, the same rounding."""
    schedule = Cosine(warmup=3, total=50)
    made = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3)
    scheduler = torch.optim.lr_scheduler.LambdaLR(made, schedule.at)
    for step in range(60):
        assert made.param_groups[0]["lr"] == 0.3 * schedule.at(step)
        made.step()
        scheduler.step()


def test_recursive_cosine_of_torch_rounds_otherwise() -> None:
    """The control for the closed form: torch's own class follows from the step before."""
    made = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(made, T_max=100)
    differing = 0
    for step in range(100):
        rate = made.param_groups[0]["lr"]
        assert rate == pytest.approx(0.3 * Cosine(total=100).at(step))
        differing += rate != 0.3 * Cosine(total=100).at(step)
        made.step()
        scheduler.step()
    assert differing > 10


@pytest.mark.parametrize("kind", SCHEDULES.values(), ids=SCHEDULES)
def test_definition_reads_the_schedule(kind: type[Schedule]) -> None:
    found = parse(changed(lambda table: table.__setitem__("schedule", kind().to_json())))
    assert found.schedule == kind()


BAD_SCHEDULES: dict[str, dict[str, Any]] = {
    "steps of nothing": {"kind": "step", "every": 0, "factor": 0.1},
    "a growing factor": {"kind": "step", "every": 10, "factor": 1.5},
    "no warmup": {"kind": "warmup", "steps": 0},
    "a fractional warmup": {"kind": "warmup", "steps": 2.5},
    "a warmup beyond the end": {"kind": "cosine", "warmup": 20, "total": 10},
    "a warmup up to the end": {"kind": "cosine", "warmup": 10, "total": 10},
    "no end": {"kind": "cosine", "warmup": 0, "total": 0},
    "an endless end": {"kind": "cosine", "warmup": 0, "total": 10**12},
}


@pytest.mark.parametrize("name", BAD_SCHEDULES)
def test_definition_refuses_a_schedule_with(name: str) -> None:
    with pytest.raises(RecipeRefused) as caught:
        parse(changed(lambda table: table.__setitem__("schedule", BAD_SCHEDULES[name])))
    assert caught.value.code == "GRAPH_FORMAT"
    assert caught.value.message.startswith("$.schedule")


# ---------------------------------------------------------------- clipping


def shapes(scale: float) -> list[torch.Tensor]:
    dice = torch.Generator().manual_seed(5)
    sizes = ((64, 33), (33,), (), (3, 3, 3, 3))
    return [torch.randn(one, generator=dice) * scale for one in sizes]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3, math.inf, math.nan])
@pytest.mark.parametrize("most", [0.1, 1.0, 100.0])
def test_clipping_has_the_bits_of_torch(scale: float, most: float) -> None:
    parameters = [torch.nn.Parameter(torch.zeros_like(one)) for one in shapes(1.0)]
    for parameter, gradient in zip(parameters, shapes(scale), strict=True):
        parameter.grad = gradient
    torch.nn.utils.clip_grad_norm_(parameters, most)
    found = clipped(tuple(shapes(scale)), most)
    expected = [one.grad for one in parameters if one.grad is not None]
    pairs = list(zip(found, expected, strict=True))
    assert all(a.numpy().tobytes() == b.numpy().tobytes() or a.isnan().any() for a, b in pairs)
    assert [bool(a.isnan().any()) for a, _ in pairs] == [bool(b.isnan().any()) for _, b in pairs]


def test_clipping_sees_a_gradient_of_another_layout_as_torch_does() -> None:
    """Autograd hands out transposed gradients; a parameter's ``grad`` has the layout of it."""
    gradient = torch.randn(501, 33, generator=torch.Generator().manual_seed(1)).T
    (found,) = clipped((gradient,), 0.1)
    parameter = torch.nn.Parameter(torch.zeros(33, 501))
    parameter.grad = gradient.contiguous()
    torch.nn.utils.clip_grad_norm_([parameter], 0.1)
    assert torch.equal(found, parameter.grad)


def test_clipping_leaves_the_gradients_as_they_are() -> None:
    """Two parameters may have one gradient: in place, it would be scaled twice."""
    gradient = torch.full((4,), 10.0)
    first, second = clipped((gradient, gradient), 1.0)
    assert gradient.tolist() == [10.0] * 4
    assert torch.equal(first, second)
    norm = torch.linalg.vector_norm(torch.cat([first, second]))
    assert float(norm) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("value", [0, -1.0, 1e7, "1", True, [1.0]])
def test_definition_refuses_to_clip_to(value: object) -> None:
    with pytest.raises(RecipeRefused) as caught:
        parse(changed(lambda table: table.__setitem__("clip_norm", value)))
    assert caught.value.code == "GRAPH_FORMAT"
    assert caught.value.message.startswith("$.clip_norm")


def test_definition_keeps_the_norm_to_clip_to() -> None:
    data = changed(lambda table: table.__setitem__("clip_norm", 2.5))
    assert parse(data).clip_norm == 2.5
    assert json.loads(data)["clip_norm"] == 2.5
