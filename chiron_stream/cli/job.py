"""``chiron job show | verify``: a job file, for people to read before they take part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chiron_stream.cli.common import context, parser
from chiron_stream.cli.main import NOUNS
from chiron_stream.errors import UsageRefused
from chiron_stream.job import file
from chiron_stream.job.describe import describe
from chiron_stream.job.file import Job
from chiron_stream.local.directory import JOB_FILE


def run(arguments: Sequence[str]) -> int:
    """Verify a job file; print what its policy says, or that it is good and who signed it."""
    made = parser("job", NOUNS["job"])
    made.add_argument(
        "verb",
        choices=("show", "verify"),
        help="show: verify and print the terms; verify: verify and say who signed",
    )
    made.add_argument("file", type=Path, help="a job file, or the directory of a job")
    ready = context(made.parse_args(arguments))
    job = read(ready.flags.file)
    fields = {
        "job": job.policy.name,
        "id": job.job_id.hex(),
        "simulated": job.policy.is_simulated,
        "members": [one.name for one in job.policy.roster],
        "signed_by": signers(job),
    }
    show = ready.flags.verb == "show"
    ready.output.data("job", fields, describe(job).rstrip("\n") if show else verdict(job))
    return 0


def read(path: Path) -> Job:
    """Return the verified job of a file, or of a directory that has one.

    :raises UsageRefused: it does not open.
    """
    path = path / JOB_FILE if path.is_dir() else path
    try:
        return file.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        got = error.strerror if isinstance(error, OSError) else "another encoding than UTF-8"
        raise UsageRefused(f"cannot read {path}", got=got) from error


def signers(job: Job) -> list[str]:
    """Return who signed, in the order of the roster."""
    signed = {identity for identity, _ in job.signatures}
    return [one.name for one in job.policy.roster if one.identity in signed]


def verdict(job: Job) -> str:
    """Return the sentence about a job that verified."""
    mark = "SIMULATED " if job.policy.is_simulated else ""
    names = ", ".join(signers(job))
    return f"{mark}job {job.policy.name}: policy and signatures are good, signed by {names}"
