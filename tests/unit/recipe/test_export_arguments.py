"""Export: refusals of inputs, parameters, losses and optimizers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from chiron_stream.recipe import tracing
from tests.unit.recipe import models
from tests.unit.recipe.exports import refusal
from tests.unit.recipe.runs import NUMBERS


@pytest.mark.parametrize("value", [None, 3, {"a": 1}], ids=str)
def test_export_refuses_an_input_that_is_no_column(value: object) -> None:
    error = refusal(models.Plain(), "EXPORT_INPUT", inputs={"x": value})
    assert "'x'" in error.message


@pytest.mark.parametrize("value", ["text", None, [1.0], np.zeros((2, 3))], ids=type)
def test_export_refuses_an_example_that_is_no_tensor(value: object) -> None:
    error = refusal(models.Plain(), "EXPORT_INPUT", inputs={"x": "image"}, example={"x": value})
    assert type(value).__name__ in str(error)


def test_export_refuses_parameters_in_another_layout() -> None:
    module = models.Plain()
    module.get_submodule("net.0").weight = nn.Parameter(torch.zeros(3, 16).T)
    assert "net.0.weight" in refusal(module, "EXPORT_FORM").message


def test_export_refuses_parameters_with_hooks() -> None:
    module = models.Plain()
    weight = module.get_parameter("net.0.weight")
    weight.register_hook(lambda gradient: gradient * 2)  # type: ignore[no-untyped-call]
    assert "net.0.weight" in refusal(module, "EXPORT_FORM").message


def test_export_refuses_a_parameter_of_float64() -> None:
    error = refusal(models.Plain().double(), "EXPORT_FORM")
    assert "net.0.weight" in error.message


def test_export_refuses_a_loss_with_parameters() -> None:
    class Learned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(()))

        def forward(self, made: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return nn.functional.cross_entropy(made, y) * self.factor

    assert "loss.factor" in refusal(models.Plain(), "EXPORT_FORM", loss=Learned()).message


def test_export_refuses_a_column_that_the_schema_lacks() -> None:
    kinds = dict.fromkeys(("age", "bp"), ("number", ()))
    assert "'hr'" in refusal(models.Plain(), "EXPORT_INPUT", columns=kinds).message


def test_export_refuses_a_recipe_without_inputs() -> None:
    refusal(models.Plain(), "EXPORT_INPUT", inputs={})
    refusal(models.Plain(), "EXPORT_INPUT", inputs={"x": []})


def test_export_refuses_an_example_of_another_type() -> None:
    example = {"x": torch.zeros(3, 2, dtype=torch.float64)}
    refusal(models.Plain(), "EXPORT_INPUT", inputs={"x": "image"}, example=example)


def test_export_refuses_a_binding_that_does_not_fit() -> None:
    kinds = {"age": ("number", ()), "bp": ("number", ()), "hr": ("number", ()), "y": ("target", ())}
    kinds["hr"] = ("label", ())
    found = refusal(models.Regression(), "GRAPH_BINDING", columns=kinds, loss=nn.L1Loss())
    assert "'hr'" in found.message


def test_export_hints_at_the_types_of_inputs() -> None:
    error = refusal(models.Plain(1), "EXPORT_FORM", inputs={"x": "age"})
    assert "columns=" in (error.hint or "")


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "another class": torch.optim.Adagrad,
    "amsgrad": partial(torch.optim.Adam, amsgrad=True),
    "amsgrad of another": partial(torch.optim.AdamW, amsgrad=True),
    "capturable": partial(torch.optim.AdamW, capturable=True),
    "decays that are tensors": partial(
        torch.optim.Adam, betas=(torch.tensor(0.9), torch.tensor(0.999))
    ),
    "maximize": partial(torch.optim.SGD, lr=0.1, maximize=True),
    "foreach": partial(torch.optim.SGD, lr=0.1, foreach=True),
    "fused": partial(torch.optim.SGD, lr=0.1, fused=True),
    "two groups": lambda all_of_them: torch.optim.SGD(
        [{"params": [one]} for one in all_of_them], lr=0.1
    ),
    "some parameters": lambda all_of_them: torch.optim.SGD(list(all_of_them)[:1], lr=0.1),
    "a rate that is a tensor": partial(torch.optim.SGD, lr=torch.tensor(0.1)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_export_refuses_an_optimizer_with(name: str) -> None:
    error = refusal(models.Plain(), "EXPORT_OPTIMIZER", optimizer=OPTIMIZERS[name])
    assert "optimizer" in error.message


def test_refusal_of_amsgrad_names_it() -> None:
    error = refusal(models.Plain(), "EXPORT_OPTIMIZER", optimizer=OPTIMIZERS["amsgrad"])
    assert "amsgrad" in error.message


def test_export_names_the_parameters_of_forward() -> None:
    error = refusal(models.Plain(), "EXPORT_INPUT", inputs={"rows": list(NUMBERS)})
    assert "Plain.forward()" in error.message
    assert (error.expected, error.got) == ("its parameters: x", "rows")
    error = refusal(Two(), "EXPORT_INPUT", inputs={"x": list(NUMBERS)})
    assert (error.expected, error.got) == ("its parameters: x, y, scale", "x")


class Two(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return scale * x + y


def test_export_says_what_to_use_instead_of_a_recurrent_network() -> None:
    error = refusal(nn.LSTM(3, 2), "EXPORT_FORM", inputs={"input": list(NUMBERS)})
    assert (error.message, error.got) == ("the module (LSTM): forward() returns no tensor", "tuple")
    assert "nn.TransformerEncoderLayer" in (error.hint or "")


class Branching(nn.Module):
    def forward(this, x: torch.Tensor) -> torch.Tensor:  # noqa: N805  (any name will do)
        print("mine", file=sys.stderr)
        return x if x.sum() > 0 else -x


def test_torch_prints_nothing_beside_the_error_and_the_module_what_it_likes(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = refusal(Branching(), "EXPORT_FORM")
    assert error.message.startswith(f"module (Branching), {__file__}:")
    shown = capfd.readouterr()
    assert (shown.out, set(shown.err.split())) == ("", {"mine"})
    monkeypatch.setattr(tracing, "_Quietly", nullcontext)  # the control: torch would
    refusal(Branching(), "EXPORT_FORM")
    assert "def forward(self, arg0_1" in capfd.readouterr().err
