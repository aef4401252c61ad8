"""``chiron job show``: the terms of a job, for people to read before they take part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chiron_stream.cli.common import context, parser
from chiron_stream.cli.main import NOUNS
from chiron_stream.errors import UsageRefused
from chiron_stream.job import file
from chiron_stream.job.describe import describe


def run(arguments: Sequence[str]) -> int:
    """Verify a job file and print what its policy says."""
    made = parser("job", NOUNS["job"])
    made.add_argument("verb", choices=("show",), help="show: verify and print")
    made.add_argument("file", type=Path, help="a job file")
    ready = context(made.parse_args(arguments))
    try:
        text = ready.flags.file.read_text("utf-8")
    except OSError as error:
        raise UsageRefused(f"cannot read {ready.flags.file}", got=error.strerror) from error
    job = file.loads(text)
    fields = {
        "job": job.policy.name,
        "id": job.job_id.hex(),
        "simulated": job.policy.is_simulated,
        "members": [one.name for one in job.policy.roster],
    }
    ready.output.data("job", fields, describe(job).rstrip("\n"))
    return 0
