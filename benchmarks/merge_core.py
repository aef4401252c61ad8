"""The core of :mod:`benchmarks.merging`: merges when it is told to, as a coordinator's core does.

``python -m benchmarks.merge_core ROLE``, started by a courier. Each record on ``tasks`` is an order
in JSON, answered on ``updates``. The first one has it write a recipe, a base and updates of random
numbers; every other has it merge, over its own link, on top of the version that it merged last.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from chiron_stream.graph.layout import Segment, bytes_of, layout
from chiron_stream.job.file import Job, loads
from chiron_stream.recipe import Recipe as Model
from chiron_stream.wire import labels
from chiron_stream.wire.control import RecipeManifest
from chiron_stream.wire.courier import Send
from chiron_stream.wire.crypto import derive
from chiron_stream.wire.objects import ObjectRef
from chiron_stream.wire.session import Purpose, SessionKeys
from chiron_stream.wire.workers import Outcome, SlotResult
from enclave_workers.core import __main__ as entry
from enclave_workers.core.coordinator.events import Merged
from enclave_workers.core.coordinator.importing import ModelEffects
from enclave_workers.core.coordinator.state import (
    Context,
    MergeEffect,
    Recipe,
    Session,
    State,
    Version,
)
from enclave_workers.core.link import Link
from enclave_workers.core.lookup import write_object
from enclave_workers.core.recipes import parameters_digest

SESSION: Final = bytes(16)
KEY: Final = bytes(32)
ROWS: Final = 1000


def model(width: int) -> Model:
    """Return a recipe with ``width² + 25·width`` numbers, and as many of momentum."""
    torch.manual_seed(0)
    return Model.export(
        nn.Sequential(
            *(nn.Linear(20, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()),
            nn.Linear(width, 2),
        ),
        loss=nn.CrossEntropyLoss(),
        inputs={"input": "x"},
        target="y",
        optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        batch_size=8,
        columns={"x": ("tensor", (20,)), "y": ("label", ())},
    )


def state_bytes(segments: Sequence[Segment], seed: int) -> bytes:
    """Return a state of random numbers behind one step."""
    generator = np.random.default_rng(seed)

    def part(one: Segment) -> bytes:
        if one.dtype == "f32":
            return generator.standard_normal(one.count, dtype=np.float32).tobytes()
        return (1).to_bytes(one.bytes, "little")

    return b"".join(map(part, segments))


def courier_seconds() -> float:
    """Return the CPU time of this core's courier."""
    fields = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Stand:
    """A coordinator whose round waits to be merged."""

    def __init__(self, link: Link, job: Job, width: int, slots: int) -> None:
        self._link = link
        self._context = Context(job.policy, job.job_id, job.head, KEY)
        made = model(width)
        segments = layout(made.checked, stepped=True)
        size = made.checked.definition.state_bytes
        session = Session(bytes(32), Purpose.RECIPE, bytes(32), "", 0, 0, bytes(32))
        recipe_key = SessionKeys(SESSION, session.prk).recipe
        definition = self._write("bulk", recipe_key, made.definition)
        base = state_bytes(segments, 0)
        ref = self._write("coordinator-chunks", derive(KEY, labels.K_VERSION, 0), base)
        self._partitions = link.partitions("update-chunks")
        self._state = State(
            sessions={SESSION: session},
            recipe=Recipe(SESSION, RecipeManifest(definition, definition), 8, size),
            version=Version(0, ref, ref.digest, parameters_digest(base, size), 0),
        )
        self._models = ModelEffects(link, self._context)
        self._results = tuple(self._result(segments, size, slot) for slot in range(slots))
        self.bytes = bytes_of(segments)

    def _write(self, topic: str, key: bytes, content: bytes, partition: int = 0) -> ObjectRef:
        return write_object(self._link, topic, key, os.urandom(16), content, partition)

    def _result(self, segments: Sequence[Segment], size: int, slot: int) -> SlotResult:
        task, data = (slot + 1).to_bytes(32, "big"), state_bytes(segments, slot + 1)
        key, partition = derive(KEY, labels.K_UPDATE, task), slot % self._partitions
        ref = self._write("update-chunks", key, data, partition)
        return SlotResult(
            task=task,
            outcome=Outcome.TRAINED,
            update=ref,
            digest=ref.digest,
            parameters=parameters_digest(data, size),
            rows=ROWS + slot,
            steps=1,
            faults=(),
            numerics="",
        )

    def merge(self, slots: int) -> dict[str, Any]:
        """Merge the first slots on top of the newest version."""
        results = self._results[:slots]
        base = self._state.version
        number = 1 + (base.number if base else 0)
        cpu, courier, began = time.process_time(), courier_seconds(), time.perf_counter()
        effect = MergeEffect(number, number, results)
        event = self._models.merge(self._state, effect)
        seconds = time.perf_counter() - began
        if not isinstance(event, Merged):
            raise TypeError(f"not merged: {event}")
        digest = event.ref.digest
        self._state.version = Version(number, event.ref, digest, event.parameters, number)
        refs = [one.update for one in results if one.update is not None]
        return {
            "seconds": seconds,
            "cpu": time.process_time() - cpu,
            "courier": courier_seconds() - courier,
            "extents": [(one.partition, one.first, one.last) for one in refs],
            "size": sum(one.size for one in refs),
        }


class Orders:
    """Does what the records on ``tasks`` say."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._job = loads(link.begin().text)
        self._stand: Stand | None = None

    def serve(self) -> None:
        """Answer until the courier goes away."""
        self._link.start_writer()
        self._link.tail("tasks", 0)
        while True:
            for line in self._link.poll(1, 100).lines:
                answer = json.dumps(self._answer(json.loads(line.value)))
                self._link.append([Send("updates", 0, answer.encode(), b"", b"")])

    def _answer(self, order: Mapping[str, int]) -> dict[str, Any]:
        if self._stand is not None:
            return self._stand.merge(order["slots"])
        self._stand = Stand(self._link, self._job, order["width"], order["slots"])
        self._stand.merge(1)
        return {"state": self._stand.bytes}


def main(arguments: Sequence[str]) -> int:
    """Run as a core does; return its exit code."""
    with patch.object(entry, "run", lambda _role, link: Orders(link).serve()):
        return entry.main(list(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
