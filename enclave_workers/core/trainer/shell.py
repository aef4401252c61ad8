"""The trainer: reads a slot's recipe, base and shards, trains, seals the update, reports.

It also evaluates releases, on rows that never train.
"""

from __future__ import annotations

import os
import threading
from typing import Final

import numpy as np

from chiron_stream.errors import RecipeRefused, SchemaMismatch, TamperDetected
from chiron_stream.graph import numerics, state, training
from chiron_stream.graph.batching import number_of_steps
from chiron_stream.job.columns import Array, find_fault, unpack_columns
from chiron_stream.job.file import Job
from chiron_stream.job.measures import Measured
from chiron_stream.wire.canonical import EncodingRefused
from chiron_stream.wire.document import fixed
from chiron_stream.wire.objects import ObjectRef
from chiron_stream.wire.tasks import EvaluateTask, KeyedObject, ShardGrant, SlotTask, Task
from chiron_stream.wire.workers import Evaluated, Outcome, Ready, ShardFault, SlotResult
from enclave_workers.core.following import follow
from enclave_workers.core.link import Link
from enclave_workers.core.lookup import UPDATES, read_object, read_shard, write_object
from enclave_workers.core.membership import NO_TASK, Membership
from enclave_workers.core.recent import Recent
from enclave_workers.core.recipes import BoundRecipe, bound_recipe, parameters_digest
from enclave_workers.core.tee import Tee
from enclave_workers.core.trainer import evaluating

Columns = dict[str, Array]

MAX_FAULTS: Final = 128
"""Faults of one report, at most: a report is bounded. What is left shows in the next task."""


_GENERATOR: Final = threading.Lock()
"""Held while a slot trains: dropout draws from the one generator that a process has.

A core has one trainer, so nobody waits for it there. Trainers that share a process, as in
``enclave_workers.local``, take turns, slot by slot.
"""


class _Faulty(Exception):
    """Shards of a task that cannot be used."""

    def __init__(self, outcome: Outcome, faults: tuple[ShardFault, ...]) -> None:
        super().__init__(outcome.name)
        self.outcome = outcome
        self.faults = faults


class _Void(Exception):
    """A shard whose content is invalid, and why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Drained(Exception):
    """The worker was asked to end: the task is for another."""


class Trainer:
    """One boot of a trainer; caches the recipe and the state that it made or read last."""

    def __init__(self, link: Link, job: Job, tee: Tee, now: int, threads: int) -> None:
        self._link = link
        self._policy = job.policy
        found = numerics.configure_numerics(threads)
        self._numerics = "/".join(str(found[name]) for name in ("torch", "isa", "threads"))
        self._membership = Membership(link, job, "trainer", tee, now)
        self._recipe: Recent[BoundRecipe] = Recent()
        self._base: Recent[state.ModelState] = Recent()
        self._steps = 0  # blocks of evaluations, for heartbeats

    def run(self) -> None:
        """Train until the courier goes away."""
        follow(self._link, self._membership, self._take, welcomed=self._ready)

    def _ready(self) -> None:
        self._membership.report("workers", Ready(self._numerics))

    def _take(self, task: Task) -> None:
        if not isinstance(task, SlotTask | EvaluateTask):
            raise TamperDetected("a trainer was told to serve", code="TASK")
        self._membership.at_work(task.task, 0)
        try:
            self._membership.report("updates", self._done(task))
        except _Drained:
            self._membership.leave()
        finally:
            self._membership.at_work(NO_TASK, 0)

    def _done(self, task: SlotTask | EvaluateTask) -> SlotResult | Evaluated:
        return self._found(task) if isinstance(task, SlotTask) else self._judged(task)

    def _found(self, task: SlotTask) -> SlotResult:
        try:
            return self._trained(task)
        except _Faulty as faulty:
            return self._result(task, faulty.outcome, faults=faulty.faults)

    def _trained(self, task: SlotTask) -> SlotResult:
        recipe = self._read_recipe(task)
        base = self._read_base(task.base, recipe)
        columns, rows = self._read_columns(task)
        bits, measured = self._policy.disclosure.progress_bits, Measured()
        try:
            with _GENERATOR:
                model = training.train_slot(
                    recipe.checked,
                    base,
                    columns,
                    seed=task.seed,
                    first_step=task.first_step,
                    on_step=lambda step: self._stepped(task, step),
                    measure=measured if bits else None,
                )
        except (RecipeRefused, SchemaMismatch) as error:
            raise _Faulty(Outcome.VOID, _all_void(task, error.code)) from None
        if not state.finite(model):
            raise _Faulty(Outcome.VOID, _all_void(task, "NOT_FINITE"))
        data = state.dump(model)
        ref = self._written(task, data)
        self._base.put(ref.digest, model)
        loss, gradient = measured.levels(bits) if bits else (0, 0)
        return SlotResult(
            task=task.task,
            outcome=Outcome.TRAINED,
            update=ref,
            digest=ref.digest,
            parameters=parameters_digest(data, recipe.parameter_bytes),
            rows=rows,
            steps=number_of_steps(rows, recipe.batch_size),
            faults=(),
            numerics=self._numerics,
            loss=fixed(loss),
            gradient=gradient,
        )

    def _written(self, task: SlotTask, data: bytes) -> ObjectRef:
        """Write an update where slots of its round that are written now do not lie in between."""
        partition = task.slot % self._link.partitions(UPDATES)
        return write_object(self._link, UPDATES, task.update_key, os.urandom(16), data, partition)

    def _judged(self, task: EvaluateTask) -> Evaluated:
        try:
            rows, value = self._score(task)
        except _Faulty as faulty:
            faults = faulty.faults[:MAX_FAULTS]
            return Evaluated(task.task, faulty.outcome, 0, fixed(0), faults, self._numerics)
        return Evaluated(task.task, Outcome.TRAINED, rows, fixed(value), (), self._numerics)

    def _score(self, task: EvaluateTask) -> tuple[int, int]:
        """Return rows and value of the score, shard after shard: one is in memory at a time."""
        recipe = self._read_recipe(task)
        model = self._read_base(task.state, recipe, keep=False)
        parked: list[ShardFault] = []
        void: list[ShardFault] = []
        tally = 0
        for place, grant in enumerate(task.shards):
            try:
                tally += self._tally(task, grant, recipe, model)
            except TamperDetected as error:
                parked.append(ShardFault(place, error.code))
            except _Void as fault:
                void.append(ShardFault(place, fault.reason[:300]))
        if parked or void:
            raise _Faulty(Outcome.PARKED if parked else Outcome.VOID, tuple(parked or void))
        rows = sum(grant.rows for grant in task.shards)
        return rows, evaluating.score(self._policy.schema.target, tally, rows)

    def _tally(
        self, task: EvaluateTask, grant: ShardGrant, recipe: BoundRecipe, model: state.ModelState
    ) -> int:
        columns, fault = self._unpacked(grant, read_shard(self._link, grant))
        if fault is not None:
            raise _Void(fault)
        batch = max(2, self._policy.predictor_batch)
        target, tally = self._policy.schema.target, 0
        try:
            for block in evaluating.blocks(recipe.checked, model, columns, target, batch):
                tally += block
                self._steps += 1
                self._stepped(task, self._steps)
        except (RecipeRefused, SchemaMismatch) as error:
            raise _Void(error.code) from None
        return tally

    def _stepped(self, task: SlotTask | EvaluateTask, step: int) -> None:
        self._membership.at_work(task.task, step + 1)
        if self._link.draining:
            raise _Drained

    def _result(
        self, task: SlotTask, outcome: Outcome, faults: tuple[ShardFault, ...]
    ) -> SlotResult:
        return SlotResult(
            task=task.task,
            outcome=outcome,
            update=None,
            digest=bytes(32),
            parameters=bytes(32),
            rows=0,
            steps=0,
            faults=faults[:MAX_FAULTS],
            numerics=self._numerics,
        )

    def _read_recipe(self, task: SlotTask | EvaluateTask) -> BoundRecipe:
        def read() -> BoundRecipe:
            return bound_recipe(self._policy, read_object(self._link, task.definition))

        return self._recipe.get(task.definition.ref.digest, read)

    def _read_base(
        self, keyed: KeyedObject, recipe: BoundRecipe, *, keep: bool = True
    ) -> state.ModelState:
        """Return a state; the one at hand stays at hand where this one is not to be kept."""

        def read() -> state.ModelState:
            return state.load(recipe.checked, read_object(self._link, keyed))

        digest = keyed.ref.digest
        if keep or self._base.holds(digest):
            return self._base.get(digest, read)
        return read()

    def _read_columns(self, task: SlotTask) -> tuple[Columns, int]:
        """Return the slot's rows, shard after shard in the task's order.

        :raises _Faulty: PARKED for shards that are missing or altered; else VOID for shards whose
            content is invalid. Parked ones come first: what they hold may be invalid too.
        """
        contents: list[bytes] = []
        parked = []
        for place, grant in enumerate(task.shards):
            try:
                contents.append(read_shard(self._link, grant))
            except TamperDetected as error:
                parked.append(ShardFault(place, error.code))
        if parked:
            raise _Faulty(Outcome.PARKED, tuple(parked))
        parts, void = [], []
        for place, (grant, content) in enumerate(zip(task.shards, contents, strict=True)):
            columns, fault = self._unpacked(grant, content)
            parts.append(columns)
            if fault is not None:
                void.append(ShardFault(place, fault[:300]))
        if void:
            raise _Faulty(Outcome.VOID, tuple(void))
        return _joined(parts), sum(grant.rows for grant in task.shards)

    def _unpacked(self, grant: ShardGrant, content: bytes) -> tuple[Columns, str | None]:
        try:
            columns, rows = unpack_columns(self._policy.schema, content, purpose="train")
        except EncodingRefused as error:
            return {}, f"{error.code}: {error}"
        if rows != grant.rows:
            return columns, f"ROWS: {grant.rows} rows were announced, {rows} came"
        return columns, find_fault(self._policy.schema, columns)


def _all_void(task: SlotTask, code: str) -> tuple[ShardFault, ...]:
    return tuple(ShardFault(place, code) for place in range(len(task.shards)))


def _joined(parts: list[Columns]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def run(link: Link, job: Job, tee: Tee, now: int, threads: int) -> None:
    """Run a trainer until its courier goes away or asks for the end."""
    Trainer(link, job, tee, now, threads).run()
