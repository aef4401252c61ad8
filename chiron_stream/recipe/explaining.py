"""What a recipe holds, what a worker needs for it, and who would learn what: before publishing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from chiron_stream.clients.publication import rows_that_fit
from chiron_stream.graph.batching import number_of_steps
from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.definition import Graph, Input
from chiron_stream.graph.layout import bytes_of, layout
from chiron_stream.graph.settings import Setting
from chiron_stream.job.policy import Policy
from chiron_stream.recipe.learning import Channel, channels

MERGE_BYTES: Final = 30_000_000
"""Of chunks on their way through a merge, whatever the state (docs/operating.md)."""


@dataclass(frozen=True)
class Memory:
    """What each core needs for a recipe, in bytes at most, beside Python and torch themselves.

    :param trainer: four copies of the state (base, in training, and twice on its way out) and
        whatever one step allocates; the rows of a slot come on top.
    :param coordinator: three copies of the state, and the chunks that pass by, while a round is
        merged.
    :param predictor: three copies of the state, while a release replaces another, and a run.
    """

    trainer: int
    coordinator: int
    predictor: int


@dataclass(frozen=True)
class Steps:
    """How many optimizer steps an owner's rows come to.

    :param rows_per_shard: of a full shard.
    :param shard: steps of a slot that has one full shard.
    :param shards_per_slot: of the policy.
    :param slot: steps of a full slot.
    """

    rows_per_shard: int
    shard: int
    shards_per_slot: int
    slot: int


@dataclass(frozen=True)
class Explanation:
    """Facts about a recipe. ``str()`` of it is for people, :meth:`to_json` for programs.

    :param inputs: with the columns that they are made of.
    :param output_shape: of the prediction for one row.
    :param parameters: elements, all tensors together; of ``parameter_tensors`` tensors.
    :param trained: elements that the optimizer changes.
    :param buffers: tensors; ``counters`` of them only count.
    :param train_ops: how often each operation stands in the train graph; ``eval_ops`` likewise.
    :param weights_bytes: of what is published beside the definition: parameters and buffers.
    :param state_bytes: of what training carries from round to round: those, and the optimizer's.
    :param step_bytes: allocated by one step of training, freed or not; a bound on its memory.
    :param prediction_bytes: the same of one run of a predictor.
    :param definition: SHA-256 of the definition, in hexadecimal.
    :param steps: None without a policy.
    :param learns: who would learn what of the rows, in bits; empty without a policy.
    """

    inputs: tuple[Input, ...]
    target: Input
    output_shape: tuple[int, ...]
    parameters: int
    parameter_tensors: int
    trained: int
    buffers: int
    counters: int
    train_ops: Mapping[str, int]
    eval_ops: Mapping[str, int]
    weights_bytes: int
    state_bytes: int
    step_bytes: int
    prediction_bytes: int
    memory: Memory
    optimizer: Setting
    schedule: Setting
    clip_norm: float | None
    batch_size: int
    definition: str
    steps: Steps | None
    learns: tuple[Channel, ...]

    def to_json(self) -> dict[str, Any]:
        """Return every field as what JSON can hold."""
        settings = {name: getattr(self, name).to_json() for name in ("optimizer", "schedule")}
        return {**asdict(self), **settings}

    def __str__(self) -> str:
        """Return some twenty lines."""
        return "\n".join([*self._of_graph(), *self._of_training(), *self._of_policy()])

    def _of_graph(self) -> list[str]:
        tensors, trained = self.parameter_tensors, self.trained
        return [
            *(f"input      {_input(one)}" for one in self.inputs),
            f"target     {_input(self.target)}",
            f"output     float32 {_shape(self.output_shape)}",
            f"parameters {self.parameters:,} in {tensors} tensors, {trained:,} trained",
            f"buffers    {self.buffers}, {self.counters} of them counters",
            f"train      {_operations(self.train_ops)}",
            f"eval       {_operations(self.eval_ops)}",
            f"weights    {size(self.weights_bytes)}",
            f"state      {size(self.state_bytes)} from round to round",
        ]

    def _of_training(self) -> list[str]:
        return [
            f"memory     at most {size(self.step_bytes)} for a step of training",
            f"           at most {size(self.prediction_bytes)} for a prediction",
            "workers    beside torch itself, and the rows of a slot:",
            f"           at most {size(self.memory.trainer)} in a trainer",
            f"           at most {size(self.memory.coordinator)} in the coordinator",
            f"           at most {size(self.memory.predictor)} in a predictor",
            f"optimizer  {_setting(self.optimizer)}",
            f"schedule   {_setting(self.schedule)}",
            f"clip norm  {self.clip_norm or 'none'}",
            f"batch      {self.batch_size} rows",
            f"definition {self.definition}",
        ]

    def _of_policy(self) -> list[str]:
        if self.steps is None:
            return []
        one = self.steps
        return [
            f"steps      {one.shard:,} a full shard of {one.rows_per_shard:,} rows",
            f"           {one.slot:,} a full slot of {one.shards_per_slot} shards",
            *learned(self.learns),
        ]


def explain(
    recipe: CheckedRecipe, policy: Policy | None = None, rows_per_shard: int | None = None
) -> Explanation:
    """Return what there is to know of a recipe.

    :param policy: of a job that takes it.
    :param rows_per_shard: as owners will publish; what fits the largest shard class by default.
    """
    definition = recipe.definition
    elements = {one.id: one.bytes // 4 for one in definition.parameters}
    state = bytes_of(layout(recipe, stepped=True))
    return Explanation(
        inputs=definition.inputs,
        target=definition.target,
        output_shape=recipe.output_shape,
        parameters=sum(elements.values()),
        parameter_tensors=len(elements),
        trained=sum(elements[one] for one in recipe.trained),
        buffers=len(definition.buffers),
        counters=len(recipe.counters),
        train_ops=_counted(definition.train),
        eval_ops=_counted(definition.evaluate),
        weights_bytes=definition.state_bytes,
        state_bytes=state,
        step_bytes=recipe.train_bytes,
        prediction_bytes=recipe.eval_bytes,
        memory=_memory(state, recipe),
        optimizer=definition.optimizer,
        schedule=definition.schedule,
        clip_norm=definition.clip_norm,
        batch_size=definition.batch_size,
        definition=recipe.digest.hex(),
        steps=None if policy is None else _steps(recipe, policy, rows_per_shard),
        learns=() if policy is None else channels(policy),
    )


def learned(found: tuple[Channel, ...]) -> list[str]:
    """Return the lines that say who learns what."""
    if not found:
        return []
    return ["who learns what of the rows, in bits at most", *(f"  {one}" for one in found)]


def size(count: int) -> str:
    """Return a number of bytes for people."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count:,} bytes"


def _memory(state: int, recipe: CheckedRecipe) -> Memory:
    return Memory(
        trainer=4 * state + recipe.train_bytes,
        coordinator=3 * state + MERGE_BYTES,
        predictor=3 * state + recipe.eval_bytes,
    )


def _steps(recipe: CheckedRecipe, policy: Policy, rows_per_shard: int | None) -> Steps:
    rows = rows_that_fit(policy) if rows_per_shard is None else rows_per_shard
    shards, batch = policy.schedule.shards_per_slot, recipe.definition.batch_size
    return Steps(
        rows_per_shard=rows,
        shard=number_of_steps(rows, batch),
        shards_per_slot=shards,
        slot=number_of_steps(rows * shards, batch),
    )


def _counted(graph: Graph) -> dict[str, int]:
    return dict(sorted(Counter(node.op for node in graph.nodes).items()))


def _input(one: Input) -> str:
    names = ", ".join(one.columns[:6]) + (", …" if len(one.columns) > 6 else "")
    return f"{one.dtype} {_shape(one.row_shape)} from {names}"


def _shape(row: tuple[int, ...]) -> str:
    return f"[{', '.join(['rows', *map(str, row)])}]"


def _operations(counts: Mapping[str, int]) -> str:
    names = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{sum(counts.values())} operations: {names}"


def _setting(setting: Setting) -> str:
    table = setting.to_json()
    kind = table.pop("kind")
    return " ".join([kind, *(f"{name}={value}" for name, value in table.items())])
