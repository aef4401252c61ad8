"""Watching: what the broker is asked, what the status file says, and when the end is called for."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chiron_stream import events
from chiron_stream.broker.catalogue import load_catalogue
from chiron_stream.broker.drift import apply
from chiron_stream.broker.memory import MemoryBroker
from chiron_stream.broker.records import Partition, Watermarks
from chiron_stream.errors import BrokerUnreachable
from chiron_stream.local.workers import OLD_SECONDS, ages, sentence, workers
from chiron_stream.wire.courier import Append, Poll, Progress, Send
from enclave_workers.courier import watch as watching
from enclave_workers.courier.effects import Effects
from enclave_workers.courier.health import Verdict
from enclave_workers.courier.telemetry import Board
from enclave_workers.courier.watch import Watch
from tests.kafka.processes import eventually


class Moody(MemoryBroker):
    """A broker that may fall silent."""

    silent = False

    def watermarks(self, partition: Partition) -> Watermarks:
        if self.silent:
            raise BrokerUnreachable("nobody answers")
        return super().watermarks(partition)


@pytest.fixture
def broker() -> Moody:
    made = Moody()
    apply(load_catalogue(), "job", made.administration())
    return made


@pytest.fixture
def effects(broker: Moody) -> Iterator[Effects]:
    made = Effects(broker, load_catalogue(), "job")
    yield made
    made.close()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root, ours = logging.getLogger(), logging.getLogger("chiron_stream")
    before = (root.handlers[:], root.level, ours.level)
    stream = io.StringIO()
    events.configure(stream)
    yield stream
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)


def append(effects: Effects, topic: str, count: int) -> None:
    effects.append([Send(topic, 0, b"x", b"", b"")] * count)


# how far the core has come


def test_what_nobody_follows_is_not_asked_for(effects: Effects, broker: Moody) -> None:
    broker.silent = True
    assert effects.reading() == []


def test_reading_counts_what_the_core_has_not_taken(effects: Effects) -> None:
    append(effects, "control", 5)
    effects.follow("control", 0, 0, committed=False)
    assert len(effects.poll(2, 5.0)) == 2
    assert effects.reading() == [("control", 2, 5)]
    while effects.poll(10, 0.0):
        pass
    assert effects.reading() == [("control", 5, 5)]


def test_committed_reader_is_not_behind_a_transaction_that_is_open(effects: Effects) -> None:
    """Nor behind the marker of one that was committed."""
    effects.start_writer()
    effects.commit([Send("tasks", 0, b"x", b"", b"")])
    effects.follow("tasks", 0, 0, committed=True)
    assert len(effects.poll(10, 5.0)) == 1
    ((topic, position, end),) = effects.reading()
    assert (topic, end - position) == ("tasks", 0)


def test_reading_of_a_silent_broker_is_an_error(effects: Effects, broker: Moody) -> None:
    effects.follow("control", 0, 0, committed=False)
    effects.poll(1, 0.0)
    broker.silent = True
    with pytest.raises(BrokerUnreachable):
        effects.reading()


# the watch


class Watched:
    """A watch with its board, its status file, and the verdicts that it called the end by."""

    def __init__(self, effects: Effects, path: Path, deadline: float, role: str) -> None:
        self.board = Board(role, 42, time.time())
        self.path = path
        self.ends: list[Verdict] = []
        self.watch = Watch(self.board, effects, deadline, path)
        self.watch.start(self.ends.append)

    @property
    def status(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.path.read_text()) if self.path.exists() else {}
        return found

    def shows(self, name: str, value: object, *, polls: bool = False) -> None:
        """Wait until the status file says so; the core goes on asking, or asks for nothing."""

        def shown() -> bool:
            if polls:
                self.watch.asked(Poll(1, 250))
            return self.status.get(name) == value

        eventually(shown, f"{name} is {value!r}")


@pytest.fixture
def watched(
    effects: Effects, tmp_path: Path, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Watched]:
    monkeypatch.setattr(watching, "READING_SECONDS", 0.1)
    made = Watched(effects, tmp_path / "trainer-0.json", 1.0, "trainer")
    yield made
    made.watch.stop()


def test_status_file_shows_what_the_core_told(watched: Watched, log: io.StringIO) -> None:
    watched.shows("state", "starting")
    watched.watch.told(Progress("ready", tasks=2, busy=True))
    watched.shows("tasks", 2)
    assert (watched.status["busy"], watched.status["health"]) == (True, "green")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["state"] for line in lines if line["event"] == "worker.progress"] == ["ready"]


def test_heart_that_beats_does_not_keep_a_worker_green(watched: Watched, log: io.StringIO) -> None:
    beat = Append((Send("presence", 0, b"x", b"", b""),))
    watched.watch.told(Progress("ready", tasks=1, busy=True))

    def red() -> bool:
        watched.watch.asked(beat)
        return watched.status.get("health") == "red"

    eventually(red, "the worker is red")
    assert watched.status["reason"] == "no-progress"
    eventually(lambda: bool(watched.ends), "the end is called for")
    assert watched.ends[0].seconds > 2.0
    said = [json.loads(line) for line in log.getvalue().splitlines()]
    health = [line["reason"] for line in said if line["event"] == "worker.health"]
    stalled = [line for line in said if line["event"] == "worker.stalled"]
    assert health == ["no-progress"]
    assert [(one["role"], one["reason"]) for one in stalled] == [("trainer", "no-progress")]


def test_work_makes_a_red_worker_green_again(watched: Watched, log: io.StringIO) -> None:
    watched.watch.told(Progress("ready"))
    watched.shows("reason", "silent")
    watched.shows("health", "green", polls=True)


def test_end_is_called_for_once(watched: Watched) -> None:
    watched.watch.told(Progress("ready"))
    eventually(lambda: bool(watched.ends), "the end is called for")
    written = watched.path.stat().st_mtime_ns
    eventually(lambda: watched.path.stat().st_mtime_ns > written, "another look")
    assert len(watched.ends) == 1


def test_lag_is_shown_by_topic(watched: Watched, effects: Effects) -> None:
    append(effects, "control", 3)
    effects.follow("control", 0, 0, committed=False)
    effects.poll(1, 5.0)
    watched.shows("lag", {"control": 2})


def test_silent_broker_makes_red_and_its_answer_green(
    watched: Watched, effects: Effects, broker: Moody, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chiron_stream.timeouts.BROKER_SILENT", 0.5)
    effects.follow("control", 0, 0, committed=False)
    effects.poll(1, 0.0)
    watched.watch.told(Progress("ready"))

    broker.silent = True
    watched.shows("reason", "broker", polls=True)
    broker.silent = False
    watched.shows("reason", "", polls=True)
    assert watched.ends == []


def test_worker_that_reads_nothing_is_behind(
    watched: Watched, effects: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chiron_stream.timeouts.STALL", 1.0)
    append(effects, "control", 3)
    effects.follow("control", 0, 0, committed=False)
    effects.poll(1, 5.0)
    watched.watch.told(Progress("ready"))

    watched.shows("reason", "behind", polls=True)
    assert watched.ends == []


def test_status_that_cannot_be_written_ends_nothing(effects: Effects, tmp_path: Path) -> None:
    made = Watched(effects, tmp_path / "none" / "trainer-0.json", 0.2, "trainer")
    made.watch.told(Progress("ready"))
    eventually(lambda: bool(made.ends), "the end is called for")
    made.watch.stop()


def test_watch_that_never_began_can_be_stopped(effects: Effects) -> None:
    Watch(Board("trainer", 42, 0.0), effects, 1.0, None).stop()


# what ``chiron status`` makes of it


def test_workers_are_read_from_their_files(tmp_path: Path) -> None:
    for role in ("trainer", "coordinator"):
        board = Board(role, 42, 1000.0)
        board.told(Progress("ready", open_slots=2, tasks=3, busy=True), 1001.0)
        (tmp_path / f"{role}-0.json").write_text(json.dumps(board.fields(Verdict(), 1002.0)))
    (tmp_path / "lock").write_text("1")
    now = (tmp_path / "trainer-0.json").stat().st_mtime
    coordinator, trainer = workers(tmp_path, now + 1)
    assert sentence(coordinator) == "coordinator-0: green, ready, 2 open slots"
    assert sentence(trainer) == "trainer-0: green, ready, busy"
    assert ages({**trainer, "progress_age": 4.0}) == ", 3 tasks, progress 4 s ago (process 42)"
    assert 0.9 <= trainer["age"] <= 1.1


def test_worker_whose_file_grows_old_is_red(tmp_path: Path) -> None:
    path = tmp_path / "trainer-0.json"
    path.write_text(json.dumps(Board("trainer", 42, 1000.0).fields(Verdict(), 1000.0)))
    now = path.stat().st_mtime
    (fresh,), (old,) = workers(tmp_path, now), workers(tmp_path, now + OLD_SECONDS + 1)
    assert (fresh["health"], fresh["reason"]) == ("green", "")
    assert (old["health"], old["reason"], old["healthy"]) == ("red", "no-status", False)
    assert sentence(old) == "trainer-0: red (no-status), starting"
