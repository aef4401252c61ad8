"""The directory of a job on one machine: terms, keys of all its parties, the job file.

For development and demonstrations: in production each party keeps its own identity, and evidence
comes from hardware. Every directory made here is SIMULATED.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chiron_stream.attestation.evidence import (
    ROLES,
    SIMULATED,
    EvidencePolicy,
    RoleMeasurements,
)
from chiron_stream.clients.identity import Identity
from chiron_stream.errors import ConfigurationRefused, UsageRefused
from chiron_stream.job import file
from chiron_stream.job.file import Job, JobFile
from chiron_stream.job.policy import DataSet, Member, Policy, Role, Schedule
from chiron_stream.job.terms import Terms
from chiron_stream.simulation.authority import Authority
from chiron_stream.simulation.files import core_measurement
from chiron_stream.wire import labels

JOB_FILE: Final = "job.json"


@dataclass(frozen=True)
class JobDirectory:
    """Where everything of one job on this machine is."""

    path: Path
    file_name: str = JOB_FILE

    @classmethod
    def of(cls, path: Path) -> JobDirectory:
        """Return the directory that a path names: itself, or where a job file is."""
        resolved = path.resolve()
        return cls(resolved.parent, resolved.name) if resolved.is_file() else cls(resolved)

    @property
    def job_file(self) -> Path:
        """The job file, for every party and worker."""
        return self.path / self.file_name

    @property
    def quoting(self) -> Path:
        """Keys and socket of the development quoting service."""
        return self.path / "quoting"

    @property
    def broker(self) -> Path:
        """Data and log of the local broker."""
        return self.path / "broker"

    @property
    def run(self) -> Path:
        """Logs and status of running processes."""
        return self.path / "run"

    def identity(self, name: str) -> Path:
        """Return the identity file of a member."""
        return self.path / "keys" / f"{name}.identity"

    def job(self) -> Job:
        """Return the verified job.

        :raises ConfigurationRefused: there is no job here.
        """
        try:
            return file.loads(self.job_file.read_text("utf-8"))
        except FileNotFoundError as error:
            raise ConfigurationRefused(
                f"there is no job in {self.path}",
                expected=f"a directory with {JOB_FILE}",
                hint="run: chiron init NAME",
            ) from error

    def set_bootstrap_servers(self, servers: str) -> None:
        """Write where the broker is into the job file; the signatures do not cover it."""
        found = file.parse(self.job_file.read_text("utf-8"))
        changed = JobFile(found.policy, found.signatures, servers)
        scratch = self.job_file.with_suffix(".new")
        scratch.write_text(file.dumps(changed))
        scratch.rename(self.job_file)


def create(path: Path, terms: Terms, *, bootstrap_servers: str = "127.0.0.1:9092") -> JobDirectory:
    """Make a directory with keys for all members, and a policy that owners and provider signed.

    :raises UsageRefused: the directory exists and is not empty.
    """
    if path.exists() and any(path.iterdir()):
        raise UsageRefused(
            f"{path} is not empty", expected="a new directory", hint="choose another name"
        )
    path.mkdir(parents=True, exist_ok=True)
    directory = JobDirectory(path.resolve())
    identities = {}
    for name in terms.members:
        identities[name] = Identity.generate(name)
        identities[name].save(directory.identity(name))
    authority = Authority.create(directory.quoting)
    policy = _policy(terms, identities, _evidence(authority))
    policy.check()
    packed = policy.pack()
    made = JobFile(packed, (), bootstrap_servers)
    for name in (*terms.owners, terms.provider):
        one = identities[name]
        made = made.signed(one.public, one.sign(labels.SIGN_POLICY, packed))
    directory.job_file.write_text(file.dumps(made))
    return directory


def _evidence(authority: Authority) -> EvidencePolicy:
    return EvidencePolicy(
        profile=SIMULATED,
        root_digest=hashlib.sha256(authority.root_der).digest(),
        service_key=authority.service().public,
        measurements=tuple(RoleMeasurements(role, (core_measurement(role),)) for role in ROLES),
        statuses=("UpToDate",),
        minimum_evaluation_number=1,
    )


def _policy(terms: Terms, identities: dict[str, Identity], evidence: EvidencePolicy) -> Policy:
    data_sets = tuple(
        DataSet(identities[owner].public, name)
        for owner, names in terms.owners.items()
        for name in names
    )
    return Policy(
        version=1,
        name=terms.name,
        previous=bytes(32),
        roster=_roster(terms, identities),
        evidence=evidence,
        schema=terms.schema,
        recipe=terms.recipe,
        disclosure=terms.disclosure,
        schedule=Schedule(data_sets=data_sets, **terms.schedule),
        seed=terms.seed or os.urandom(32),
        shard_classes=terms.shard_classes,
        query_bytes=terms.query_bytes,
        answer_bytes=terms.answer_bytes,
        predictor_batch=terms.predictor_batch,
        allow_simulation=True,
    )


def _roster(terms: Terms, identities: dict[str, Identity]) -> tuple[Member, ...]:
    roles = {
        **dict.fromkeys(terms.owners, Role.OWNER),
        terms.provider: Role.PROVIDER,
        **dict.fromkeys(terms.clients, Role.CLIENT),
    }
    if terms.auditor:
        roles[terms.auditor] = Role.AUDITOR
    return tuple(identities[name].public_identity.member(role) for name, role in roles.items())
