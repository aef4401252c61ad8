"""A job with two trainers at work, all of whose parties are there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from chiron_stream import Recipe
from tests.crash import jobs
from tests.crash.asking import Asker
from tests.crash.killing import CrashedJob
from tests.crash.parties import Members
from tests.crash.waiting import wait_for

PASSES: Final = 50
SLOTS: Final = 2
TRAINERS: Final = 2


@contextmanager
def at_work(job: CrashedJob, recipe: Recipe) -> Iterator[tuple[Members, Asker]]:
    """Publish everything, begin to ask, and wait until rounds are made."""
    with Members(job) as members:
        members.provide(recipe)
        for owner in jobs.OWNERS:
            members.publish(owner)
        asker = members.asker()
        wait_for(lambda: job.version > 0, "the first round")
        yield members, asker
