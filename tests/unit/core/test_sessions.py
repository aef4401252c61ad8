"""Sessions: who is answered what, and what a publisher's claim does."""

from __future__ import annotations

import pytest

from chiron_stream.clients.identity import Identity
from chiron_stream.errors import TamperDetected
from chiron_stream.wire.control import Fin
from chiron_stream.wire.replies import Accept, Acknowledged, Superseded
from chiron_stream.wire.serving import QuerySession
from chiron_stream.wire.session import Hello, Purpose, SessionOpen
from chiron_stream.wire.workers import Outcome
from enclave_workers.core.coordinator.announcing import read_controlled
from enclave_workers.core.coordinator.effects import Broadcast, RefuseSession
from enclave_workers.core.coordinator.events import OpenRefused
from enclave_workers.core.coordinator.opening import PARKED_LISTED, judge_open
from tests.unit.core.story import (
    COORDINATOR,
    Story,
    announcement,
    digest,
    every,
    faulty,
    only,
    replies,
    running,
    source,
    with_schedule,
)
from tests.unit.job.builders import JOHN, LAB, MARY, STRANGER, WARD


def test_first_session_starts_at_shard_zero() -> None:
    story = Story()
    member = story.session(MARY)
    assert replies(story.tell(member.opened), member) == [Accept(0, b"", (), fin=False)]


def test_session_seen_before_is_answered_again_and_claims_nothing() -> None:
    story = Story()
    first, second = story.open(MARY), story.open(MARY)
    effects = story.tell(first.opened)
    assert replies(effects, first) == [Accept(0, b"", (), fin=False)]
    assert story.state.data_sets[0].claim == second.session
    assert not story.state.sessions[first.session].open


def test_new_session_supersedes_the_claim_and_its_publisher_is_told() -> None:
    story = Story()
    first, second = story.open(MARY), story.session(MARY)
    effects = story.tell(second.opened)
    assert replies(effects, first) == [Superseded(second.session)]
    assert replies(effects, second) == [Accept(0, b"", (), fin=False)]


def test_superseded_session_s_records_are_refused() -> None:
    story = Story()
    first = story.open(MARY)
    record = first.record(announcement(0))
    read_controlled(story.state, record)
    story.open(MARY)
    with pytest.raises(TamperDetected) as refused:
        read_controlled(story.state, record)
    assert refused.value.code == "SUPERSEDED"


def test_superseding_leaves_other_owners_and_their_data_sets_alone() -> None:
    story = Story()
    john = story.open(JOHN)
    story.open(MARY)
    story.open(MARY)
    assert story.state.sessions[john.session].open


def test_accept_names_the_next_shard_and_the_token_behind_the_last() -> None:
    story = Story()
    story.publish(MARY, [10, 10, 10], fin=False)
    member = story.session(MARY)
    accept = only(Accept, replies(story.tell(member.opened), member))
    assert (accept.next_number, accept.token, accept.fin) == (3, b"token 2", False)


def test_accept_says_that_the_data_set_is_whole() -> None:
    story = Story()
    story.publish(MARY, [10])
    member = story.session(MARY)
    assert only(Accept, replies(story.tell(member.opened))).fin


def test_accept_lists_parked_shards_with_their_own_and_the_preceding_token() -> None:
    story, trainer = running(mary=[10, 10])
    slot = next(one for one in story.slots if len(one.shards) == 2)
    story.tell(trainer.reports_that(faulty(slot, Outcome.PARKED, 0, 1, reason="SHARD_MISSING")))
    member = story.session(MARY)
    accept = only(Accept, replies(story.tell(member.opened), member))
    first, second = accept.parked
    assert (first.number, first.token, first.before) == (0, b"token 0", b"")
    assert (second.number, second.token, second.before) == (1, b"token 1", b"token 0")
    assert second.reason == "SHARD_MISSING"


def test_accept_of_very_many_parked_shards_still_fits_into_a_reply() -> None:
    story, trainer = running(with_schedule(shards_per_slot=200), mary=[10] * 100, john=[10])
    slot = next(one for one in story.slots if len(one.shards) == 100)
    story.tell(trainer.reports_that(faulty(slot, Outcome.PARKED, *range(100))))
    member = story.session(MARY)
    accept = only(Accept, replies(story.tell(member.opened), member))
    assert len(accept.parked) == PARKED_LISTED


def test_data_set_that_the_policy_does_not_list_is_refused() -> None:
    story = Story()
    member = story.session(MARY, data_set="other")
    answer = only(Acknowledged, replies(story.tell(member.opened), member))
    assert [one.code for one in answer.refusals] == ["DATA_SET"]
    assert story.state.data_sets == ()
    with pytest.raises(TamperDetected, match="closed session"):
        read_controlled(story.state, member.record(announcement(0)))


def test_data_set_of_another_owner_cannot_be_claimed() -> None:
    story = Story(with_schedule(data_sets=Story().context.policy.schedule.data_sets[:1]))
    john = story.session(JOHN)
    answer = only(Acknowledged, replies(story.tell(john.opened), john))
    assert [one.code for one in answer.refusals] == ["DATA_SET"]


def test_query_session_is_shared_with_predictors() -> None:
    story = Story()
    member = story.session(WARD, Purpose.QUERY, "")
    shared = only(Broadcast, story.tell(member.opened)).body
    assert isinstance(shared, QuerySession)
    assert (shared.session, shared.query_key) == (member.session, member.keys.queries)
    assert (shared.answer_secret, shared.answer_partition) == (member.keys.answers, 1)


def test_refused_open_is_answered_in_clear_and_leaves_no_session() -> None:
    story = Story()
    effects = story.tell(OpenRefused(source("control"), bytes(16), "STALE"))
    assert effects == [RefuseSession(bytes(16), "STALE")]
    assert story.state.sessions == {}


def hello(story: Story, who: Identity, purpose: Purpose) -> Hello:
    return Hello.unpack(SessionOpen.unpack(story.session(who, purpose).opened.record).hello)


@pytest.mark.parametrize(
    ("who", "purpose", "code"),
    [
        (MARY, Purpose.PUBLISH, None),
        (LAB, Purpose.RECIPE, None),
        (WARD, Purpose.QUERY, None),
        (STRANGER, Purpose.PUBLISH, "ROSTER"),
        (MARY, Purpose.RECIPE, "ROSTER"),
        (WARD, Purpose.PUBLISH, "ROSTER"),
        (LAB, Purpose.QUERY, "ROSTER"),
    ],
)
def test_open_is_judged_by_the_roster(who: Identity, purpose: Purpose, code: str | None) -> None:
    story = Story()
    assert judge_open(story.context, hello(story, who, purpose), COORDINATOR) == code


def test_open_to_an_older_boot_is_stale() -> None:
    story = Story()
    assert judge_open(story.context, hello(story, MARY, Purpose.PUBLISH), digest("new")) == "STALE"


def test_open_of_another_job_or_policy_is_refused() -> None:
    story, other = Story(), Story(with_schedule(passes=3))
    one = hello(other, MARY, Purpose.PUBLISH)
    assert judge_open(story.context, one, COORDINATOR) == "JOB"


def test_claim_survives_and_goes_on_after_fin() -> None:
    story = Story()
    story.publish(MARY, [10, 10])
    again = story.open(MARY)
    story.tell(again.says(Fin(2)))
    assert story.state.sessions[again.session].refusals == ()
    assert every(Superseded, replies(story.effects)) == [Superseded(again.session)]
