"""Whatever may happen to a job, in any order: what the shell would journal, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from chiron_stream.errors import TamperDetected
from chiron_stream.job.policy import Kind, Policy
from chiron_stream.wire.control import Body, Fin, Use
from chiron_stream.wire.document import fixed
from chiron_stream.wire.session import Purpose
from chiron_stream.wire.workers import Outcome, Report
from enclave_workers.core.coordinator.announcing import read_controlled
from enclave_workers.core.coordinator.events import (
    Acknowledging,
    Activated,
    Controlled,
    ImportDone,
    ImportFailed,
    Lost,
    MergeFailed,
    OpenRefused,
    Reported,
    Retried,
    Snapshotted,
    Waited,
    Welcomed,
)
from enclave_workers.core.coordinator.joining import read_reported
from enclave_workers.core.coordinator.state import MergeEffect
from tests.unit.core.story import (
    COORDINATOR,
    MANIFEST,
    Member,
    Story,
    Worker,
    announcement,
    digest,
    faulty,
    ref,
    scored,
    source,
    trained,
    unscored,
    with_schedule,
)
from tests.unit.job.builders import JOHN, LAB, MARY, WARD

BITS = 6


def _granted(policy: Policy) -> Policy:
    """Let the provider see progress, and owners scores, until ceilings that a life can reach."""
    disclosure = replace(
        policy.disclosure,
        minimum_rows=1,
        minimum_owners=1,
        score_every=1,
        score_ceiling=20,
        progress_bits=BITS,
        progress_ceiling=60,
    )
    return replace(policy, disclosure=disclosure)


SHORT = _granted(with_schedule(slots=2, shards_per_slot=2, passes=2, release_every=1))
"""A job that can come to its end within a few dozen events."""

OPEN = _granted(
    with_schedule(
        kind=Kind.OPEN,
        data_sets=(),
        slots=2,
        shards_per_slot=2,
        passes=2,
        release_every=1,
        window=1,
        max_wait=60,
        owner_slots=2,
    )
)
"""One that goes on for ever."""


class Chance:
    """A job to which things happen. Each decision is a number; any sequence is a possible life."""

    def __init__(self, policy: Policy = SHORT) -> None:
        self.story = Story(policy)
        self.members: list[Member] = []
        self.workers: list[Worker] = []
        self.epoch = 1

    def live(self, decisions: Sequence[int]) -> None:
        """Let everything happen that the decisions say."""
        for decision in decisions:
            kind, detail = decision % len(ACTIONS), decision // len(ACTIONS)
            ACTIONS[kind](self, detail)

    def settle(self) -> None:
        """Lead the job towards its middle: data, recipe, trainers, a predictor."""
        self.story.imported()
        for who, rows in ((MARY, [10, 5, 1, 3, 3]), (JOHN, [7, 2])):
            member = self.story.publish(who, rows, fin=False)
            for number in (len(rows), len(rows) + 1):
                body = announcement(number, 4, digest=digest((who.name, number)), use=Use.EVALUATE)
                self.story.tell(member.says(body))
            self.story.tell(member.says(Fin(len(rows) + 2)))
        for role in (0, 0, 0, 2):
            self.join(role)

    def open(self, detail: int) -> None:
        who, purpose = (
            (MARY, Purpose.PUBLISH),
            (JOHN, Purpose.PUBLISH),
            (LAB, Purpose.RECIPE),
            (WARD, Purpose.QUERY),
            (MARY, Purpose.LISTEN),
            (LAB, Purpose.LISTEN),
        )[detail % 6]
        data_set = "other" if detail % 11 == 0 else "icu"
        self.members.append(self.story.open(who, purpose, data_set))

    def open_again(self, detail: int) -> None:
        if self.members:
            self.story.tell(self.members[detail % len(self.members)].opened)

    def refuse(self, detail: int) -> None:
        self.story.tell(OpenRefused(source("control", detail), digest(detail)[:16], "STALE"))

    def say(self, detail: int) -> None:
        """Let a member say something; what the shell would reject is not journalled."""
        if not self.members:
            return
        member = self.members[detail % len(self.members)]
        body = self._body(detail // len(self.members))
        chain, counter = member.chain, member.counter
        record = member.record(body)
        try:
            read_controlled(self.story.state, record)
        except TamperDetected:
            member.chain, member.counter = chain, counter
            return
        self.story.tell(Controlled(source("control", detail), record))

    def _body(self, detail: int) -> Body:
        number, what = detail % 4, detail // 4 % 5
        if what == 0:
            return Fin(number)
        if what == 1:
            return MANIFEST
        if what == 2:
            return announcement(number, digest=digest(("other", number)))
        use = Use.EVALUATE if detail % 3 == 0 else Use.TRAIN
        return announcement(number, rows=1 + detail % 7, use=use)

    def acknowledge(self, _detail: int) -> None:
        self.story.tell(Acknowledging())

    def snapshot(self, _detail: int) -> None:
        self.story.tell(Snapshotted(ref("coordinator-chunks")))

    def join(self, detail: int) -> None:
        worker = Worker(self.story.context, "predictor" if detail % 3 == 2 else "trainer")
        worker.epoch = self.epoch
        self.workers.append(worker)
        self.story.tell(worker.joins())
        if detail % 3 != 2:
            self.story.tell(worker.ready())

    def lose(self, detail: int) -> None:
        if self.workers:
            self.story.tell(Lost(self.workers[detail % len(self.workers)].boot, "silent"))

    def welcome(self, detail: int) -> None:
        if self.workers:
            self._welcome(self.workers[detail % len(self.workers)], os.urandom(32))

    def _welcome(self, worker: Worker, secret: bytes) -> None:
        worker.secret, worker.epoch = secret, self.epoch
        self.story.tell(Welcomed(worker.boot, secret))

    def succeed(self, detail: int) -> None:
        """Let a successor take over; it welcomes whoever is not lost."""
        self.epoch += 1
        self.story.tell(Activated(self.epoch, COORDINATOR))
        for worker in self.workers:
            if not self.story.state.workers[worker.boot].lost:
                self._welcome(worker, digest((worker.boot, self.epoch, detail)))

    def leave(self, detail: int) -> None:
        if self.workers:
            self.story.tell(self.workers[detail % len(self.workers)].leaves())

    def wait(self, detail: int) -> None:
        """Let a timer come, late or early."""
        self.story.tell(Waited(detail % 9))
        for slot in self.story.slots:
            if slot.held:
                self.story.tell(Retried(slot.task))
                return
        for one in self.story.state.evaluations[:1]:
            self.story.tell(Retried(one.task))

    def report(self, detail: int) -> None:
        """Let any worker report any finding of any slot at hand."""
        slots = self.story.slots
        if not self.workers or not slots:
            return
        worker = self.workers[detail % len(self.workers)]
        slot, what = slots[detail // 7 % len(slots)], detail // 77 % 16
        place = detail // 1500 % 3
        findings = {
            0: trained(slot, digest=digest(("diverged", detail % 3))),
            1: trained(slot, numerics="class-b"),
            2: faulty(slot, Outcome.VOID, place),
            3: faulty(slot, Outcome.PARKED, place),
            4: faulty(slot, Outcome.PARKED, 0, 1),
            5: trained(slot, loss=fixed(detail % (1 << BITS)), gradient=detail % 32),
            6: trained(slot, loss=fixed(1 << BITS)),
        }
        self._report(worker, findings.get(what, trained(slot)))

    def train(self, _detail: int) -> None:
        """Let the holders of leases finish what they have."""
        for worker in self.workers:
            for slot in self.story.slots:
                if slot.boot == worker.boot and slot.result is None:
                    self._report(worker, trained(slot))

    def evaluate(self, detail: int) -> None:
        """Let any worker report any finding of any evaluation."""
        found = self.story.state.evaluations
        if not self.workers or not found:
            return
        one, what = found[detail // 7 % len(found)], detail // 77 % 8
        worker = self.workers[detail % len(self.workers)]
        if what > 2:
            holders = [other for other in self.workers if other.boot == one.boot]
            worker = (holders or [worker])[0]
        findings = {
            0: scored(one, one.rows + 1),
            3: unscored(one, Outcome.VOID, detail // 700 % 3),
            4: unscored(one, Outcome.PARKED, detail // 700 % 3),
        }
        self._report(worker, findings.get(what, scored(one, detail % (one.rows + 1))))

    def ask(self, detail: int) -> None:
        if self.workers and self.members:
            session = self.members[detail // 3 % len(self.members)].session
            self.story.tell(self.workers[detail % len(self.workers)].asks(session))

    def _report(self, worker: Worker, body: Report) -> None:
        record = worker.record(body)
        read_reported(self.story.context, self.story.state, record)
        self.story.tell(Reported(source("updates"), record))

    def outside(self, detail: int) -> None:
        """Let an open effect end, well or badly."""
        if not self.story.state.open_effects:
            return
        effect, good = self.story.state.open_effects[0], detail % 4 > 0
        if isinstance(effect, MergeEffect) and good:
            self.story.merge()
        elif isinstance(effect, MergeEffect):
            self.story.tell(MergeFailed(effect.round, detail % len(effect.results), "DIGEST"))
        elif good:
            made = replace(ref("coordinator-chunks"), digest=digest("weights"))
            self.story.tell(ImportDone(16, 40, made, digest("weights")))
        else:
            self.story.tell(ImportFailed("GRAPH_LIMIT", "too large"))


ACTIONS: tuple[Callable[[Chance, int], None], ...] = (
    Chance.open,
    Chance.open_again,
    Chance.refuse,
    Chance.say,
    Chance.say,
    Chance.acknowledge,
    Chance.snapshot,
    Chance.join,
    Chance.lose,
    Chance.welcome,
    Chance.succeed,
    Chance.leave,
    Chance.wait,
    Chance.wait,
    Chance.report,
    Chance.report,
    Chance.train,
    Chance.evaluate,
    Chance.evaluate,
    Chance.ask,
    Chance.outside,
    Chance.outside,
)
