"""Grants: charged when granted, to one boot, never above the ceiling, never refunded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.wire.serving import Grant
from enclave_workers.core.coordinator.effects import Broadcast, Effect
from enclave_workers.core.coordinator.events import Activated, Lost
from tests.unit.core.story import COORDINATOR, Story, every, only, with_disclosure
from tests.unit.job.builders import MARY, WARD


def granted(effects: list[Effect]) -> Grant:
    grant = only(Broadcast, effects).body
    assert isinstance(grant, Grant)
    return grant


def test_grant_is_charged_and_names_session_boot_and_what_is_left() -> None:
    story = Story()
    client, predictor = story.client(), story.join("predictor")
    grant = granted(story.tell(predictor.asks(client.session)))
    assert (grant.session, grant.boot) == (client.session, predictor.boot)
    assert (grant.count, grant.left) == (2, 3)
    assert story.state.ledger == {WARD.public: 2}
    assert story.state.granted == {client.session + predictor.boot: 2}


def test_grant_names_the_journal_s_index_and_head() -> None:
    story = Story()
    client, predictor = story.client(), story.join("predictor")
    grant = granted(story.tell(predictor.asks(client.session)))
    assert grant.journal_index == story.sealer.index - 1
    assert grant.journal_head == story.sealer.head


def test_last_grant_is_what_is_left_and_then_there_are_none() -> None:
    story = Story()
    client, predictor = story.client(), story.join("predictor")
    counts = [granted(story.tell(predictor.asks(client.session))) for _ in range(5)]
    assert [(one.count, one.left) for one in counts] == [(2, 3), (2, 1), (1, 0), (0, 0), (0, 0)]


def test_ceiling_is_the_identity_s_whatever_session_or_boot() -> None:
    story = Story()
    first, second = story.client(), story.client()
    one, other = story.join("predictor"), story.join("predictor")
    for predictor, client in ((one, first), (other, first), (one, second), (other, second)):
        story.tell(predictor.asks(client.session))
    assert story.state.ledger == {WARD.public: 5}
    assert sum(story.state.granted.values()) == 5


def test_restart_refunds_nothing() -> None:
    story = Story()
    client, predictor = story.client(), story.join("predictor")
    story.tell(predictor.asks(client.session))
    story.tell(Lost(predictor.boot, "silent"))
    story.tell(Activated(2, COORDINATOR))
    successor = story.join("predictor")
    successor.epoch = 2
    grant = granted(story.tell(successor.asks(client.session)))
    assert (grant.count, grant.left) == (2, 1)
    assert story.state.ledger == {WARD.public: 4}


def test_no_session_and_another_kind_of_session_get_no_grant() -> None:
    story = Story()
    owner, predictor = story.open(MARY), story.join("predictor")
    assert story.tell(predictor.asks(bytes(16))) == []
    assert story.tell(predictor.asks(owner.session)) == []
    assert story.state.ledger == {}


@given(
    ceiling=st.integers(1, 30),
    size=st.integers(1, 30),
    asking=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=40),
)
def test_ceiling_is_never_exceeded(ceiling: int, size: int, asking: list[tuple[int, int]]) -> None:
    story = Story(with_disclosure(answers_per_client=ceiling, grant_size=min(size, ceiling)))
    clients = [story.client() for _ in range(3)]
    predictors = [story.join("predictor") for _ in range(3)]
    for client, predictor in asking:
        story.tell(predictors[predictor].asks(clients[client].session))
    grants = [one.body for one in every(Broadcast, story.effects) if isinstance(one.body, Grant)]
    assert sum(one.count for one in grants) == story.state.ledger.get(WARD.public, 0) <= ceiling
    assert all(one.left >= 0 for one in grants)
    assert sum(story.state.granted.values()) == sum(one.count for one in grants)
