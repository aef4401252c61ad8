"""A make-believe Intel for the session, and a genuine trainer under it."""

from __future__ import annotations

import pytest

from chiron_stream.simulation.authority import Authority
from tests.unit.attestation.workers import NOW, Worker


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority.generate(NOW)


@pytest.fixture
def worker(authority: Authority) -> Worker:
    return Worker(authority)
