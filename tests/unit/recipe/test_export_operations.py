"""Export: refusals of what a closed graph lacks, naming the module and the provider's line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from chiron_stream.graph.checked import Limits
from tests.unit.recipe import models
from tests.unit.recipe.exports import refusal
from tests.unit.recipe.runs import NUMBERS


class Bad(nn.Module):
    """A layer, and then something that a closed graph does not have."""

    def __init__(self, step: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.step = step

    def forward(self, x: torch.Tensor) -> Any:
        return self.step(self.layer(x))


def fft(x: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = torch.fft.fft(x).real
    return found


def noise(x: torch.Tensor) -> torch.Tensor:
    return x + torch.randn_like(x)


def detached(x: torch.Tensor) -> torch.Tensor:
    return x.detach() * x


def in_place_on_a_view(x: torch.Tensor) -> torch.Tensor:
    view = x.reshape(-1, 2)
    view.relu_()
    return x


def size_as_number(x: torch.Tensor) -> torch.Tensor:
    return x * (1.0 / x.shape[0])


def add_with_factor(x: torch.Tensor) -> torch.Tensor:
    return torch.add(x, x, alpha=3)


class Straight(torch.autograd.Function):
    """The sign, with a gradient of its own: an exported graph has the sign alone."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ARG004  (torch's signature)
        value: torch.Tensor,
    ) -> torch.Tensor:
        return value.sign()

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ARG004  (torch's signature)
        gradient: torch.Tensor,
    ) -> torch.Tensor:
        return gradient


def own_gradient(x: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = Straight.apply(x)
    return found


def hooked(x: torch.Tensor) -> torch.Tensor:
    x.register_hook(lambda gradient: gradient * 2)  # type: ignore[no-untyped-call]
    return x


def halved(x: torch.Tensor) -> torch.Tensor:
    return x.half().float()


def brain(x: torch.Tensor) -> torch.Tensor:
    return x.to(torch.bfloat16).float()


def doubled(x: torch.Tensor) -> torch.Tensor:
    return x.double().float()


def mixed_precision(x: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return torch.matmul(x.T, x)[:1].expand_as(x)


def without_gradient(x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        y = x * 2
    return x + y


def bernoulli(x: torch.Tensor) -> torch.Tensor:
    return x * torch.bernoulli(x.sigmoid())


def leaky_at_random(x: torch.Tensor) -> torch.Tensor:
    return nn.functional.rrelu(x, training=True)


def number_of_a_tensor(x: torch.Tensor) -> torch.Tensor:
    return x * x.sum().item()


def chosen_rows(x: torch.Tensor) -> torch.Tensor:
    return x[x[:, 0] > 0]


def infinite_mask(x: torch.Tensor) -> torch.Tensor:
    return x.masked_fill(x > 0, float("-inf")).softmax(1)


def in_place_below_a_view(x: torch.Tensor) -> torch.Tensor:
    view = x.reshape(-1, 1)
    return x.relu_() + view.reshape(-1, 2)


def parts_of_the_batch(x: torch.Tensor) -> torch.Tensor:
    return torch.cat(torch.split(x, 2))


INSTEAD: dict[Callable[[torch.Tensor], torch.Tensor], str] = {
    own_gradient: "gradients that autograd",
    hooked: "gradients that autograd",
    halved: "float32",
    brain: "float32",
    doubled: "float32",
    mixed_precision: "float32",
    without_gradient: "requires_grad_(False)",
    bernoulli: "nn.Dropout",
    leaky_at_random: "nn.Dropout",
    number_of_a_tensor: "item()",
    chosen_rows: "torch.where",
    infinite_mask: "-1e9",
    in_place_below_a_view: "not in place",
}


@pytest.mark.parametrize("step", INSTEAD, ids=lambda one: one.__name__)
def test_export_says_what_to_use_instead_of(step: Callable[[torch.Tensor], torch.Tensor]) -> None:
    error = refusal(Bad(step), "EXPORT_OP")
    assert INSTEAD[step] in (error.expected or "")
    lines, first = inspect.getsourcelines(step)
    called = inspect.getsourcelines(Bad.forward)
    own = range(first, first + len(lines))
    place = error.message.partition(f"{__file__}:")[2].partition(":")[0]
    assert error.message.startswith("module (Bad), ")
    assert int(place) in (*own, called[1] + len(called[0]) - 1)


def test_gradient_of_its_own_is_lost_in_an_exported_graph() -> None:
    """The control: torch records the sign, whose gradient is zero, and says nothing."""
    made = torch.export.export(Bad(own_gradient), (torch.zeros(4, 3),), strict=False)
    called = [str(one.target) for one in made.graph.nodes if one.op == "call_function"]
    assert called == ["aten.linear.default", "aten.sign.default"]


def test_export_leaves_torch_as_it_is() -> None:
    before = (torch.autograd.Function.__dict__["apply"], torch.Tensor.register_hook)
    refusal(Bad(own_gradient), "EXPORT_OP")
    assert (torch.autograd.Function.__dict__["apply"], torch.Tensor.register_hook) == before
    value = torch.ones(2, requires_grad=True)
    torch.autograd.backward(own_gradient(value).sum())
    assert value.grad is not None
    assert value.grad.tolist() == [1.0, 1.0]


class Recurrent(nn.Module):
    def __init__(self, kind: Callable[..., nn.RNNBase]) -> None:
        super().__init__()
        self.recurrent = kind(3, 4, batch_first=True)
        self.last = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made, _ = self.recurrent(x.unsqueeze(1))
        found: torch.Tensor = self.last(made[:, -1])
        return found


@pytest.mark.filterwarnings("ignore:The tensor attribute")
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_export_refuses_recurrence_and_names_the_layer(kind: Callable[..., nn.RNNBase]) -> None:
    error = refusal(Recurrent(kind), "EXPORT_OP")
    assert error.message.startswith(f"module.recurrent ({kind.__name__}), {__file__}:")
    assert "aten." in (error.got or "")


class Writing(nn.Module):
    seen: torch.Tensor

    def __init__(self, *, buffer: bool = False) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("seen", torch.zeros(2))
        self.name = "seen" if buffer else "layer.weight"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.layer(x)
        tensor = self.seen if self.name == "seen" else self.layer.weight
        with torch.no_grad():
            tensor.add_(1)
        return made


@pytest.mark.parametrize("buffer", [False, True], ids=["parameter", "buffer"])
def test_export_refuses_a_change_of(buffer: bool) -> None:
    error = refusal(Writing(buffer=buffer), "EXPORT_OP")
    assert error.message.startswith(f"module (Writing), {__file__}:")
    assert "add_" in (error.got or "")
    assert "no change of parameters" in (error.expected or "")


@pytest.mark.parametrize("named", [False, True])
def test_export_names_the_line_of_a_branch(named: bool) -> None:
    module: nn.Module = Bad(branch)
    module = nn.Sequential(nn.Linear(3, 3), module) if named else module
    inputs = {"input" if named else "x": list(NUMBERS)}
    error = refusal(module, "EXPORT_FORM", inputs=inputs)
    assert error.message.startswith(f"module{'.1' if named else ''} (Bad), {__file__}:")
    first = inspect.getsourcelines(branch)[1]
    assert f":{first + 1}: torch.export cannot make a graph" in error.message
    assert "torch.where()" in (error.hint or "")


def add_text(x: torch.Tensor) -> Any:
    return x + "a"  # type: ignore[operator]


def test_export_names_the_line_of_any_other_error() -> None:
    error = refusal(Bad(add_text), "EXPORT_FORM")
    first = inspect.getsourcelines(add_text)[1]
    assert f"module (Bad), {__file__}:{first + 1}:" in error.message
    assert "'str'" in error.message


def nothing(x: torch.Tensor) -> None:
    return None


def test_export_refuses_a_module_without_a_result() -> None:
    def loss(made: None, y: torch.Tensor) -> torch.Tensor:
        return y.float().mean()

    error = refusal(Bad(nothing), "EXPORT_FORM", loss=loss)
    assert (error.expected, error.got) == ("one tensor", "None")


NOT_CLOSED = [fft, noise, detached, in_place_on_a_view, size_as_number, add_with_factor]


@pytest.mark.parametrize("step", NOT_CLOSED, ids=lambda one: one.__name__)
def test_export_names_the_line_that_leads_to(step: Callable[[torch.Tensor], torch.Tensor]) -> None:
    error = refusal(Bad(step), "EXPORT_OP")
    lines, first = inspect.getsourcelines(Bad.forward)
    assert error.message.startswith(f"module (Bad), {__file__}:{first + len(lines) - 1}:")
    assert error.expected
    assert error.got


def test_export_names_the_module_and_what_to_use_instead() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Softshrink()), nn.Linear(4, 2))
    error = refusal(module, "EXPORT_OP", inputs={"input": list(NUMBERS)})
    assert "module.1.0 (Softshrink)" in error.message
    assert error.got == "aten.softshrink.default"
    assert "gelu" in (error.expected or "")
    assert "nn.Dropout" in (refusal(Bad(noise), "EXPORT_OP").expected or "")


def branch(x: torch.Tensor) -> torch.Tensor:
    return x if x.sum() > 0 else -x


def constant(x: torch.Tensor) -> torch.Tensor:
    return x * torch.tensor([1.0, 2.0])


def two(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x, x


def fixed_rows(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(4, 2)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (branch, "data-dependent"),
        (constant, "register_buffer"),
        (fixed_rows, "batch"),
        (parts_of_the_batch, "batch"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_export_refuses(step: Callable[[torch.Tensor], Any], words: str) -> None:
    error = refusal(Bad(step), "EXPORT_FORM")
    assert words in f"{error} {error.hint}"


def test_export_refuses_two_results() -> None:
    def loss(made: tuple[torch.Tensor, torch.Tensor], y: torch.Tensor) -> torch.Tensor:
        return nn.functional.l1_loss(made[0][:, 0], y)

    assert "one tensor" in str(refusal(Bad(two), "EXPORT_FORM", loss=loss))


def test_export_refuses_a_loss_that_would_broadcast() -> None:
    """The famous mistake: [rows, 1] against [rows] becomes [rows, rows]."""
    module = nn.Linear(3, 1)
    with pytest.warns(UserWarning, match="broadcasting"):
        error = refusal(module, "EXPORT_OP", inputs={"input": list(NUMBERS)}, loss=nn.MSELoss())
    assert "one shape" in (error.expected or "")
    assert "loss (MSELoss)" in error.message


def test_export_refuses_what_the_check_refuses_and_says_where_it_comes_from() -> None:
    limits = Limits(max_parameter_bytes=100)
    assert refusal(models.Plain(), "GRAPH_MEMORY", limits=limits).got == "392"

    def seven(x: torch.Tensor) -> torch.Tensor:
        return x.reshape(-1, 2, 1, 1, 1, 1).unsqueeze(1).flatten(1)

    error = refusal(Bad(seven), "GRAPH_SHAPE")
    assert __file__ in (error.hint or "")
