"""Catalogue against broker, the same cases for the real one and the in-memory one."""

from __future__ import annotations

import uuid

import pytest

from chiron_stream.broker.catalogue import Catalogue, load_catalogue
from chiron_stream.broker.drift import apply, compare
from chiron_stream.broker.records import TopicState
from chiron_stream.broker.seam import Broker
from chiron_stream.errors import CatalogueRefused, UsageRefused


@pytest.fixture
def job() -> str:
    return f"j{uuid.uuid4().hex[:12]}"


@pytest.fixture
def catalogue() -> Catalogue:
    return load_catalogue()


def test_apply_creates_what_plan_shows_and_then_nothing_differs(
    broker: Broker, job: str, catalogue: Catalogue
) -> None:
    administration = broker.administration()
    planned = compare(catalogue, job, administration)
    assert {(one.what, one.got) for one in planned} == {("topic", "missing")}
    assert apply(catalogue, job, administration) == planned
    assert compare(catalogue, job, administration) == []
    assert apply(catalogue, job, administration) == []


def test_changed_setting_is_found_and_mended(
    broker: Broker, job: str, catalogue: Catalogue
) -> None:
    administration = broker.administration()
    apply(catalogue, job, administration)
    name = catalogue.topics["journal"].on_broker(job)
    administration.configure(name, {"retention.ms": "60000"})
    [difference] = compare(catalogue, job, administration)
    assert (difference.topic, difference.what) == (name, "retention.ms")
    assert (difference.expected, difference.got, difference.can_apply) == ("-1", "60000", True)
    apply(catalogue, job, administration)
    assert compare(catalogue, job, administration) == []


def test_other_number_of_partitions_is_refused_and_nothing_is_changed(
    broker: Broker, job: str, catalogue: Catalogue
) -> None:
    administration = broker.administration()
    name = catalogue.topics["journal"].on_broker(job)
    administration.create(name, TopicState(partitions=3))
    with pytest.raises(CatalogueRefused) as refused:
        apply(catalogue, job, administration)
    assert refused.value.code == "TOPIC_DIFFERS"
    assert (refused.value.expected, refused.value.got) == ("1", "3")
    others = [topic.on_broker(job) for topic in catalogue.topics.values()]
    assert set(administration.describe(others)) == {name}


def test_other_number_of_copies_is_found_when_asked_for(
    broker: Broker, job: str, catalogue: Catalogue
) -> None:
    administration = broker.administration()
    apply(catalogue, job, administration, replication_factor=1)
    assert compare(catalogue, job, administration, replication_factor=1) == []
    found = compare(catalogue, job, administration, replication_factor=3)
    assert {one.what for one in found} == {"replication.factor", "min.insync.replicas"}


def test_topic_that_exists_is_not_created_again(broker: Broker, job: str) -> None:
    administration = broker.administration()
    administration.create(f"test.{job}", TopicState(partitions=1))
    with pytest.raises(UsageRefused) as refused:
        administration.create(f"test.{job}", TopicState(partitions=1))
    assert refused.value.code == "TOPIC_EXISTS"
