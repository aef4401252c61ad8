"""A trainer that reports another update than it made: found out before anything rests on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chiron_stream.recipe import Recipe
from chiron_stream.wire.workers import Report, SlotResult
from enclave_workers.core.membership import Membership
from enclave_workers.local import LocalJob
from tests.local import jobs

CORES = {"coordinator": 1, "trainer": 2}


def lie_once(monkeypatch: pytest.MonkeyPatch, **parts: Any) -> list[bytes]:
    """Let the first result of a slot differ in some fields; return the boot that lied."""
    honest = Membership.report
    liars: list[bytes] = []

    def report(self: Membership, topic: str, body: Report) -> None:
        if isinstance(body, SlotResult) and not liars:
            liars.append(self.boot.id)
            body = replace(body, **parts)
        honest(self, topic, body)

    monkeypatch.setattr(Membership, "report", report)
    return liars


@pytest.mark.parametrize("field", ["digest", "parameters"])
def test_update_that_is_not_the_reported_one_is_not_merged_and_its_trainer_goes(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    liars = lie_once(monkeypatch, **{field: bytes([1]) * 32})
    with LocalJob(jobs.terms(), workers=CORES) as job:
        job.wait(lambda status: status.workers == 2)
        jobs.train(job, recipe)
        assert liars
        assert job.status is not None
        assert job.status.workers == 1
        assert jobs.same_bits(job)
