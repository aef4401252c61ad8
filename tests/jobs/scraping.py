"""What a worker's ``/metrics`` and ``/healthz`` say, read strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from chiron_stream.local.directory import JobDirectory
from tests.jobs import jobs

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="[^"]*",?)+)\})? ([0-9.e+-]+)')
COMMENT = re.compile(r"# (HELP|TYPE) ([a-z_]+) \S.*")


@dataclass(frozen=True)
class Sample:
    """One line of ``/metrics``."""

    name: str
    labels: Mapping[str, str]
    value: float


def get(directory: JobDirectory, worker: str, path: str) -> tuple[int, str]:
    """Return status and body of a request to a worker of a job that is up."""
    address = jobs.progress(directory, worker)["metrics"]
    try:
        with urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def samples(directory: JobDirectory, worker: str) -> list[Sample]:
    """Return all that a worker's ``/metrics`` shows; a line of any other form fails."""
    status, text = get(directory, worker, "/metrics")
    assert status == 200
    found = []
    for line in text.splitlines():
        if COMMENT.fullmatch(line):
            continue
        match = SAMPLE.fullmatch(line)
        assert match is not None, line
        name, labels, value = match.groups()
        pairs = dict(re.findall(r'([a-z_]+)="([^"]*)"', labels or ""))
        found.append(Sample(name, pairs, float(value)))
    return found


def value(directory: JobDirectory, worker: str, name: str) -> float:
    """Return the one sample of a metric."""
    (found,) = [one.value for one in samples(directory, worker) if one.name == name]
    return found


def health(directory: JobDirectory, worker: str) -> tuple[int, dict[str, Any]]:
    """Return status and body of ``/healthz``."""
    status, text = get(directory, worker, "/healthz")
    found: dict[str, Any] = json.loads(text)
    return status, found
