"""What the commands of a job share: its directory, its member, the word for simulation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from chiron_stream.cli.common import Context
from chiron_stream.clients.identity import Identity
from chiron_stream.errors import UsageRefused
from chiron_stream.job.file import Job
from chiron_stream.job.policy import Role, member
from chiron_stream.job.simulation import InsecureSimulation
from chiron_stream.local.directory import JobDirectory


def add_job(parser: argparse.ArgumentParser) -> None:
    """Add the flag that names a job."""
    parser.add_argument(
        "--job",
        type=Path,
        default=Path(),
        metavar="PATH",
        help="a job file, or the directory of one, such as chiron init makes (.)",
    )


def directory_of(flags: argparse.Namespace) -> JobDirectory:
    """Return the directory of the job that ``--job`` names."""
    return JobDirectory.of(flags.job)


def add_member(parser: argparse.ArgumentParser, role: str) -> None:
    """Add the flags of a command that acts as a member."""
    add_job(parser)
    parser.add_argument(
        "--as",
        dest="member",
        metavar="NAME",
        help=f"act as this {role}, by the identity in the job's keys/; the only one by default",
    )
    parser.add_argument(
        "--identity", type=Path, metavar="FILE", help="your identity file, wherever it is"
    )
    add_simulation(parser)


def add_simulation(parser: argparse.ArgumentParser) -> None:
    """Add the word with which a caller accepts SIMULATED evidence."""
    parser.add_argument(
        "--insecure-simulation",
        action="store_true",
        help="accept SIMULATED evidence: nothing is confidential then",
    )


def evidence(flags: argparse.Namespace) -> InsecureSimulation | None:
    """Return what the caller asked for."""
    return InsecureSimulation() if flags.insecure_simulation else None


def acting(directory: JobDirectory, job: Job, role: Role, flags: argparse.Namespace) -> Identity:
    """Return the identity of the member that a command acts as.

    :raises UsageRefused: there are several of the role and none was named, nobody of it has this
        name, or the identity is nobody's of it.
    """
    path: Path = flags.identity or directory.identity(_name(job, role, flags.member))
    identity = Identity.load(path)
    found = member(job.policy, identity.public)
    if found is None or found.role is not role:
        where = "not in the roster" if found is None else f"no {role.name.lower()} of this job"
        raise UsageRefused(
            f"{identity.name} is {where}",
            code="NO_MEMBER",
            expected=", ".join(_names(job, role)) or f"no {role.name.lower()} in this job",
            got=identity.public_line(),
            hint="the author of the policy puts a public line into the roster, and all sign again",
        )
    return identity


def _names(job: Job, role: Role) -> list[str]:
    return [one.name for one in job.policy.roster if one.role is role]


def _name(job: Job, role: Role, given: str | None) -> str:
    names, what = _names(job, role), role.name.lower()
    if given is None and len(names) != 1:
        raise UsageRefused(f"which {what}?", expected="--as NAME", got=", ".join(names) or "none")
    if given is not None and given not in names:
        expected = ", ".join(names) or f"no {what} in this job"
        raise UsageRefused(f"no such {what}", code="NO_MEMBER", expected=expected, got=given)
    return given or names[0]


def connection(ready: Context, job: Job) -> dict[str, Any]:
    """Return where the broker is: a flag, variable or file first, else the job file's word."""
    found = ready.settings.found["bootstrap_servers"]
    servers = job.bootstrap_servers if found.origin == "default" else str(found.value)
    return {"bootstrap_servers": servers, "kafka": ready.settings.kafka}
