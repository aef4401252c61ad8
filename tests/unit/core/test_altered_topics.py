"""Whatever a broker does to the input topics, the coordinator comes to no state of its making.

*An honest order of arrival* is a sequence of records in which

* each record is, byte for byte, one that an honest member or worker of this job sent to this
  coordinator (the recorded ones, and those of sessions and boots that only a splice brings);
* of each session there is the open, perhaps several times, for members repeat it, and then a
  prefix of its control records, each once and in order;
* of each boot there is its join, perhaps several times, and then reports in the order in which it
  sent them, each at most once. A report says nothing about the one before, so one that a broker
  withholds leaves a gap: as if it were still on its way;
* sessions and boots are interleaved in any way, as topics and senders are in Kafka.

*The state of an honest order* is what ``step`` comes to on those records, as they were sent, and
on the coordinator's own events (activations, acknowledgements, losses, timers; imports and merges
are made anew of the honest state), and nothing else. States are compared as packed bytes, without
``positions``: they are hints. Journal indices and heads, which checkpoints name, are those of the
journal at hand. Every record that is not in the order has a refusal with a name, but for reports
that name a later epoch: they are for a successor, and passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import cache
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiron_stream.attestation.akd import AttestedKeyDocument
from chiron_stream.attestation.appraisal import Appraised
from chiron_stream.attestation.evidence import Evidence
from chiron_stream.errors import TamperDetected
from chiron_stream.wire import control
from chiron_stream.wire.control import Body, ControlRecord, read_header
from chiron_stream.wire.session import SessionOpen
from chiron_stream.wire.workers import Report, ReportRecord, open_report
from enclave_workers.core.coordinator import announcing, joining, opening, shell
from enclave_workers.core.coordinator import step as step_of
from enclave_workers.core.coordinator.effects import Effect
from enclave_workers.core.coordinator.events import Opened, OpenRefused
from enclave_workers.core.coordinator.joining import scope
from enclave_workers.core.coordinator.state import At, Context, State
from tests.unit.core import orders
from tests.unit.core.altering import (
    Alteration,
    Record,
    alterations,
    altered,
    searching,
    without_its_tag,
)
from tests.unit.core.arrivals import Recording
from tests.unit.core.chance import OPEN, SHORT
from tests.unit.core.desk import Clerk, Desk, served
from tests.unit.core.orders import AnotherState

pytestmark = pytest.mark.timeout(600)

POLICIES = {
    "closed": SHORT,
    "open": replace(OPEN, schedule=replace(OPEN.schedule, max_wait=1)),
}
jobs = st.sampled_from(sorted(POLICIES))
nowhere: frozenset[int] = frozenset()
places = st.just(nowhere) | st.frozensets(st.integers(5, 60), max_size=2)
sizes = st.lists(st.integers(1, 5), max_size=3).map(lambda drawn: [1, *drawn])


@cache
def recording(job: str) -> Recording:
    return Recording(POLICIES[job])


@cache
def foreign(job: str) -> list[Record]:
    """Return what splices are taken from: this job's other sessions and boots, another job."""
    (other,) = set(POLICIES) - {job}
    return [*recording(job).elsewhere, *recording(other).records]


def arrive(
    job: str,
    changes: Sequence[Alteration] = (),
    crashes: Collection[int] = (),
    jumps: Collection[int] = (),
    sizes: Sequence[int] = (1,),
    last: Record | None = None,
) -> tuple[Desk, Clerk, dict[tuple[str, int], str]]:
    """Serve a job's altered topics, and hold what comes of them against honest orders.

    :param last: a record that comes behind all others.
    """
    desk, recorded = Desk(crashes, jumps, sizes), recording(job)
    records = altered(recorded.records, changes, foreign(job))
    for record in records if last is None else [*records, last]:
        desk.hand(record)
    clerk, refused = served(desk, recorded.job, recorded.first)
    orders.check(recorded.honest, desk, clerk, refused)
    return desk, clerk, refused


def anything(
    job: str,
    changes: list[Alteration],
    crashes: frozenset[int],
    jumps: frozenset[int],
    sizes: list[int],
) -> None:
    arrive(job, changes, crashes, jumps, sizes)


def whatever_happens(*kinds: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return what gives a test alterations of some kinds, or of every kind."""
    changes = alterations(*kinds)
    return given(job=jobs, changes=changes, crashes=places, jumps=places, sizes=sizes)


test_altered_topics_come_to_the_state_of_an_honest_order_and_named_refusals = settings(
    max_examples=150
)(whatever_happens()(anything))


@pytest.mark.parametrize("job", POLICIES)
def test_unaltered_topics_come_to_everything_that_was_recorded(job: str) -> None:
    _, clerk, refused = arrive(job)
    assert refused == {}
    assert clerk.state.rounds == 4
    assert clerk.state.finished == (job == "closed")
    assert list(clerk.state.ledger.values()) == [5]


INTRUDERS = {
    "a stranger": "ROSTER",
    "a client that publishes": "ROSTER",
    "another job": "JOB",
    "another policy": "POLICY",
    "an older boot": None,
    "no such partition": "ANSWER_PARTITION",
    "a coordinator that joins": "ROLE",
}
"""By intruder: the code that its record is rejected with, or None: its party is answered."""


@pytest.mark.parametrize("job", POLICIES)
@pytest.mark.parametrize("intruder", INTRUDERS)
def test_intruder_is_not_admitted(job: str, intruder: str) -> None:
    recorded = recording(job)
    desk, clerk, refused = arrive(job, last=recorded.intruders[intruder])
    code, last = INTRUDERS[intruder], desk.handed[-1]
    assert refused == ({} if code is None else {(last.topic, last.offset): code})
    assert len(clerk.state.sessions) == len(arrive(job)[1].state.sessions)
    answered = any(isinstance(event, OpenRefused) for event, _ in desk.journalled(clerk.context))
    assert answered == (code is None)


def in_any_turn(
    key: bytes, record: ControlRecord, *, session: bytes, counter: int, previous: bytes
) -> Body:
    """Open a control record whatever its session waits for."""
    del counter, previous
    header = read_header(record)
    return control.open_control(
        key, record, session=session, counter=header.counter, previous=header.previous
    )


def as_often_as_it_comes(context: Context, state: State, data: bytes) -> tuple[bytes, int, Report]:
    """Read a report whether it was taken before or not."""
    record = ReportRecord.unpack(data)
    worker = state.workers.get(record.boot)
    if worker is None or record.epoch not in worker.secrets:
        raise TamperDetected("a report of no boot that joined", code="UNKNOWN_BOOT")
    about = scope(context, record.epoch, record.boot)
    secret = worker.secrets[record.epoch]
    return record.boot, record.number, open_report(secret, worker.signing_key, about, record)


def unseen(_evidence: Evidence, akd: bytes, **_expected: object) -> Appraised:
    """Believe a worker what it says of itself."""
    return Appraised(AttestedKeyDocument.unpack(akd), bytes(32), "UpToDate", (), simulated=True)


def opened_anew(context: Context, state: State, event: Opened, at: At) -> list[Effect]:
    """Admit a session as if it had never been seen."""
    state.sessions.pop(SessionOpen.unpack(event.record).session, None)
    return opening.opened(context, state, event, at)


Guard = tuple[tuple[str, ...], list[tuple[Any, Any, object]]]
GUARDS: dict[str, Guard] = {
    "counter and chain of control records": (
        ("drop", "swap"),
        [(announcing, "open_control", in_any_turn)],
    ),
    "tag of control records": (("flip",), [(control, "gcm_open", without_its_tag)]),
    "number of reports": (
        ("double", "swap"),
        [
            (shell, "read_reported", as_often_as_it_comes),
            (joining, "read_reported", as_often_as_it_comes),
        ],
    ),
    "roster, job, policy and boot of a session open": (
        ("splice", "replace"),
        [(shell, "judge_open", lambda *_: None)],
    ),
    "appraisal of joins": (("splice", "replace"), [(shell, "appraise", unseen)]),
    "memory of sessions": (("double", "swap"), [(step_of.HANDLERS, Opened, opened_anew)]),
}
"""By guard: alterations that show that it is off, and what turns it off."""


def off(where: Any, name: Any, lax: object) -> AbstractContextManager[object]:
    """Turn a guard off: a function of a module, or an entry of a table."""
    if isinstance(where, dict):
        return patch.dict(where, {name: lax})
    return patch.object(where, name, lax)


@pytest.mark.parametrize("guard", GUARDS)
def test_search_finds_another_state_without(guard: str) -> None:
    kinds, turned_off = GUARDS[guard]
    search = searching(1500, whatever_happens(*kinds)(anything))
    with ExitStack() as stack:
        for where, name, lax in turned_off:
            stack.enter_context(off(where, name, lax))
        with pytest.raises(AnotherState):
            search()
