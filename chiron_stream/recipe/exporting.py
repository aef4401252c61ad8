"""A recipe: a module, its loss, its optimizer, written as a closed graph and weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import torch
from torch import nn

from chiron_stream.clients.publication import rows_that_fit
from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.checked import CheckedRecipe, Limits, commitment
from chiron_stream.graph.checker import check
from chiron_stream.graph.columns import ColumnKinds, bind
from chiron_stream.graph.definition import Buffer, Definition, Graph, Input, Parameter
from chiron_stream.graph.format import serialize
from chiron_stream.graph.schedules import Constant, Schedule
from chiron_stream.job.policy import Policy
from chiron_stream.job.rows import prepare
from chiron_stream.recipe.bindings import (
    Columns,
    Example,
    Loss,
    bound_inputs,
    bound_target,
    check_parameters,
)
from chiron_stream.recipe.explaining import Explanation, explain
from chiron_stream.recipe.fitting import Places, fitted, located
from chiron_stream.recipe.portions import Cut
from chiron_stream.recipe.rehearsal import Rehearsal
from chiron_stream.recipe.rehearsing import OnProgress, Rehearsing, silent
from chiron_stream.recipe.settings import OptimizerFactory, optimizer_setting
from chiron_stream.recipe.tracing import Evaluating, Training, mode, trace
from chiron_stream.recipe.translation import Translator

_DTYPES: Final = {torch.float32: "f32", torch.int64: "i64", torch.bool: "bool"}


@dataclass(frozen=True)
class Recipe:
    """What a provider publishes.

    :param definition: the closed graph, as JSON.
    :param weights: parameters, then buffers, flat and little-endian.
    :param checked: what the check found, as a worker's will.
    :param places: the module and line that each node of the graphs comes from, for messages; it
        is not published.
    """

    definition: bytes = field(repr=False)
    weights: bytes = field(repr=False)
    checked: CheckedRecipe = field(repr=False)
    places: Places = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def export(
        cls,
        module: nn.Module,
        *,
        loss: Loss,
        inputs: Mapping[str, Columns],
        target: str,
        optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        clip_norm: float | None = None,
        batch_size: int = 128,
        columns: ColumnKinds | None = None,
        example: Example | None = None,
        limits: Limits | None = None,
    ) -> Self:
        """Return the recipe of a module. The module stays as it is.

        :param loss: of (prediction, target); a module may have buffers, but no parameters.
        :param inputs: columns by the names of ``forward()``'s parameters: a list of number columns
            comes as float32 ``[rows, columns]``, one column as it is.
        :param target: the column to predict.
        :param optimizer: such as ``partial(torch.optim.SGD, lr=0.1)``.
        :param schedule: of the learning rate, such as ``Cosine(warmup=500, total=20_000)``;
            constant if not given.
        :param clip_norm: gradients whose norm, all together, is above it are scaled down to it,
            as ``torch.nn.utils.clip_grad_norm_`` does.
        :param batch_size: rows of a training batch, at least 2.
        :param columns: kinds and shapes of the schema's columns; then the binding is checked too.
        :param example: tensors ``[rows, ...]`` by parameter (and target column), where a single
            column is no category.
        :param limits: of the job.
        :raises RecipeRefused: EXPORT_…, naming module and line, or what the check refuses.
        """
        check_parameters(module, inputs)
        definition, places = _definition(
            _Parts(module, loss, tuple(inputs)),
            bound_inputs(inputs, columns, example or {}),
            bound_target(len(inputs), target, loss, columns, example or {}),
            _Plan(optimizer, schedule or Constant(), batch_size, clip_norm),
        )
        if columns is not None:
            bind(definition, columns)
        data = serialize(definition)
        weights = b"".join(_bytes(one) for _, one in _Parts(module, loss, ()).tensors())
        with located(places):
            return cls(data, weights, check(data, limits), places)

    @property
    def commitment(self) -> bytes:
        """What the job's policy names this recipe by (32 bytes)."""
        return commitment(self.definition, self.weights)

    def fitted(self, policy: Policy) -> CheckedRecipe:
        """Return what the coordinator of a job will hold of this recipe.

        :raises RecipeRefused: the coordinator would refuse it, with the same code.
        """
        return fitted(self.definition, self.weights, policy, self.places)

    def explain(
        self, policy: Policy | None = None, *, rows_per_shard: int | None = None
    ) -> Explanation:
        """Return what the recipe holds and needs: to print, or by field.

        :param policy: of the job that it is for; then also steps and who learns what, in bits.
        :param rows_per_shard: as owners will publish; what fits by default.
        :raises RecipeRefused: the coordinator of that job would refuse it.
        """
        checked = self.checked if policy is None else self.fitted(policy)
        return explain(checked, policy, rows_per_shard)

    def rehearse(
        self,
        sample: Any,
        policy: Policy,
        *,
        passes: int | None = None,
        rows_per_shard: int | None = None,
        held_out: float = 0.2,
        seed: int = 0,
        threads: int = 1,
        progress: OnProgress = silent,
    ) -> Rehearsal:
        """Train on rows of one's own, at home, as a worker would; print what comes back.

        Rows are checked as an owner's are when they are published. Each slot is a round.

        :param sample: a mapping of names to arrays, a data frame or a structured array.
        :param policy: of the job that the recipe is for.
        :param passes: the policy's by default.
        :param rows_per_shard: as owners will publish; what fits by default.
        :param held_out: share of the rows that is scored and does not train.
        :param seed: of all that is drawn: the same seed gives the same bits.
        :param threads: of torch, as the trainers will have.
        :param progress: called behind each step, from another thread, with the steps done, all
            steps and the loss.
        :raises UsageRefused: an argument that cannot mean anything.
        :raises SchemaMismatch: the sample does not fit the schema; names column and row.
        :raises RecipeRefused: the coordinator would refuse the recipe, or a trainer would leave a
            slot out; the hint names module and line where there is one to name.
        """
        checked = self.fitted(policy)
        prepared = prepare(policy.schema, sample)
        rows = rows_that_fit(policy) if rows_per_shard is None else rows_per_shard
        plan = policy.schedule
        sweeps = plan.passes if passes is None else passes
        cut = Cut(held_out, rows, plan.shards_per_slot, sweeps, seed)
        run = Rehearsing(checked, self.weights, self.places, prepared, policy, cut, progress)
        return run.run(threads)


@dataclass(frozen=True)
class _Parts:
    """The provider's module and loss, and the names of forward()'s parameters."""

    module: nn.Module
    loss: Loss
    names: tuple[str, ...]

    def owners(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the modules that hold tensors, with the names that the wrappers give them."""
        yield "module", self.module
        if isinstance(self.loss, nn.Module):
            yield "loss", self.loss

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield parameters, then buffers, each once, in the order of ids."""
        for prefix, owner in self.owners():
            yield from owner.named_parameters(prefix)
        for prefix, owner in self.owners():
            yield from owner.named_buffers(prefix)

    def ids(self, first: int) -> dict[str, int]:
        """Return the id of each parameter and buffer under all of its names."""
        numbers = {id(one): n for n, (_, one) in enumerate(self.tensors(), first)}
        found = {}
        for prefix, owner in self.owners():
            for name, one in owner.named_parameters(prefix, remove_duplicate=False):
                found[name] = numbers[id(one)]
            for name, buffer in owner.named_buffers(prefix, remove_duplicate=False):
                found[name] = numbers[id(buffer)]
        return found


@dataclass(frozen=True)
class _Plan:
    """How the module is trained."""

    optimizer: OptimizerFactory
    schedule: Schedule
    batch_size: int
    clip_norm: float | None


def _definition(
    parts: _Parts,
    inputs: tuple[Input, ...],
    target: Input,
    plan: _Plan,
) -> tuple[Definition, dict[str, dict[int, str]]]:
    """Return the definition, and for each graph where its nodes come from."""
    parameters, buffers = _declared(parts, target.id + 1)
    first = target.id + 1 + len(parameters) + len(buffers)
    tensors = parts.ids(target.id + 1)
    graphs: dict[str, Graph] = {}
    places = {}
    for name in ("train", "eval"):
        translator = _translator(parts, inputs, target if name == "train" else None, tensors, first)
        graphs[name] = translator.graph()
        places[name] = translator.places
    definition = Definition(
        inputs,
        target,
        parameters,
        buffers,
        graphs["train"],
        graphs["eval"],
        optimizer_setting(plan.optimizer, parts.module),
        plan.schedule,
        plan.batch_size,
        plan.clip_norm,
    )
    return definition, places


def _translator(
    parts: _Parts,
    inputs: tuple[Input, ...],
    target: Input | None,
    tensors: Mapping[str, int],
    first: int,
) -> Translator:
    wrapper: Training | Evaluating
    if target is None:
        wrapper = Evaluating(parts.module, parts.names)
    else:
        wrapper = Training(parts.module, parts.loss, parts.names)
    with mode(wrapper, training=target is not None):
        program = trace(wrapper, inputs, target)
    numbers = [one.id for one in inputs] + ([] if target is None else [target.id])
    return Translator(program, tensors, numbers, first)


def _declared(parts: _Parts, first: int) -> tuple[tuple[Parameter, ...], tuple[Buffer, ...]]:
    parameters: list[Parameter] = []
    buffers: list[Buffer] = []
    for number, (name, one) in enumerate(parts.tensors(), first):
        dtype = _dtype(name, one)
        shape = tuple(one.shape)
        if isinstance(one, nn.Parameter):
            _check_parameter(name, one)
            parameters.append(Parameter(number, dtype, shape, one.requires_grad))
        else:
            buffers.append(Buffer(number, dtype, shape))
    return tuple(parameters), tuple(buffers)


def _dtype(name: str, one: torch.Tensor) -> str:
    if one.dtype not in _DTYPES or one.device.type != "cpu":
        raise RecipeRefused(
            f"{name.removeprefix('module.')} is refused",
            code="EXPORT_FORM",
            expected="float32, int64 or bool on the CPU",
            got=f"{one.dtype} on {one.device}",
        )
    return _DTYPES[one.dtype]


def _check_parameter(name: str, one: nn.Parameter) -> None:
    if name.startswith("loss.") or one.dtype != torch.float32:
        raise RecipeRefused(
            f"parameter {name} is refused",
            code="EXPORT_FORM",
            expected="float32 parameters, in the module and not in the loss",
            got=f"{one.dtype}",
        )
    if not one.is_contiguous() or one._backward_hooks:
        raise RecipeRefused(
            f"parameter {name.removeprefix('module.')} is refused",
            code="EXPORT_FORM",
            expected="contiguous parameters (no channels_last) without hooks on gradients",
            got="another layout" if not one.is_contiguous() else "a hook",
        )


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().numpy().tobytes()
