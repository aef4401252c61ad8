"""Fixtures of whole-job tests."""

from __future__ import annotations

import pytest

from chiron_stream.recipe import Recipe
from enclave_workers.core import membership
from enclave_workers.core.coordinator import presence
from tests.local import jobs


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """A recipe that every job here can train."""
    return jobs.export()


@pytest.fixture
def _quick_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notice dead workers sooner than in production: beats and the limit shrink together."""
    monkeypatch.setattr(membership, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(presence, "LOST_AFTER", 1.5)
