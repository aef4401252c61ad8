"""Numbers too small for a normal float32: what trainers flush to zero, the merge flushes too."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from torch import nn

from chiron_stream.graph.numerics import configure_numerics
from chiron_stream.recipe import Constant, Recipe, parameters_sha256, reference_loop
from enclave_workers.local import LocalJob
from tests.local import jobs

DECAY = partial(torch.optim.SGD, lr=0.1, weight_decay=1.0)
COUNTS = {"alice": 120, "anna": 120}
"""Slots of 50 and of 20 rows, of 4 and of 2 steps."""


class Fading(nn.Module):
    """A linear layer, beside weights that only decay, by a tenth each step.

    From 1.5e-38 they are still a normal float32 (at least 1.18e-38) behind two steps, and zero
    behind four; the average of the two is no normal number.
    """

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(2, 2)
        self.fading = nn.Parameter(torch.full((4,), 1.5e-38))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.line(x) + torch.relu(self.fading - 1.0).sum()
        return found


def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(Fading())


def reference(job: LocalJob) -> list[str]:
    """Return the digests of parameters that plain PyTorch comes to: all of them, the fading."""

    def run() -> list[str]:
        configure_numerics()
        module = model()
        rounds = jobs.rounds(job, COUNTS)
        reference_loop(module, nn.CrossEntropyLoss(), DECAY, Constant(), rounds)
        fading = dict(module.named_parameters())["0.fading"]
        return [parameters_sha256(module), str(fading.tolist())]

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def test_merge_flushes_what_trainers_flush() -> None:
    recipe = Recipe.export(
        model(),
        loss=nn.CrossEntropyLoss(),
        inputs={"input": ["east", "north"]},
        target="side",
        optimizer=DECAY,
        batch_size=jobs.BATCH,
    )
    terms = jobs.terms(schedule={"slots": 6, "shards_per_slot": 1, "passes": 1})
    with LocalJob(terms, workers={"coordinator": 1, "trainer": 1}) as job:
        job.provider().publish(recipe)
        for owner, count in COUNTS.items():
            jobs.publish(job, owner, count)
        jobs.finish(job)
        (plan,) = jobs.plans(job)
        assert sorted(slot.steps for slot in plan.slots) == [2, 2, 4, 4, 4, 4]
        digest, fading = reference(job)
        assert fading == str([0.0] * 4)
        assert plan.parameters.hex() == digest
