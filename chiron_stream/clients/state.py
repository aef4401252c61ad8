"""What a query client keeps: the answer keys of its sessions, and what it asked under tags.

* Whoever has the state and the identity opens answers, and sends again, byte for byte, what was
  asked under a tag. **No key that seals queries is in it**: a process that goes on with it, or with
  a copy, seals under a session of its own. So no number of a session ever seals two rows.
* Keys, tags and queries are sealed to the identity and the job: the file alone tells how many
  queries there were and when, and holds ciphertexts that the broker has too.
* A tagged query is on disk before it is sent. Which answers came is noted, not synced.

Nothing is used that does not open under the identity's key.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chiron_stream.clients.cursors import STATE_NAME
from chiron_stream.clients.identity import Identity
from chiron_stream.clients.statefile import Database
from chiron_stream.clients.statekeys import Entry, StateKeys
from chiron_stream.errors import ConfigurationRefused, TamperDetected, UsageRefused
from chiron_stream.wire.serving import QueryName


@dataclass(frozen=True)
class Came:
    """A valid answer as it came: its query, where it stands on the log, its sealed bytes."""

    name: QueryName
    offset: int
    record: bytes


@dataclass(frozen=True)
class Asked:
    """A query: its name, its sealed record, and its answer, as far as the state knows."""

    name: QueryName
    record: bytes
    came: Came | None


class TagTaken(UsageRefused):
    """A tag stands for one row; this one was used for another."""

    default_code = "TAG_TAKEN"


class QueryState:
    """A client's state, in a file or in memory; may be used by several threads.

    :param partition: of ``answers``, for a new state; an old one keeps its own.
    :param create: make the file where there is none.
    :raises ConfigurationRefused: no such file, no state, or of another identity or job.
    """

    def __init__(
        self,
        path: Path | None,
        identity: Identity,
        job_id: bytes,
        *,
        partition: int,
        create: bool = True,
    ) -> None:
        self._keys = StateKeys(identity, job_id)
        self._secrets: dict[bytes, bytes] = {}
        self._database = Database(path, create=create)
        try:
            self.name, self.partition = self._about(path, partition)
        except BaseException:
            self._database.close()
            raise

    def _about(self, path: Path | None, partition: int) -> tuple[bytes, int]:
        """Return what names this state, and its partition of answers; a new state begins here."""
        fresh = self._keys.seal(Entry.ABOUT, b"", {1: os.urandom(STATE_NAME), 2: partition})
        with self._database.change(durable=True) as change:
            change.execute("INSERT OR IGNORE INTO state VALUES (0, ?)", (fresh,))
            (sealed,) = change.execute("SELECT sealed FROM state").fetchone()
        try:
            found = self._keys.open(Entry.ABOUT, b"", sealed)
        except TamperDetected as error:
            raise ConfigurationRefused(
                f"{path} is the state of another identity or job, or was altered",
                code="STATE_OWNER",
                expected="one state for each identity and job",
                hint="name another file",
            ) from error
        return found[1], found[2]

    def lock(self, oldest: int) -> None:
        """Become the one client that asks with this state, and forget what is older than that.

        :param oldest: Unix seconds.
        :raises Fenced: another client asks with it.
        """
        self._database.lock()
        with self._database.change() as change:
            change.execute("DELETE FROM query WHERE at < ?", (oldest,))
            change.execute(
                "DELETE FROM session WHERE last < ? AND id NOT IN (SELECT session FROM query)",
                (oldest,),
            )
            change.execute("DELETE FROM answer WHERE session NOT IN (SELECT id FROM session)")

    def add_session(self, session: bytes, secret: bytes, start: int, now: int) -> None:
        """Keep the answer secret of a new session, before anything is asked in it.

        :param start: offset of ``answers`` behind which its answers stand.
        """
        sealed = self._keys.seal(Entry.SESSION, session, {1: secret})
        with self._database.change(durable=True) as change:
            change.execute("INSERT INTO session VALUES (?, ?, ?, ?)", (session, start, now, sealed))

    def secret(self, session: bytes) -> bytes | None:
        """Return the answer secret of a session of this client; None: it is somebody else's.

        :raises TamperDetected: the state was altered.
        """
        if session not in self._secrets:
            found = self._database.row("SELECT sealed FROM session WHERE id = ?", session)
            if found is None:
                return None
            self._secrets[session] = self._keys.open(Entry.SESSION, session, found[0])[1]
        return self._secrets[session]

    def first_start(self) -> int | None:
        """Return the offset behind which all answers stand; None: nothing was asked yet."""
        start: int | None = self._database.row("SELECT min(start) FROM session")[0]
        return start

    def unanswered_start(self) -> int | None:
        """Return the offset behind which missing answers to tagged queries stand, if any miss."""
        start: int | None = self._database.row(
            "SELECT min(start) FROM session"
            " WHERE id IN (SELECT session FROM query WHERE answer IS NULL)"
        )[0]
        return start

    def tagged(self, tag: str, row: bytes) -> Asked | None:
        """Return what was asked under a tag; None: nothing yet.

        :param row: packed.
        :raises TagTaken: another row was asked under it.
        """
        key = self._keys.tag(tag)
        found = self._database.row(
            "SELECT session, number, sealed, place, answer FROM query WHERE tag = ?", key
        )
        if found is None:
            return None
        session, number, sealed, place, answer = found
        name = QueryName(session, number)
        content = self._keys.open(Entry.QUERY, _place_of(name), sealed)
        if content[2] != self._keys.row(row):
            raise TagTaken(
                "a tag was used before, for another row; nothing was sent",
                expected="the same row under the same tag",
                hint="give each row a tag of its own",
            )
        came = None if answer is None else Came(name, place, answer)
        return Asked(name, content[3], came)

    def add_query(self, tag: str, row: bytes, name: QueryName, record: bytes, now: int) -> None:
        """Keep a query on disk before it is sent; its tag is new."""
        content = {1: tag, 2: self._keys.row(row), 3: record}
        sealed = self._keys.seal(Entry.QUERY, _place_of(name), content)
        with self._database.change(durable=True) as change:
            change.execute(
                "INSERT INTO query VALUES (?, ?, ?, ?, ?, NULL, NULL)",
                (self._keys.tag(tag), name.session, name.number, now, sealed),
            )
            change.execute("UPDATE session SET last = ? WHERE id = ?", (now, name.session))

    def tag_of(self, name: QueryName) -> str | None:
        """Return the tag that a query was asked under, if any.

        :raises TamperDetected: the state was altered.
        """
        found = self._database.row(
            "SELECT sealed FROM query WHERE session = ? AND number = ?", *name
        )
        if found is None:
            return None
        tag: str = self._keys.open(Entry.QUERY, _place_of(name), found[0])[1]
        return tag

    def note(self, came: Sequence[Came], now: int) -> list[bool]:
        """Note valid answers; tell of each whether it is the first one to its query.

        Whichever process saw it, the same record is the first one to all: a copy of it that the
        broker shows again is none.
        """
        if not came:
            return []
        with self._database.change() as change:
            return [self._is_first(change, one, now) for one in came]

    @staticmethod
    def _is_first(change: sqlite3.Connection, one: Came, now: int) -> bool:
        values = (*one.name, one.offset)
        fresh = change.execute("INSERT OR IGNORE INTO answer VALUES (?, ?, ?)", values).rowcount
        if fresh:
            change.execute("UPDATE session SET last = ? WHERE id = ?", (now, one.name.session))
            change.execute(
                "UPDATE query SET place = ?, answer = ? WHERE session = ? AND number = ?",
                (one.offset, one.record, *one.name),
            )
            return True
        place = change.execute(
            "SELECT place FROM answer WHERE session = ? AND number = ?", one.name
        ).fetchone()
        return bool(place[0] == one.offset)

    def close(self) -> None:
        """Let go of the file, and of the right to ask with it."""
        self._database.close()


def _place_of(name: QueryName) -> bytes:
    return name.session + name.number.to_bytes(8, "big")
