"""``chiron verify --replay``: rounds of several slots, and jobs without an end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chiron_stream.cli import main, verify
from chiron_stream.job.terms import Terms, read_terms
from chiron_stream.recipe import Recipe
from enclave_workers.local import LocalJob
from tests.local import jobs

ROWS = {"alice": 170, "anna": 120}
"""Slots of 50, 50, 50 and 20, and of 50, 50 and 20 rows."""

SPEC = """
from torch import nn
from chiron_stream.recipe.replaying import Spec
from tests.local import jobs

spec = Spec(
    jobs.model(),
    loss=nn.CrossEntropyLoss(),
    inputs={"input": ["east", "north"]},
    target="side",
    optimizer=jobs.OPTIMIZER,
    batch_size=jobs.BATCH,
)
"""

Verify = Callable[..., int]


@pytest.fixture(scope="module")
def finished(recipe: Recipe) -> Iterator[LocalJob]:
    """A closed job: passes of three rounds, of 3, 3 and 1 slots."""
    terms = jobs.terms(schedule={"slots": 3, "shards_per_slot": 1})
    with LocalJob(terms, workers={"coordinator": 1, "trainer": 2}) as job:
        job.provider().publish(recipe)
        for owner, rows in ROWS.items():
            jobs.publish(job, owner, rows)
        jobs.finish(job)
        yield job


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "provider.py"
    path.write_text(SPEC)
    return path


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, spec: Path) -> Verify:
    """Run the command against a job in this process."""

    def run(job: LocalJob, *arguments: str) -> int:
        monkeypatch.setattr(verify, "connection", lambda _ready, _job: {"broker": job.broker})
        where = ("--job", str(job.directory.path), "--insecure-simulation")
        size = ("--rows-per-shard", str(jobs.ROWS_PER_SHARD))
        return main.main(["verify", *where, "--replay", str(spec), *size, *arguments])

    return run


def first(count: int, table: dict[str, Any]) -> dict[str, Any]:
    return {name: column[:count] for name, column in table.items()}


def written(path: Path, table: dict[str, Any]) -> str:
    np.savez(path, **table)
    return str(path)


def rows(tmp_path: Path, **changed: dict[str, Any]) -> list[str]:
    """Return the flags that name each owner's rows; ``changed`` replaces tables."""
    flags = []
    for owner, count in ROWS.items():
        table = changed.get(owner, jobs.points(owner, count))
        flags += ["--rows", f"{owner}/points={written(tmp_path / f'{owner}.npz', table)}"]
    return flags


def test_rounds_of_several_slots_are_computed_again(
    finished: LocalJob, check: Verify, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [len(plan.slots) for plan in jobs.plans(finished)] == [3, 3, 1] * 2
    assert check(finished, *rows(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "6 checkpoints: signatures, evidence and chain are good",
        "6 rounds computed again: equal, bit for bit",
    ]


@pytest.mark.parametrize("owner", ROWS)
def test_one_other_row_names_the_first_round_that_its_slot_made(
    owner: str,
    finished: LocalJob,
    check: Verify,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = jobs.points(owner, ROWS[owner])
    last = ROWS[owner] - 1
    table["north"][last] = -table["north"][last]
    identity = {one.name: one.identity for one in finished.job.policy.roster}[owner]
    number = last // jobs.ROWS_PER_SHARD
    wanted = next(
        plan.round
        for plan in jobs.plans(finished)
        for slot in plan.slots
        for shard in slot.shards
        if (shard.owner, shard.number) == (identity, number)
    )
    assert check(finished, *rows(tmp_path, **{owner: table})) == 7
    message = capsys.readouterr().err.splitlines()[0]
    before = f"equal up to round {wanted - 1}; " if wanted > 1 else ""
    differs = f"round {wanted} differs from plain PyTorch's"
    assert message == f"chiron: error: {before}{differs} [REPLAY_DIFFERS]"


def test_owners_who_share_a_name_of_a_data_set_are_asked_for_by_their_own(
    finished: LocalJob, check: Verify, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "rows.npz", jobs.points("alice", 170))
    assert check(finished, "--rows", f"points={path}") == 2
    assert "rows are missing" in capsys.readouterr().err
    assert check(finished, "--rows", f"alice/points={path}") == 2
    assert "--rows anna/points=FILE" in capsys.readouterr().err


def test_table_that_is_too_short_is_refused(
    finished: LocalJob, check: Verify, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = first(160, jobs.points("alice", ROWS["alice"]))
    assert check(finished, *rows(tmp_path, alice=short)) == 2
    assert "shard 3 of points has other rows" in capsys.readouterr().err


def open_terms() -> Terms:
    """Return the terms of an open job: windows of one round of two slots, passed over twice."""
    schedule = {"kind": "open", "slots": 2, "owner_slots": 2, "shards_per_slot": 1, "passes": 2}
    members = {"owners": list(jobs.OWNERS), "provider": "bob", "clients": ["carol"]}
    return read_terms(
        {
            "name": "stream",
            **members,
            "auditor": "dan",
            "columns": jobs.COLUMNS,
            "schedule": {**schedule, "window": 1, "max_wait": 1},
        }
    )


def streamed(job: LocalJob, owner: str, data_set: str, count: int) -> None:
    """Publish rows and wait until they have trained as often as they are to."""
    table, size = first(count, jobs.points(owner)), jobs.ROWS_PER_SHARD
    publication = job.owner(owner).publish(table, dataset=data_set, rows_per_shard=size, fin=False)
    publication.wait("trained", 60)
    jobs.until(job, lambda: job.status is not None and job.status.waiting_for == "shards")
    publication.close()


def test_job_without_an_end_is_equal_up_to_the_round_that_it_has_come_to(
    recipe: Recipe, check: Verify, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with LocalJob(open_terms(), workers={"coordinator": 1, "trainer": 2}) as job:
        job.provider().publish(recipe)
        assert check(job) == 2
        assert "there is nothing to replay" in capsys.readouterr().err
        streamed(job, "alice", "monday", 130)
        alice, anna = jobs.points("alice"), jobs.points("anna")
        monday = f"monday={written(tmp_path / 'monday.npz', first(130, alice))}"
        assert check(job, "--rows", monday) == 0
        rounds = len(jobs.plans(job))
        sentence = f"{rounds} rounds computed again: equal, bit for bit"
        goes_on = f", up to round {rounds}: the job goes on"
        assert capsys.readouterr().out.splitlines()[1] == sentence + goes_on
        streamed(job, "alice", "monday", 200)
        streamed(job, "anna", "late", 70)
        assert check(job, "--rows", monday) == 2
        assert "--rows late=FILE" in capsys.readouterr().err
        monday = f"monday={written(tmp_path / 'grown.npz', alice)}"
        late = f"late={written(tmp_path / 'late.npz', first(70, anna))}"
        assert check(job, "--json", "--rows", monday, "--rows", late) == 0
        told = json.loads(capsys.readouterr().out.splitlines()[1])["data"]
        assert told["rounds"] == told["round"] == len(jobs.plans(job)) > rounds
        assert told["finished"] is False
