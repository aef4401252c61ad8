"""The file of a query client's state: SQLite, mode 0600, one asking process at a time.

Any number of processes may read it, and note which answers came; the one that asks holds the lock.
The lock is a file beside it, so that locks of SQLite's own are left alone. Both belong on a file
system of this machine.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from chiron_stream.clients.identity import refuse_readable
from chiron_stream.errors import ChironError, ConfigurationRefused, Fenced

BUSY_SECONDS: Final = 10.0
"""Until another process's change of the file must be done."""

_TABLES: Final = """
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 0), sealed BLOB);
CREATE TABLE session (id BLOB PRIMARY KEY, start INTEGER, last INTEGER, sealed BLOB) WITHOUT ROWID;
CREATE TABLE query (tag BLOB PRIMARY KEY, session BLOB, number INTEGER, at INTEGER, sealed BLOB,
    place INTEGER, answer BLOB) WITHOUT ROWID;
CREATE UNIQUE INDEX query_name ON query (session, number);
CREATE INDEX query_at ON query (at);
CREATE TABLE answer (session BLOB, number INTEGER, place INTEGER, PRIMARY KEY (session, number))
    WITHOUT ROWID;
"""
"""``start`` and ``place`` are offsets of ``answers``; ``last`` and ``at`` Unix seconds."""

_FORMAT: Final = 0x4353_7101
"""SQLite's ``application_id`` of a state: our mark and the version of the tables."""


class Database:
    """One connection to a state's tables; may be used by several threads, never across a fork.

    :param path: None: in this process's memory.
    :param create: make the file where there is none: 0600, a new parent 0700.
    :raises ConfigurationRefused: there is none, it is no state (``STATE_FILE``), or others may
        read it (``STATE_PERMISSIONS``).
    """

    def __init__(self, path: Path | None, *, create: bool) -> None:
        self._path = path
        self._guard = threading.RLock()
        self._lock: Lock | None = None
        if path is not None:
            if create:
                _make(path)
            _check(path)
        with self._translated():
            self._connection: sqlite3.Connection | None = _connected(path)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        """Make the tables in an empty file; refuse a file of anybody else.

        :raises ConfigurationRefused: code ``STATE_FILE``.
        """
        with self.change(durable=True) as change:
            (mark,) = change.execute("PRAGMA application_id").fetchone()
            if mark == _FORMAT:
                return
            if change.execute("SELECT 1 FROM sqlite_schema").fetchone() is not None:
                raise sqlite3.DatabaseError
            for statement in _TABLES.split(";"):
                change.execute(statement)
            change.execute(f"PRAGMA application_id = {_FORMAT}")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise SQLite's errors as ours; none of them holds what is in the file."""
        try:
            yield
        except sqlite3.Error as error:
            raise ConfigurationRefused(
                f"{self._path} is not the state of a query client, or cannot be written",
                code="STATE_FILE",
                expected="a file that QueryClient(..., state=FILE) made, on a disk with room",
                got=type(error).__name__,
            ) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise ChironError("the client is closed", code="CLOSED")
        return self._connection

    @contextmanager
    def change(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Have all of a change take place, or nothing; a durable one is on disk at the end."""
        with self._guard, self._translated():
            connection = self._open()
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def row(self, query: str, *values: object) -> Any:
        """Return the first row that a query finds, or None."""
        with self._guard, self._translated():
            return self._open().execute(query, values).fetchone()

    def lock(self) -> None:
        """Become the one client that asks with this state.

        :raises Fenced: another one does; code ``STATE_LOCKED``.
        """
        if self._path is not None and self._lock is None:
            self._lock = Lock(self._path)

    def close(self) -> None:
        """Let go of the file, and of the right to ask with it."""
        with self._guard:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            if self._lock is not None:
                self._lock.close()
                self._lock = None


def _connected(path: Path | None) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path or ":memory:", timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return  # whoever made it: it is checked like any other
    os.close(descriptor)


def _check(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigurationRefused(
            f"{path} does not open",
            code="STATE_FILE",
            expected="the state of a query client that has asked",
            got=error.strerror,
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationRefused(f"{path} is no file", code="STATE_FILE", expected="a file")
    refuse_readable(path, status, code="STATE_PERMISSIONS")


class Lock:
    """The right to ask with a state, as long as this object is open.

    :raises Fenced: another client asks with it; code ``STATE_LOCKED``.
    """

    def __init__(self, path: Path) -> None:
        name = path.with_name(path.name + ".lock")
        self._descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise Fenced(
                f"another client asks with {path}",
                code="STATE_LOCKED",
                expected="one asking client for each state",
                hint="give each process a state of its own; reading answers needs no lock",
            ) from None

    def close(self) -> None:
        """Let others ask, even while a forked child still holds the descriptor."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
