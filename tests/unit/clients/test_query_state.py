"""A query client's state: private, sealed, durable, and never enough to seal a query."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from chiron_stream.clients.identity import Identity
from chiron_stream.clients.state import Came, QueryState, TagTaken
from chiron_stream.clients.statekeys import Entry
from chiron_stream.errors import (
    ChironError,
    ConfigurationRefused,
    Fenced,
    TamperDetected,
    UsageRefused,
)
from chiron_stream.wire.serving import QueryName
from chiron_stream.wire.session import SessionKeys

CAROL = Identity.generate("carol")
JOB = bytes(32)
KEYS = SessionKeys(b"0123456789abcdef", bytes(range(32)))
NAME = QueryName(KEYS.session, 0)
ROW, RECORD, TAG = b"the packed row of a patient", b"the sealed record", "order-17"
NOW = 1_800_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "carol.state"


def state_at(path: Path | None, **options: object) -> QueryState:
    return QueryState(path, CAROL, JOB, partition=3, **options)  # type: ignore[arg-type]


def filled(path: Path | None) -> QueryState:
    """Return the state of a client that asked once, under a tag."""
    state = state_at(path)
    state.lock(0)
    state.add_session(KEYS.session, KEYS.answers, 40, NOW)
    state.add_query(TAG, ROW, NAME, RECORD, NOW)
    return state


def contents(path: Path) -> bytes:
    return b"".join(one.read_bytes() for one in path.parent.iterdir())


# the file


def test_file_and_what_stands_beside_it_are_the_owners_alone(path: Path) -> None:
    filled(path)
    found = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    names = {"carol.state", "carol.state-wal", "carol.state-shm", "carol.state.lock"}
    assert found == dict.fromkeys(names, 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620])
def test_file_that_others_may_read_is_refused(path: Path, mode: int) -> None:
    filled(path).close()
    path.chmod(mode)
    with pytest.raises(ConfigurationRefused) as refused:
        state_at(path)
    assert refused.value.code == "STATE_PERMISSIONS"
    assert refused.value.hint == f"run: chmod 600 {path}"


def test_reading_makes_no_file(path: Path) -> None:
    with pytest.raises(ConfigurationRefused) as refused:
        state_at(path, create=False)
    assert refused.value.code == "STATE_FILE"
    assert not path.exists()


def test_directory_is_refused(path: Path) -> None:
    path.mkdir(parents=True, mode=0o700)
    with pytest.raises(ConfigurationRefused, match="is no file"):
        state_at(path)


@pytest.mark.parametrize("kind", ["text", "other tables", "cut"])
def test_other_file_is_refused_and_left_as_it_is(path: Path, kind: str) -> None:
    path.parent.mkdir()
    if kind == "text":
        path.write_text("my notes " * 500)
    elif kind == "cut":
        filled(path).close()
        os.truncate(path, 5000)
    else:
        with sqlite3.connect(path) as other:
            other.execute("PRAGMA journal_mode = WAL")
            other.execute("CREATE TABLE accounts (money)")
        other.close()
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(ChironError) as refused:
        state_at(path).secret(KEYS.session)
    assert refused.value.code == "STATE_FILE"
    assert path.read_bytes() == before


def test_empty_file_becomes_a_state(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o600)
    assert state_at(path).partition == 3


@pytest.mark.parametrize("what", ["identity", "job"])
def test_state_of_another_identity_or_job_is_refused(path: Path, what: str) -> None:
    filled(path).close()
    identity = Identity.generate("carol") if what == "identity" else CAROL
    job = bytes(31) + b"1" if what == "job" else JOB
    with pytest.raises(ConfigurationRefused) as refused:
        QueryState(path, identity, job, partition=3)
    assert refused.value.code == "STATE_OWNER"


def test_file_holds_neither_keys_nor_tags_nor_rows(path: Path) -> None:
    filled(path)
    written = contents(path)
    for secret in (KEYS.prk, KEYS.queries, KEYS.answers, TAG.encode(), ROW, CAROL.hpke_seed):
        assert secret not in written
    assert KEYS.session in written  # control: what is in clear is found


def test_whoever_has_state_and_identity_gets_no_key_that_seals(path: Path) -> None:
    state = filled(path)
    opened: list[object] = [state.secret(KEYS.session)]
    connection = sqlite3.connect(path)
    for place, sealed in connection.execute("SELECT id, sealed FROM session"):
        opened += state._keys.open(Entry.SESSION, place, sealed).values()
    for number, sealed in connection.execute("SELECT number, sealed FROM query"):
        place = KEYS.session + number.to_bytes(8, "big")
        opened += state._keys.open(Entry.QUERY, place, sealed).values()
    connection.close()
    assert KEYS.answers in opened
    assert TAG in opened
    assert not {KEYS.prk, KEYS.queries, KEYS.control} & set(opened)


@pytest.mark.parametrize("column", ["session.sealed", "query.sealed", "query.number"])
def test_altered_entry_is_refused(path: Path, column: str) -> None:
    filled(path).close()
    table, _, name = column.partition(".")
    with sqlite3.connect(path) as connection:
        value = "number + 1" if name == "number" else "zeroblob(length(sealed))"
        connection.execute(f"UPDATE {table} SET {name} = {value}")  # noqa: S608  (of this test)
    connection.close()
    state = state_at(path)
    with pytest.raises(TamperDetected):
        state.secret(KEYS.session) if table == "session" else state.tagged(TAG, ROW)


def test_entry_of_one_session_does_not_pass_for_anothers(path: Path) -> None:
    state = filled(path)
    state.add_session(bytes(16), bytes(32), 0, NOW)
    state.close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE session SET sealed = (SELECT sealed FROM session WHERE id = ?)", (bytes(16),)
        )
    connection.close()
    with pytest.raises(TamperDetected):
        state_at(path).secret(KEYS.session)


def test_reopened_state_is_the_same(path: Path) -> None:
    first = filled(path)
    first.close()
    second = QueryState(path, CAROL, JOB, partition=1, create=False)
    assert (second.name, second.partition) == (first.name, 3)
    assert second.secret(KEYS.session) == KEYS.answers
    assert second.secret(bytes(16)) is None
    assert second.first_start() == 40


def test_state_that_many_make_at_once_is_one(path: Path) -> None:
    together = Barrier(6)

    def make() -> bytes:
        together.wait()
        return state_at(path).name

    with ThreadPoolExecutor(6) as pool:
        names = [one.result(60) for one in [pool.submit(make) for _ in range(6)]]
    assert len(set(names)) == 1


def test_closed_state_says_so(path: Path) -> None:
    state = filled(path)
    state.close()
    state.close()
    with pytest.raises(ChironError) as refused:
        state.tagged(TAG, ROW)
    assert refused.value.code == "CLOSED"


# one client asks


def test_second_asker_is_refused_and_readers_are_not(path: Path) -> None:
    first, second = filled(path), state_at(path)
    with pytest.raises(Fenced) as refused:
        second.lock(0)
    assert refused.value.code == "STATE_LOCKED"
    assert second.secret(KEYS.session) == KEYS.answers
    first.close()
    second.lock(0)


def test_lock_of_a_process_that_is_killed_is_free(path: Path) -> None:
    path.parent.mkdir()
    code = (
        "import sys; from pathlib import Path; from chiron_stream.clients.statefile import Lock;"
        "lock = Lock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        state = state_at(path)
        with pytest.raises(Fenced):
            state.lock(0)
        holder.kill()
        holder.wait(10)
        state.lock(0)


def test_copy_of_a_state_keeps_what_it_may_and_stands_alone(path: Path, tmp_path: Path) -> None:
    filled(path).close()
    copy = tmp_path / "copy.state"
    shutil.copy(path, copy)
    one, two = state_at(path), state_at(copy)
    one.lock(0)
    two.lock(0)
    for state in (one, two):
        asked = state.tagged(TAG, ROW)
        assert asked is not None
        assert asked.record == RECORD


# tags


@pytest.mark.parametrize("kept", [True, False])
def test_tag_stands_for_one_row(path: Path, kept: bool) -> None:
    state = filled(path if kept else None)
    asked = state.tagged(TAG, ROW)
    assert asked is not None
    assert (asked.name, asked.record, asked.came) == (NAME, RECORD, None)
    assert state.tagged("order-18", ROW) is None
    with pytest.raises(TagTaken) as refused:
        state.tagged(TAG, ROW + b"!")
    told = " ".join(refused.value.diagnostics().values())
    assert refused.value.code == "TAG_TAKEN"
    assert TAG not in told


@pytest.mark.parametrize("tag", ["", "x" * 257, "é" * 129, "\ud800"])
def test_tag_that_is_none_is_refused(tag: str) -> None:
    with pytest.raises(UsageRefused) as refused:
        state_at(None).tagged(tag, ROW)
    assert refused.value.code == "TAG"


def test_longest_tag_is_taken_and_told_again() -> None:
    state = filled(None)
    tag = "é" * 128
    name = QueryName(KEYS.session, 1)
    state.add_query(tag, ROW, name, RECORD, NOW)
    assert state.tag_of(name) == tag
    assert state.tag_of(QueryName(KEYS.session, 2)) is None


def test_what_is_older_than_the_brokers_records_is_forgotten(path: Path) -> None:
    state = filled(path)
    other, later = QueryName(bytes(16), 0), NOW + 100
    state.add_session(other.session, bytes(32), 90, later)
    state.add_query("order-18", ROW, other, RECORD, later)
    state.note([Came(NAME, 41, b"sealed"), Came(other, 91, b"sealed")], NOW)
    state.lock(later)
    assert state.tagged(TAG, ROW) is None
    assert state.tagged("order-18", ROW) is not None
    assert QueryState(path, CAROL, JOB, partition=0).secret(KEYS.session) is None
    assert state.first_start() == 90


def test_session_whose_answers_still_come_is_kept(path: Path) -> None:
    state = filled(path)
    state.note([Came(NAME, 41, b"sealed")], NOW + 200)
    state.lock(NOW + 100)
    assert state.tagged(TAG, ROW) is None
    assert state.first_start() == 40


# answers


def test_first_answer_is_the_first_to_everybody(path: Path) -> None:
    asker = filled(path)
    first, copy = Came(NAME, 41, b"sealed"), Came(NAME, 50, b"sealed")
    assert asker.note([first, copy], NOW) == [True, False]
    reader = state_at(path)
    assert reader.note([copy], NOW) == [False]
    assert reader.note([first, copy], NOW) == [True, False]
    assert asker.note([], NOW) == []


def test_answer_to_a_tag_is_kept_and_no_longer_missing(path: Path) -> None:
    state = filled(path)
    assert state.unanswered_start() == 40
    came = Came(NAME, 41, b"sealed")
    state_at(path).note([came], NOW)
    asked = state.tagged(TAG, ROW)
    assert asked is not None
    assert asked.came == came
    assert state.unanswered_start() is None
