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
    """Add the flag that names a job's directory."""
    parser.add_argument(
        "--job", type=Path, default=Path(), metavar="DIRECTORY", help="made by chiron init (.)"
    )


def add_member(parser: argparse.ArgumentParser, role: str) -> None:
    """Add the flags of a command that acts as a member."""
    add_job(parser)
    parser.add_argument(
        "--as",
        dest="member",
        metavar="NAME",
        help=f"act as this {role}; the only one by default",
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


def acting(directory: JobDirectory, job: Job, role: Role, name: str | None) -> Identity:
    """Return the identity of the member that a command acts as.

    :raises UsageRefused: there are several of the role and none was named.
    """
    names = [one.name for one in job.policy.roster if one.role is role]
    if name is None and len(names) != 1:
        raise UsageRefused(
            f"which {role.name.lower()}?", expected="--as NAME", got=", ".join(names) or "none"
        )
    identity = Identity.load(directory.identity(name or names[0]))
    if member(job.policy, identity.public) is None:
        raise UsageRefused(f"{identity.name} is not in the roster")
    return identity


def connection(ready: Context, job: Job) -> dict[str, Any]:
    """Return where the broker is: a flag, variable or file first, else the job file's word."""
    found = ready.settings.found["bootstrap_servers"]
    servers = job.bootstrap_servers if found.origin == "default" else str(found.value)
    return {"bootstrap_servers": servers, "kafka": ready.settings.kafka}
