"""What a worker shows: one allow-list, whatever the way; counts and rounds a second, no rows."""

from __future__ import annotations

import re
from dataclasses import fields as fields_of
from pathlib import Path

import pytest

from chiron_stream import events, telemetry
from chiron_stream.attestation.evidence import ROLES
from chiron_stream.errors import BugFound
from chiron_stream.telemetry import ALLOWED, FIELDS, LOGGED, OTHER, Shown, checked
from chiron_stream.wire.courier import Progress
from enclave_workers.courier.health import Verdict
from enclave_workers.courier.telemetry import Board, Rate, exposition

GREEN = Verdict()
RED = Verdict("no-progress", 31.0)
DOCS = Path(__file__).parents[3] / "docs"
TRAINING = Progress(
    state="training", epoch=1, round=7, version=6, release=3, accepted=9, waiting=2, trained=7,
    open_slots=1, trainers=2, predictors=1,
)  # fmt: skip


def board(role: str = "coordinator", progress: Progress = TRAINING) -> Board:
    made = Board(role, 42, 1000.0)
    made.told(progress, 1001.0)
    return made


# the allow-list


def test_allow_list_is_what_the_issue_names_and_no_more() -> None:
    assert sorted(FIELDS) == sorted(
        [
            *("role", "pid", "metrics", "state", "waiting_for", "health", "reason", "healthy"),
            *("busy", "started", "last_progress", "lag", "tasks", "serves", "rounds_per_second"),
            *("epoch", "round", "open_slots", "version", "release", "accepted", "waiting"),
            *("trained", "void", "parked", "trainers", "predictors", "quarantined"),
        ]
    )


def test_nothing_that_is_shown_or_told_is_about_rows_or_steps() -> None:
    told = [one.name for one in fields_of(Progress)]
    words = re.compile(r"row|step|batch|byte|size|quer|loss|score|value")
    shown = [*told, *FIELDS, *(one.metric for one in ALLOWED)]
    assert [name for name in shown if words.search(name)] == []


def test_core_tells_counts_and_words_that_may_be_shown_and_nothing_else() -> None:
    for one in fields_of(Progress):
        assert one.name in FIELDS
        assert type(getattr(TRAINING, one.name)) is FIELDS[one.name].type
        assert FIELDS[one.name].type in (int, bool, str)


def test_only_rate_is_rounds_a_second() -> None:
    assert [name for name in FIELDS if "per" in name] == ["rounds_per_second"]


def test_log_has_fields_of_the_allow_list_only() -> None:
    _level, declared = events.EVENTS["worker.progress"]
    assert declared == LOGGED
    assert set(LOGGED) < set(FIELDS)


@pytest.mark.parametrize(
    "fields",
    [
        {"rows": 5},
        {"rows_per_second": 5.0},
        {"round": 5, "loss": 0.25},
        {"round": 5.0},
        {"round": True},
        {"round": -1},
        {"round": "5"},
        {"rounds_per_second": float("nan")},
        {"rounds_per_second": float("inf")},
        {"healthy": 1},
        {"state": "alice,42"},
        {"state": ""},
        {"reason": "row 7"},
        {"metrics": "127.0.0.1:80/alice"},
        {"metrics": "example.org:80"},
        {"lag": {"queries": 1.5}},
        {"lag": {'x"} 1\nrows': 1}},
        {"lag": 3},
    ],
)
def test_what_is_not_allowed_is_refused_in_every_way_and_its_value_is_not_shown(
    fields: dict[str, Shown],
) -> None:
    good = board().fields(GREEN, 1001.0)
    with pytest.raises(BugFound) as refused:
        exposition({**good, **fields})
    assert refused.value.code == "EVENT"
    assert not any(str(value) in str(refused.value) for value in fields.values() if value)
    with pytest.raises(BugFound):
        checked(fields)


def test_board_cannot_show_a_field_that_is_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same board shows what it has as long as the list names it."""
    assert board().fields(GREEN, 1001.0)["round"] == 7
    monkeypatch.setattr(telemetry, "FIELDS", {k: v for k, v in FIELDS.items() if k != "round"})
    with pytest.raises(BugFound, match="round may not be shown"):
        board().fields(GREEN, 1001.0)


def test_word_that_this_version_does_not_know_is_not_repeated() -> None:
    strange = board(progress=Progress("divining", waiting_for="alice"))
    shown = strange.fields(GREEN, 1001.0)
    assert (shown["state"], shown["waiting_for"]) == (OTHER, OTHER)
    assert strange.logged()["waiting_for"] == OTHER


def test_roles_are_those_that_there_are() -> None:
    assert telemetry.ROLES == ROLES


def test_every_word_for_what_a_job_waits_for_is_documented_and_known() -> None:
    page = (DOCS / "operating.md").read_text()
    table = page.partition("## What a job waits for")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == {*telemetry.WAITING} - {
        ""
    }


def test_every_reason_to_be_red_and_every_metric_is_documented() -> None:
    page = (DOCS / "telemetry.md").read_text()
    assert all(f"| `{one}` |" in page for one in telemetry.REASONS if one)
    assert all(f"`{one.metric}`" in page for one in ALLOWED if one.metric)
    assert "`chiron_worker_state`" in page


# what a role shows


def test_coordinator_shows_its_job() -> None:
    shown = board().fields(GREEN, 1004.0)
    assert {k: shown[k] for k in ("round", "open_slots", "waiting", "version", "release")} == {
        "round": 7,
        "open_slots": 1,
        "waiting": 2,
        "version": 6,
        "release": 3,
    }
    assert (shown["busy"], shown["last_progress"], shown["started"]) == (True, 1001.0, 1000.0)
    assert "serves" not in shown


def test_trainer_shows_its_tasks_and_nothing_of_the_job() -> None:
    shown = board("trainer", Progress("ready", tasks=3, busy=True)).fields(GREEN, 1001.0)
    assert (shown["tasks"], shown["busy"], shown["state"]) == (3, True, "ready")
    assert not {"round", "version", "accepted", "rounds_per_second", "serves"} & set(shown)


def test_predictor_shows_the_release_that_it_serves() -> None:
    shown = board("predictor", Progress("ready", release=5, tasks=2)).fields(GREEN, 1001.0)
    assert (shown["serves"], shown["tasks"]) == (5, 2)


def test_before_its_core_has_told_anything_a_worker_is_starting() -> None:
    shown = Board("trainer", 42, 1000.0).fields(GREEN, 1003.0)
    assert (shown["state"], shown["busy"], shown["last_progress"]) == ("starting", False, 1000.0)


def test_red_worker_says_why() -> None:
    shown = board().fields(RED, 1004.0)
    assert (shown["health"], shown["healthy"], shown["reason"]) == ("red", False, "no-progress")


def test_tasks_and_moves_of_a_trainer_fill_no_log() -> None:
    made = Board("trainer", 42, 1000.0)
    ready = Progress("ready")
    assert made.told(ready, 1001.0)
    assert not made.told(Progress("ready", tasks=1, busy=True), 1002.0)
    assert not made.told(Progress("ready", tasks=1, busy=True), 1009.0)
    assert made.fields(GREEN, 1009.0)["last_progress"] == 1009.0


def test_round_of_a_job_is_worth_a_line() -> None:
    made = board()
    assert not made.told(TRAINING, 1002.0)
    assert made.told(Progress("training", round=8), 1003.0)


# rounds a second


def test_rate_is_the_rise_over_the_time_since_the_first_count() -> None:
    rate = Rate(60.0)
    rate.saw(10, 0.0)
    assert rate.value(0.5) == 0.0
    rate.saw(14, 3.0)
    assert rate.value(4.0) == pytest.approx(1.0)


def test_rate_forgets_what_was_before_its_window() -> None:
    rate = Rate(60.0)
    for second in range(100):
        rate.saw(second * 2, float(second))
    assert rate.value(100.0) == pytest.approx(2.0, rel=0.05)
    assert rate.value(130.0) < 2.0
    assert rate.value(1000.0) == 0.0


def test_rate_of_nothing_and_of_a_single_count_is_0() -> None:
    rate = Rate()
    assert rate.value(5.0) == 0.0
    rate.saw(7, 0.0)
    rate.saw(7, 30.0)
    assert rate.value(50.0) == 0.0


# the text for Prometheus


def test_exposition_of_a_coordinator() -> None:
    made = board()
    made.metrics = "127.0.0.1:9200"
    made.lag = {"workers": 0, "control": 3}
    assert exposition(made.fields(GREEN, 1011.0)).splitlines()[:6] == [
        "# HELP chiron_worker_state What it is at.",
        "# TYPE chiron_worker_state gauge",
        'chiron_worker_state{role="coordinator",state="training",waiting_for="",reason=""} 1',
        "# HELP chiron_worker_healthy 1 when it is green.",
        "# TYPE chiron_worker_healthy gauge",
        "chiron_worker_healthy 1",
    ]
    lines = exposition(made.fields(RED, 1011.0)).splitlines()
    values = [line for line in lines if not line.startswith("#")]
    words = 'role="coordinator",state="training",waiting_for="",reason="no-progress"'
    assert values == [
        f"chiron_worker_state{{{words}}} 1",
        "chiron_worker_healthy 0",
        "chiron_worker_busy 1",
        "chiron_worker_start_time_seconds 1000.0",
        "chiron_worker_last_progress_timestamp_seconds 1001.0",
        'chiron_worker_lag{topic="control"} 3',
        'chiron_worker_lag{topic="workers"} 0',
        "chiron_job_rounds_per_second 0.0",
        "chiron_job_epoch 1",
        "chiron_job_round 7",
        "chiron_job_open_slots 1",
        "chiron_job_version 6",
        "chiron_job_release 3",
        "chiron_job_shards_accepted 9",
        "chiron_job_shards_waiting 2",
        "chiron_job_shards_trained 7",
        "chiron_job_shards_void 0",
        "chiron_job_shards_parked 0",
        "chiron_job_trainers 2",
        "chiron_job_predictors 1",
        "chiron_job_quarantined 0",
    ]


@pytest.mark.parametrize("role", ROLES)
def test_every_metric_has_its_help_and_type_and_ends_with_a_line(role: str) -> None:
    text = exposition(board(role).fields(GREEN, 1001.0))
    assert text.endswith("\n")
    names = re.findall(r"^([a-z_]+)(?:\{|\s)", text, re.MULTILINE)
    for name in set(names):
        kind = "counter" if name.endswith("_total") else "gauge"
        assert f"# TYPE {name} {kind}\n" in text
        assert re.search(rf"^# HELP {name} \S", text, re.MULTILINE)
    assert "chiron_worker_tasks_total" in names or role == "coordinator"
