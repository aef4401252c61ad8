"""What a member of the roster can send that the clients of this project never would."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

from chiron_stream.clients.identity import Identity
from chiron_stream.clients.party import OpenSession, Party
from chiron_stream.job.columns import pack_columns
from chiron_stream.job.rows import Prepared, prepare
from chiron_stream.wire.control import (
    FIRST_COUNTER,
    Announcement,
    Body,
    Use,
    chain_next,
    chain_start,
    seal_control,
)
from chiron_stream.wire.crypto import SUITE
from chiron_stream.wire.replies import Acknowledged
from chiron_stream.wire.serving import QueryName, seal_query
from chiron_stream.wire.session import Hello, Intent, Purpose, SessionKeys, open_session
from enclave_workers.local import LocalJob
from tests.local import jobs


def hello(job: LocalJob, who: Identity, purpose: Purpose, /, **parts: Any) -> tuple[Hello, bytes]:
    """Return the hello of a session, and the key of the coordinator that it is for."""
    coordinator = job.provider().coordinator()
    made = Hello(
        suite=SUITE,
        coordinator=coordinator.hash,
        identity=who.public,
        job=job.job.job_id,
        policy_version=1,
        policy_head=job.job.head,
        purpose=purpose,
        opened_at=int(time.time()),
        answer_partition=0,
    )
    return replace(made, **parts), coordinator.document.hpke_key


def open_as(job: LocalJob, who: Identity, purpose: Purpose, /, **parts: Any) -> int:
    """Append a session open that ``who`` signed; return its offset on ``control``."""
    made, key = hello(job, who, purpose, **parts)
    opened, _ = open_session(made, Intent("points"), key, os.urandom(32), who.sign)
    return jobs.append(job, "control", opened.pack())


class Session:
    """An admitted session in the hands of somebody who says in it what they like."""

    def __init__(self, job: LocalJob, party: Party, data_set: str = "") -> None:
        self._job = job
        self.open: OpenSession = party.open(data_set=data_set)
        self._chain = chain_start(self.open.record)
        self._counter = FIRST_COUNTER

    def says(self, body: Body) -> None:
        """Append the next control record."""
        keys = self.open.keys
        record = seal_control(keys.control, keys.session, self._counter, self._chain, body)
        self._chain, self._counter = chain_next(self._chain, record), self._counter + 1
        jobs.append(self._job, "control", record)

    def announces(self, **parts: Any) -> None:
        """Announce a first shard that was never sent."""
        made = Announcement(
            number=0,
            rows=200,
            use=Use.TRAIN,
            records=1,
            digest=bytes(32),
            partition=0,
            first=0,
            token=(200).to_bytes(8, "big"),
        )
        self.says(replace(made, **parts))

    def refusals(self) -> list[str]:
        """Wait for the next acknowledgement; return the codes of what it refuses."""
        found: list[Acknowledged] = []

        def heard() -> bool:
            answers = self.open.replies.poll(0.1)
            found.extend(one for one in answers if isinstance(one, Acknowledged))
            return bool(found)

        jobs.until(self._job, heard)
        return [one.code for one in found[0].refusals]


def unchecked(broken: dict[int, float]) -> Any:
    """Return a ``prepare`` that puts values into the column "east" behind the schema's back."""

    def made(schema: Any, data: Any) -> Prepared:
        prepared = prepare(schema, data)
        for row, value in broken.items():
            prepared.columns["east"][row] = value
        return prepared

    return made


def query(job: LocalJob, keys: SessionKeys, number: int, east: float, **columns: Any) -> bytes:
    """Return the record of a query, whatever it holds."""
    policy = job.job.policy
    row = prepare(policy.schema, {"east": [east], "north": [0.0]}, purpose="query").columns
    row["east"][0] = columns.get("raw", east)
    content = pack_columns(policy.schema, row, 1, purpose="query")
    name = QueryName(keys.session, number)
    return seal_query(keys.queries, name, content, policy.query_bytes)
