"""When a worker is red and when it ends, as a function of signs and time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chiron_stream import timeouts
from chiron_stream.errors import Timeout
from chiron_stream.local.services import FINAL_CODES
from chiron_stream.wire import courier
from enclave_workers.courier.health import ENDS, SHORTEST, Signs, deadline_of, is_work, judge

DEADLINE = 30.0
IDLE = Signs(work=0.0, broker=0.0, reading=0.0, told=True, busy=False)
BUSY = replace(IDLE, busy=True)
HOURS = 36_000.0


def send(topic: str) -> courier.Send:
    return courier.Send(topic, 0, b"sealed", b"", b"")


def fresh(signs: Signs, now: float, **late: float) -> Signs:
    """Return signs that were all seen now but for some."""
    seen = {"work": now, "broker": now, "reading": now, **late}
    return Signs(seen["work"], seen["broker"], seen["reading"], signs.told, signs.busy)


def test_worker_with_fresh_signs_is_green() -> None:
    verdict = judge(fresh(BUSY, 100.0), DEADLINE, 100.0 + DEADLINE - 11)
    assert (verdict.health, verdict.reason, verdict.ends) == ("green", "", False)


def test_waiting_worker_is_green_however_long_nothing_is_given_to_it() -> None:
    """It goes on asking, and that is all there is to do."""
    verdict = judge(fresh(IDLE, HOURS), DEADLINE, HOURS + 1)
    assert verdict.health == "green"


def test_work_that_stands_still_past_the_deadline_is_red() -> None:
    signs = fresh(BUSY, 100.0, work=60.0)
    assert judge(signs, DEADLINE, 60.0 + DEADLINE).health == "green"
    verdict = judge(signs, DEADLINE, 60.0 + DEADLINE + 0.1)
    assert (verdict.reason, verdict.ends) == ("no-progress", False)
    assert verdict.seconds == pytest.approx(DEADLINE + 0.1)


def test_work_that_stands_still_for_two_deadlines_ends_the_worker() -> None:
    assert not judge(BUSY, DEADLINE, ENDS * DEADLINE).ends
    assert judge(BUSY, DEADLINE, ENDS * DEADLINE + 0.1).ends


def test_idle_core_that_asks_for_nothing_is_silent_and_ends_too() -> None:
    verdict = judge(IDLE, DEADLINE, DEADLINE + 1)
    assert (verdict.reason, verdict.ends) == ("silent", False)
    assert judge(IDLE, DEADLINE, ENDS * DEADLINE + 1).ends


def test_starting_core_has_longer() -> None:
    starting = replace(IDLE, told=False)
    now = timeouts.STALL
    assert judge(fresh(starting, now, work=0.0), 2.0, now).health == "green"
    assert judge(fresh(starting, now, work=0.0), 2.0, now + 1).reason == "silent"
    assert judge(starting, 2.0, ENDS * timeouts.STALL + 1).ends


def test_worker_whose_broker_says_nothing_is_red_and_stays() -> None:
    """Starting it again would not mend the broker."""
    late = timeouts.BROKER_SILENT + 1
    verdict = judge(fresh(IDLE, HOURS, broker=HOURS - late), DEADLINE, HOURS)
    assert (verdict.reason, verdict.ends) == ("broker", False)
    forever = judge(fresh(IDLE, HOURS, broker=0.0), DEADLINE, HOURS)
    assert (forever.reason, forever.ends) == ("broker", False)


def test_idle_worker_that_reads_nothing_of_what_there_is_is_behind() -> None:
    """The broker is asked every few seconds: a short deadline of its own makes nobody red."""
    assert judge(fresh(IDLE, HOURS, reading=HOURS - 60), 2.0, HOURS).health == "green"
    signs = fresh(IDLE, HOURS, reading=HOURS - timeouts.STALL - 1)
    assert judge(signs, DEADLINE, HOURS).reason == "behind"
    assert not judge(signs, DEADLINE, HOURS + 1).ends


def test_worker_at_work_need_not_read() -> None:
    signs = fresh(BUSY, HOURS, reading=0.0)
    assert judge(signs, DEADLINE, HOURS).health == "green"


def test_time_in_which_the_courier_itself_was_stopped_makes_nobody_red() -> None:
    signs = fresh(BUSY, 100.0)
    assert judge(signs, DEADLINE, 100.0 + HOURS).ends
    signs.forgive(HOURS)
    assert judge(signs, DEADLINE, 101.0 + HOURS).health == "green"


def test_standing_still_comes_before_other_reasons() -> None:
    assert judge(BUSY, DEADLINE, HOURS).reason == "no-progress"


@pytest.mark.parametrize(
    ("asked", "work"),
    [
        (courier.Append((send("presence"),)), False),
        (courier.Append((send("updates"),)), True),
        (courier.Append((send("presence"), send("updates"))), True),
        (courier.Poll(1, 250), True),
        (courier.Read("shards", 0, 0, 1, committed=False), True),
        (courier.Progress("ready", busy=True), True),
        (courier.Commit((send("journal"),)), True),
    ],
    ids=lambda one: type(one).__name__,
)
def test_heartbeat_is_no_sign_of_work(asked: courier.Request, work: bool) -> None:
    assert is_work(asked) is work


def test_trainer_has_its_policys_deadline_but_never_a_hasty_one() -> None:
    assert deadline_of("trainer", 45) == 45.0
    assert deadline_of("trainer", 1) == SHORTEST
    assert deadline_of("coordinator", 45) == deadline_of("predictor", 45) == timeouts.STALL


def test_exit_code_of_a_stalled_worker_is_one_after_which_it_is_started_again() -> None:
    assert Timeout.exit_code == 3
    assert Timeout.exit_code not in FINAL_CODES
