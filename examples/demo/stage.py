"""Everybody who takes part in a run, connected to the running job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chiron_stream.local.running import RunningJob
from examples.demo.asking import Asker
from examples.demo.bridging import BridgingOwner
from examples.demo.data import FIRST, SECOND, Data
from examples.demo.killing import Killer
from examples.demo.owning import PublishingOwner
from examples.demo.saying import Facts
from examples.demo.watching import Watch


@dataclass(frozen=True)
class Stage:
    """Parties and onlookers of one job.

    :param facts: gets what is found, by name.
    :param events: rounds by what happened in them, for the picture.
    """

    running: RunningJob
    data: Data
    a: PublishingOwner
    b: BridgingOwner
    asker: Asker
    watch: Watch
    killer: Killer
    facts: Facts
    events: dict[str, int] = field(default_factory=dict)


@contextmanager
def connected(
    running: RunningJob, data: Data, ended: Sequence[str], own_kafka: Path, facts: Facts
) -> Iterator[Stage]:
    """Connect everybody, for as long as the block.

    :param own_kafka: the folder of owner B's own Kafka.
    :param ended: names of workers that ended for good.
    """
    directory = running.directory
    with ExitStack() as stack:
        a = stack.enter_context(closing(PublishingOwner(directory, FIRST, data)))
        b = stack.enter_context(closing(BridgingOwner(directory, SECOND, data, own_kafka)))
        asker = stack.enter_context(closing(Asker(directory, data)))
        watch = stack.enter_context(closing(Watch(running, asker, data, ended)))
        yield Stage(running, data, a, b, asker, watch, Killer(running, watch, asker), facts)
