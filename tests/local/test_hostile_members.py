"""Owners, providers and clients who send what they should not: named, left out, survived."""

from __future__ import annotations

import math
import os

import pytest

from chiron_stream.clients import owner as owner_module
from chiron_stream.clients.identity import Identity
from chiron_stream.clients.owner import DataOwner
from chiron_stream.errors import JobRefused, RecipeRefused
from chiron_stream.job.simulation import InsecureSimulation
from chiron_stream.recipe import Recipe
from chiron_stream.wire.control import Fin, RecipeManifest
from chiron_stream.wire.objects import ObjectRef
from chiron_stream.wire.session import Purpose
from enclave_workers.local import LocalJob
from tests.local import jobs
from tests.local.forging import Session, open_as, unchecked

CORES = {"coordinator": 1, "trainer": 1}


def member(job: LocalJob, name: str) -> Identity:
    return Identity.load(job.directory.identity(name))


@pytest.mark.parametrize(
    ("value", "words"),
    [(math.nan, "not a number"), (math.inf, "out of range"), (99.0, "out of range")],
)
def test_shard_with_an_invalid_value_is_void_and_the_job_goes_on(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, value: float, words: str
) -> None:
    with LocalJob(jobs.terms(), workers=CORES) as job:
        job.provider().publish(recipe)
        anna = jobs.publish(job, "anna")
        monkeypatch.setattr(owner_module, "prepare", unchecked({53: value}))
        alice = jobs.publish(job, "alice")
        alice.wait("trained", 30)
        anna.wait("trained", 30)
        jobs.finish(job)
        assert alice.voided == {1: f"column 'east', row 3: {_found(words)}"}
        assert [one.shard for one in alice.receipts()] == [0, 2, 3]
        assert job.wait(lambda status: status.void == 1).trained == 7
        assert jobs.same_bits(job)


def _found(words: str) -> str:
    return words if words == "not a number" else f"a value {words}"


def test_owner_of_nothing_but_invalid_shards_is_left_out(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalJob(jobs.terms(), workers=CORES) as job:
        job.provider().publish(recipe)
        anna = jobs.publish(job, "anna")
        monkeypatch.setattr(owner_module, "prepare", unchecked(dict.fromkeys(range(200), math.nan)))
        alice = jobs.publish(job, "alice")
        alice.wait("trained", 30)
        jobs.finish(job)
        anna.wait("trained", 30)
        assert sorted(alice.voided) == [0, 1, 2, 3]
        assert jobs.same_bits(job)


@pytest.mark.parametrize(
    "claim",
    [
        {"partition": 2**60},
        {"partition": 4},
        {"records": 2**40},
        {"records": 0},
        {"first": 2**63},
        {"rows": 10_000_000},
    ],
    ids=lambda claim: next(iter(claim.items())),
)
def test_announcement_of_what_cannot_be_parks_a_shard_and_the_trainer_lives(
    recipe: Recipe, claim: dict[str, int]
) -> None:
    with LocalJob(jobs.terms(), workers=CORES) as job:
        job.provider().publish(recipe)
        anna = jobs.publish(job, "anna")
        session = Session(job, job.owner("alice"), "points")
        session.announces(**claim)
        session.says(Fin(1))
        job.wait(lambda status: status.parked == 1)
        assert jobs.all_alive(job)
        session.open.replies.close()
        jobs.publish(job, "alice").wait("accepted", 10)
        anna.wait("trained", 30)


@pytest.mark.parametrize("topic", ["no-such-topic", "journal", "shards"])
def test_recipe_that_points_elsewhere_is_refused_and_the_next_one_taken(
    recipe: Recipe, topic: str
) -> None:
    with LocalJob(jobs.terms(), workers=CORES) as job:
        place = ObjectRef(topic, 0, 0, 0, bytes(16), 1, 1, bytes(32))
        session = Session(job, job.provider())
        session.says(RecipeManifest(place, place))
        assert session.refusals() == ["PLACE"]
        job.provider().publish(recipe)
        assert jobs.all_alive(job)


def test_recipe_beyond_the_limits_is_refused_to_its_provider(recipe: Recipe) -> None:
    with LocalJob(jobs.terms(limits={"parameter_bytes": 100}), workers=CORES) as job:
        with pytest.raises(RecipeRefused) as refused:
            job.provider().publish(recipe)
        assert refused.value.code == "GRAPH_MEMORY"
        assert jobs.all_alive(job)


@pytest.mark.parametrize(
    "definition",
    [b"", b"\x80\x04\x95.", b"{}", "\U0001f984".encode() * 4000, b'"\\ud800"', b"[" * 10_000],
    ids=["empty", "pickle", "no-keys", "unicorns", "surrogate", "deep"],
)
def test_recipe_that_is_none_is_refused_and_the_next_one_taken(
    recipe: Recipe, definition: bytes
) -> None:
    with LocalJob(jobs.terms(), workers=CORES) as job:
        provider = job.provider()
        with pytest.raises(RecipeRefused):
            provider.publish(Recipe(definition, recipe.weights, recipe.checked))
        provider.publish(recipe)
        assert jobs.all_alive(job)


def test_refusal_that_quotes_other_scripts_reaches_its_provider(recipe: Recipe) -> None:
    with LocalJob(jobs.terms(), workers=CORES) as job:
        provider = job.provider()
        text = recipe.definition.decode().replace('"east"', '"' + "\u4e1c" * 250 + '"')
        with pytest.raises(RecipeRefused):
            provider.publish(Recipe(text.encode(), recipe.weights, recipe.checked))
        assert jobs.all_alive(job)


def test_weights_of_another_length_are_refused(recipe: Recipe) -> None:
    with LocalJob(jobs.terms(), workers=CORES) as job:
        with pytest.raises(RecipeRefused):
            job.provider().publish(Recipe(recipe.definition, b"short", recipe.checked))
        assert jobs.all_alive(job)


def test_key_that_is_not_in_the_roster_is_refused_before_anything_is_sent() -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1}) as job:
        stranger = Identity.generate("alice")
        with pytest.raises(JobRefused) as refused:
            DataOwner(job.job, stranger, evidence=InsecureSimulation(), broker=job.broker)
        assert refused.value.code == "ROSTER"


def test_caller_who_did_not_ask_for_simulation_is_refused() -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1}) as job:
        with pytest.raises(JobRefused) as refused:
            DataOwner(job.job, job.directory.identity("alice"), broker=job.broker)
        assert refused.value.code == "SIMULATION"


def test_session_of_a_stranger_is_rejected_and_that_of_a_member_is_not() -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1}) as job:
        forged = open_as(job, Identity.generate("alice"), Purpose.PUBLISH)
        assert jobs.rejection(job, "control", forged).code == "ROSTER"
        before = len(jobs.records(job, "replies"))
        open_as(job, member(job, "alice"), Purpose.PUBLISH)
        jobs.until(job, lambda: len(jobs.records(job, "replies")) == before + 1)
        assert len(jobs.rejected(job)) == 1


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"purpose": Purpose.RECIPE}, "ROSTER"),
        ({"job": bytes(32)}, "JOB"),
        ({"policy_head": bytes(32)}, "POLICY"),
        ({"suite": 2}, "SUITE"),
    ],
)
def test_session_of_another_purpose_job_policy_or_suite_is_rejected(
    parts: dict[str, object], code: str
) -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1}) as job:
        offset = open_as(job, member(job, "alice"), Purpose.PUBLISH, **parts)
        assert jobs.rejection(job, "control", offset).code == code


def test_session_that_wants_answers_where_there_is_no_partition_is_rejected() -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1}) as job:
        carol = member(job, "carol")
        offset = open_as(job, carol, Purpose.QUERY, answer_partition=2**40)
        assert jobs.rejection(job, "control", offset).code == "ANSWER_PARTITION"
        open_as(job, carol, Purpose.QUERY, answer_partition=3)
        jobs.until(job, lambda: len(jobs.records(job, "sessions")) == 1)


def test_session_of_the_wrong_coordinator_is_refused_as_stale() -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1}) as job:
        open_as(job, member(job, "alice"), Purpose.PUBLISH, coordinator=os.urandom(32))
        jobs.until(job, lambda: b"STALE" in b"".join(x.value for x in jobs.records(job, "replies")))
