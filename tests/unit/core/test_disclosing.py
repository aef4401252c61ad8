"""The provider's reports: as much as the policy grants, charged first, and told to who listens."""

from __future__ import annotations

import pytest

from chiron_stream.clients.identity import Identity
from chiron_stream.job.disclosure import FIXED_BITS
from chiron_stream.job.policy import Policy
from chiron_stream.wire.control import Fin
from chiron_stream.wire.document import fixed, whole
from chiron_stream.wire.receipts import checkpoint_hash
from chiron_stream.wire.replies import Accept, RoundProgress, Superseded
from chiron_stream.wire.session import Purpose, SessionOpen, read_hello
from chiron_stream.wire.workers import Outcome
from enclave_workers.core.coordinator.disclosing import KEPT
from enclave_workers.core.coordinator.effects import Certify
from enclave_workers.core.coordinator.events import Acknowledging
from enclave_workers.core.coordinator.opening import judge_open
from tests.unit.core.story import (
    COORDINATOR,
    Member,
    Story,
    Worker,
    every,
    faulty,
    replies,
    running,
    trained,
    with_disclosure,
)
from tests.unit.job.builders import AUDITOR, LAB, MARY, WARD

BITS = 6
REPORT = BITS + FIXED_BITS


def granted(ceiling: int = 10_000) -> Policy:
    return with_disclosure(progress_bits=BITS, progress_ceiling=ceiling)


def listening(policy: Policy | None = None) -> tuple[Story, Worker, Member]:
    """Return a job with two leased slots whose provider listens."""
    story, trainer = running(policy or granted(), mary=[10, 20], john=[10])
    return story, trainer, story.listen(LAB)


def train(story: Story, trainer: Worker, *levels: tuple[int, int]) -> list[RoundProgress]:
    """Train the round at hand with the slots' losses and gradients; return the reports made."""
    for loss, gradient in levels:
        (slot,) = [one for one in story.slots if one.boot == trainer.boot and one.result is None]
        found = trained(slot, loss=fixed(loss), gradient=gradient)
        story.tell(trainer.reports_that(found))
    return every(RoundProgress, replies(story.merge()))


def test_report_has_the_mean_of_the_slots_weighted_with_rows_and_rounded_once() -> None:
    story, trainer, _ = listening()
    rows = [slot.rows for slot in story.slots]
    (report,) = train(story, trainer, (10, 4), (21, 31))
    loss = (2 * (10 * rows[0] + 21 * rows[1]) + sum(rows)) // (2 * sum(rows))
    gradient = (2 * (4 * rows[0] + 31 * rows[1]) + sum(rows)) // (2 * sum(rows))
    assert (whole(report.loss), report.gradient) == (loss, gradient)
    assert (report.round, report.version, report.void) == (1, 1, 0)


def test_report_is_charged_and_its_checkpoint_counts_it() -> None:
    story, trainer, _ = listening()
    (report,) = train(story, trainer, (0, 0), (0, 0))
    (second,) = train(story, trainer, (0, 0), (0, 0))
    checkpoints = [one.checkpoint for one in every(Certify, story.effects)]
    assert [one.disclosed for one in checkpoints] == [REPORT, 2 * REPORT]
    assert report.checkpoint == checkpoint_hash(checkpoints[0].pack())
    assert (report.left, second.left) == (10_000 - REPORT, 10_000 - 2 * REPORT)
    assert story.state.disclosed == {LAB.public: 2 * REPORT}


def test_ceiling_ends_the_reports_and_the_job_goes_on() -> None:
    story, trainer, member = listening(granted(ceiling=2 * REPORT - 1))
    story.finish(trainer)
    (report,) = every(RoundProgress, replies(story.effects, member))
    assert report.left == REPORT - 1
    last = every(Certify, story.effects)[-1].checkpoint
    assert (last.disclosed, last.finished) == (REPORT, True)


def test_nothing_is_told_or_charged_without_a_grant() -> None:
    story, trainer = running()
    member = story.listen(LAB)
    story.finish(trainer)
    assert every(RoundProgress, replies(story.effects, member)) == []
    assert {one.checkpoint.disclosed for one in every(Certify, story.effects)} == {0}
    assert story.state.disclosed == {}


@pytest.mark.parametrize("parts", [{"loss": fixed(1)}, {"gradient": 1}])
def test_measure_that_is_not_granted_is_no_result_and_its_trainer_goes(
    parts: dict[str, int | bytes],
) -> None:
    story, trainer = running()
    story.tell(trainer.reports_that(trained(story.slots[0], **parts)))
    assert story.state.workers[trainer.boot].quarantined
    assert story.slots[0].result is None


@pytest.mark.parametrize("parts", [{"loss": fixed(1 << BITS)}, {"gradient": 32}])
def test_measure_off_its_grid_is_no_result_and_its_trainer_goes(
    parts: dict[str, int | bytes],
) -> None:
    story, trainer = running(granted())
    story.tell(trainer.reports_that(trained(story.slots[0], **parts)))
    assert story.state.workers[trainer.boot].quarantined


def test_void_shards_are_counted_since_the_report_before() -> None:
    story, trainer, _ = listening()
    story.tell(trainer.reports_that(faulty(story.slots[0], Outcome.VOID, 0)))
    slots = len(story.slots)
    (first,) = train(story, trainer, *[(0, 0)] * slots)
    (second,) = train(story, trainer, *[(0, 0)] * len(story.slots))
    assert (first.void, second.void) == (1, 0)


def test_reports_change_nothing_of_what_is_trained() -> None:
    plans = []
    for policy in (granted(), with_disclosure()):
        story, trainer = running(policy, mary=[10, 20, 30], john=[10, 5])
        if policy.disclosure.progress_bits:
            story.listen(LAB)
        story.finish(trainer)
        plans.append([one.checkpoint.commitment for one in every(Certify, story.effects)])
    assert plans[0] == plans[1]


def test_provider_that_listens_later_is_told_the_same_again_and_charged_nothing() -> None:
    story, trainer, member = listening()
    story.finish(trainer)
    told = every(RoundProgress, replies(story.effects, member))
    before = dict(story.state.disclosed)
    later = story.session(LAB, Purpose.LISTEN, "")
    accept, *again = replies(story.tell(later.opened), later)
    assert isinstance(accept, Accept)
    assert accept.next_number == len(told) == 2
    assert again == told
    assert story.state.disclosed == before


def test_what_is_kept_is_bounded() -> None:
    story, trainer, _ = listening()
    (report,) = train(story, trainer, (0, 0), (0, 0))
    story.state.told[LAB.public] = (report,) * KEPT
    (newest,) = train(story, trainer, (9, 0), (9, 0))
    kept = story.state.told[LAB.public]
    assert (len(kept), kept[-1]) == (KEPT, newest)


def test_newest_session_that_listens_is_told_and_the_one_before_ends() -> None:
    story, trainer, first = listening()
    second = story.session(LAB, Purpose.LISTEN, "")
    effects = story.tell(second.opened)
    assert replies(effects, first) == [Superseded(second.session)]
    (report,) = train(story, trainer, (0, 0), (0, 0))
    assert report in replies(story.effects, second)
    assert report not in replies(story.effects, first)


def test_listening_session_that_was_seen_is_answered_and_is_told_no_twice() -> None:
    story, _, member = listening()
    assert [type(one) for one in replies(story.tell(member.opened), member)] == [Accept]


def test_reports_go_to_the_provider_alone() -> None:
    story, trainer, member = listening()
    mary = story.listen(MARY)
    train(story, trainer, (0, 0), (0, 0))
    assert every(RoundProgress, replies(story.effects, mary)) == []
    assert len(every(RoundProgress, replies(story.effects))) == 1
    assert len(every(RoundProgress, replies(story.effects, member))) == 1


def test_control_record_in_a_session_that_listens_has_the_wrong_purpose() -> None:
    story = Story()
    member = story.listen(MARY)
    story.tell(member.says(Fin(0)))
    answer = replies(story.tell(Acknowledging()), member)
    assert [one.code for one in answer[0].refusals] == ["PURPOSE"]  # type: ignore[union-attr]
    assert story.state.data_sets == ()


@pytest.mark.parametrize(
    ("who", "code"), [(MARY, None), (LAB, None), (WARD, "ROSTER"), (AUDITOR, "ROSTER")]
)
def test_only_owners_and_the_provider_may_listen(who: Identity, code: str | None) -> None:
    story = Story()
    member = story.session(who, Purpose.LISTEN, "")
    hello = read_hello(SessionOpen.unpack(member.opened.record))
    assert judge_open(story.context, hello, COORDINATOR) == code
