"""The provider and the auditor: each comes once."""

from __future__ import annotations

from chiron_stream import Auditor, InsecureSimulation, ModelProvider
from chiron_stream.local.directory import JobDirectory
from chiron_stream.wire.receipts import Plan
from examples.demo.data import AUDITOR, PROVIDER, Data


def publish_recipe(directory: JobDirectory, data: Data) -> None:
    """Have the provider seal and publish its recipe; return when it is imported."""
    job, identity = directory.job(), directory.identity(PROVIDER)
    with ModelProvider(job, identity, evidence=InsecureSimulation()) as provider:
        provider.publish(data.spec.export(job.policy.schema.kinds()))


def plans(directory: JobDirectory) -> list[Plan]:
    """Return the plan of every round, opened with the auditor's key."""
    job, identity = directory.job(), directory.identity(AUDITOR)
    with Auditor(job, identity, evidence=InsecureSimulation()) as auditor:
        return auditor.plans()
