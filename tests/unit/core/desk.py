"""The coordinator's real shell at a desk: records are handed to it, no sockets, no Kafka.

The shell reads, admits, journals, rejects and commits as it always does. What stands in for the
world: topics are tables, evidence of the coordinator is empty, models are digests, and the secrets
of joins follow from the boots, so that a recorded report opens in another run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from chiron_stream.attestation.akd import AttestedKeyDocument
from chiron_stream.attestation.evidence import Evidence
from chiron_stream.job.file import Job
from chiron_stream.wire.courier import Line, Lines, Marks, Progress, Send
from chiron_stream.wire.journal import head_of, open_entry
from enclave_workers.core.boot import Boot, CoordinatorFacts
from enclave_workers.core.coordinator import shell
from enclave_workers.core.coordinator.events import (
    Event,
    ImportDone,
    Joined,
    Merged,
    read_event,
)
from enclave_workers.core.coordinator.importing import ModelEffects
from enclave_workers.core.coordinator.state import At, Context, ImportEffect, MergeEffect, State
from tests.unit.core.altering import Record
from tests.unit.core.shelf import FixedTee, Shelf
from tests.unit.core.story import BATCH, digest, ref

NOW = 1_800_000_000
POLL_MS = 100
SILENCE_MS = 7000
"""Behind which every boot that gave no sign is lost."""

SNAPSHOT_EVERY = 12
"""Journal entries between two snapshots."""


class Crash(Exception):
    """The coordinator died."""


class DeskTee(FixedTee):
    """A TEE whose evidence nobody looks at."""

    def evidence(self, report_data: bytes) -> Evidence:
        return Evidence(self.profile, report_data, b"", b"")


def first_boot(job: Job) -> Boot:
    """Return the boot of a job's first epoch, whose keys recorded sessions are sealed to."""
    return Boot(job, "coordinator", DeskTee(), NOW, facts=CoordinatorFacts(1, 1, bytes(32)))


class Desk(Shelf):
    """A link whose inputs are handed over; it may die at a commit, and the clock may jump.

    :param crashes: numbers of commits at which the coordinator dies: even ones behind the commit.
    :param jumps: numbers of polls before which nobody has given a sign of life.
    :param sizes: how many records each poll returns, over and over.
    """

    def __init__(
        self,
        crashes: Collection[int] = (),
        jumps: Collection[int] = (),
        sizes: Sequence[int] = (1,),
    ) -> None:
        super().__init__()
        self.handed: list[Line] = []
        self.now_ms = NOW * 1000
        self._crashes, self._jumps, self._sizes = crashes, jumps, sizes
        self._cursor = self._polls = self._commits = 0
        self._from: dict[str, int] = {}

    def hand(self, record: Record) -> None:
        """Let a record arrive behind all others of its topic."""
        offset = sum(line.topic == record.topic for line in self.handed)
        self.handed.append(Line(record.topic, 0, offset, record.value))

    @property
    def idle(self) -> bool:
        return self._cursor == len(self.handed)

    def reach(self, topic: str, partition: int = 0) -> Marks:
        return replace(super().reach(topic, partition), partitions=4)

    def partitions(self, topic: str) -> int:
        return self.reach(topic).partitions

    def start_writer(self) -> None:
        self._cursor = 0

    def tail(
        self,
        topic: str,
        offset: int,
        *,
        partition: int = 0,  # noqa: ARG002  (the link's)
        committed: bool = True,  # noqa: ARG002  (the link's)
    ) -> None:
        self._from[topic] = offset

    def poll(self, limit: int, wait_ms: int) -> Lines:  # noqa: ARG002  (the link's)
        size = self._sizes[self._polls % len(self._sizes)]
        self.now_ms += SILENCE_MS if self._polls in self._jumps else POLL_MS
        self._polls += 1
        taken = self.handed[self._cursor : self._cursor + min(size, limit)]
        self._cursor += len(taken)
        known = tuple(one for one in taken if one.offset >= self._from[one.topic])
        return Lines(known, self.now_ms, 0, draining=False)

    def commit(self, records: Sequence[Send]) -> tuple[int, ...]:
        self._commits += 1
        if self._commits in self._crashes and self._commits % 2:
            raise Crash
        offsets = self.append(records)
        marked = [n for n, one in zip(offsets, records, strict=True) if one.mark]
        self.hint = max([self.hint, *marked])
        if self._commits in self._crashes:
            raise Crash
        return offsets

    def progress(self, progress: Progress) -> None:
        """Tell nobody."""

    def journalled(self, context: Context) -> Iterator[tuple[Event, At]]:
        """Yield every event of the journal."""
        records = list(self.topics["journal"].values())
        for index, record in enumerate(records[1:], 1):
            before = head_of(records[index - 1])
            _, data = open_entry(context.key, record, index=index, head=before)
            yield read_event(data), At(index, head_of(record))


def secret_of(boot: bytes) -> bytes:
    """Return the secret that a join of this boot brings, whenever it comes."""
    return digest(("secret", boot))


class Clerk(shell.Coordinator):
    """The shell, which remembers what it refused, and why."""

    def __init__(self, link: Desk, job: Job) -> None:
        super().__init__(link, job, DeskTee(), link.now_ms // 1000)
        self.refused: dict[tuple[str, int], str] = {}

    def begin(self) -> None:
        """Come to where records are read."""
        self._activate()
        self._run_open_effects()
        self._commit()
        self._tail()

    def turn(self) -> None:
        self._turn()

    @property
    def context(self) -> Context:
        return self._history.context

    @property
    def state(self) -> State:
        return self._history.state

    def _reject(self, line: Line, code: str) -> None:
        self.refused[line.topic, line.offset] = code
        super()._reject(line, code)

    def _journal(self, event: Event, mark: bytes = b"") -> None:
        if isinstance(event, Joined):
            event = replace(event, secret=secret_of(AttestedKeyDocument.unpack(event.akd).boot))
        super()._journal(event, mark)


def imported(effect: ImportEffect) -> ImportDone:
    """Return what an import comes to, when models are digests."""
    made = replace(ref("coordinator-chunks"), digest=digest(effect.manifest))
    return ImportDone(BATCH, 40, made, digest("weights"))


def merged(effect: MergeEffect) -> Merged:
    """Return what a merge comes to, when models are digests."""
    results = [one.digest for one in effect.results]
    made = replace(ref("coordinator-chunks"), digest=digest((effect.version, results)))
    return Merged(effect.round, made, digest(("parameters", effect.version)))


@contextmanager
def without_models(first: Boot) -> Iterator[None]:
    """Let the first epoch have a known boot, and imports and merges be made of digests."""

    def boot(job: Job, role: str, tee: DeskTee, now: int, **parts: object) -> Boot:
        facts = parts["facts"]
        early = isinstance(facts, CoordinatorFacts) and facts.epoch == 1
        return first if early else Boot(job, role, tee, now, **parts)  # type: ignore[arg-type]

    with (
        patch.object(shell, "Boot", boot),
        patch.object(shell, "SNAPSHOT_EVERY", SNAPSHOT_EVERY),
        patch.object(ModelEffects, "import_recipe", lambda _m, _s, effect: imported(effect)),
        patch.object(ModelEffects, "merge", lambda _m, _s, effect: merged(effect)),
    ):
        yield


def served(desk: Desk, job: Job, first: Boot) -> tuple[Clerk, dict[tuple[str, int], str]]:
    """Serve a desk, over deaths, until everything that was handed over is read.

    Returns the last boot of the coordinator, and every refusal of any.
    """
    refused: dict[tuple[str, int], str] = {}
    with without_models(first):
        while True:
            clerk = Clerk(desk, job)
            clerk.refused = refused
            try:
                clerk.begin()
                while not desk.idle:
                    clerk.turn()
            except Crash:
                continue
            return clerk, refused
