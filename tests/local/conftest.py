"""Fixtures of whole-job tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chiron_stream.recipe import Recipe
from enclave_workers.core import membership
from enclave_workers.core.coordinator import presence
from enclave_workers.local import LocalJob
from tests.local import jobs


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """A recipe that every job here can train."""
    return jobs.export()


@pytest.fixture(scope="module")
def serving(recipe: Recipe) -> Iterator[LocalJob]:
    """A finished job that serves."""
    with LocalJob(jobs.terms()) as job:
        jobs.train(job, recipe)
        yield job


@pytest.fixture(scope="module")
def silent() -> Iterator[LocalJob]:
    """A job with no model: its coordinator admits sessions, and nobody answers."""
    with LocalJob(jobs.terms(), workers={"coordinator": 1}) as job:
        yield job


@pytest.fixture
def _quick_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notice dead workers sooner than in production: beats and the limit shrink together."""
    monkeypatch.setattr(membership, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(presence, "LOST_AFTER", 1.5)
