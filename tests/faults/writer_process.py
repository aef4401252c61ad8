"""A transactional writer in a process of its own, led by lines of JSON on standard input.

::

    {"do": "start"}                           fence predecessors, commit the activation
    {"do": "run", "count": 5}                 commit transactions; without count until the next line
    {"do": "open", "records": 4, "sent": 2}   begin, send some of the records, flush
    {"do": "commit"}                          send the rest, commit
    {"do": "end"}                             leave with the exit code that the writer ended with

Each line of standard output is an event. A transaction is announced before it begins and after it
is committed, so that these lines say what must be in the log and what may be. After an error the
process stays until it is told to end: its client library is then still there and could do harm.
"""

from __future__ import annotations

import ctypes
import json
import queue
import random
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Self

from chiron_stream import timeouts
from chiron_stream.broker.extents import read_until
from chiron_stream.broker.records import Outgoing, Partition
from chiron_stream.broker.seam import Broker, Transaction
from chiron_stream.errors import ChironError


class Stamp(NamedTuple):
    """What a record says of itself: part ``part`` of ``of`` of a writer's transaction."""

    writer: str
    transaction: int
    part: int
    of: int

    def dump(self) -> bytes:
        return json.dumps(self).encode()

    @classmethod
    def load(cls, value: bytes) -> Stamp:
        return cls(*json.loads(value))


@dataclass(frozen=True)
class Options:
    """What a writer process is told when it starts.

    :param places: the parts of a transaction go to these in turn.
    :param authority: gets the number of each writer in its first transaction; the successor of a
        writer is looked for there. Without it there is no first transaction and no successor.
    :param timeout: of a transaction, in seconds.
    :param patience: seconds until a successor that has fenced has also shown itself.
    :param seed: decides how many records each transaction of ``run`` has.
    :param table: entries of the table of time-outs that replace the defaults.
    """

    servers: str
    transactional_id: str
    name: str
    places: tuple[Partition, ...]
    authority: Partition | None = None
    timeout: float = 30.0
    patience: float = 10.0
    seed: int = 0
    table: Mapping[str, float] = field(default_factory=dict)

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Self:
        fields: dict[str, Any] = json.loads(text)
        fields["places"] = tuple(Partition(*place) for place in fields["places"])
        fields["authority"] = fields["authority"] and Partition(*fields["authority"])
        return cls(**fields)


def stamped(options: Options, transaction: int, records: int) -> list[Outgoing]:
    """Return the records of one transaction, spread over the writer's partitions."""
    places = options.places
    return [
        Outgoing(places[part % len(places)], Stamp(options.name, transaction, part, records).dump())
        for part in range(records)
    ]


def say(event: str, **facts: Any) -> None:
    line = json.dumps({"event": event, "at": time.monotonic(), **facts})
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Authority:
    """Who has taken over, as the log says."""

    def __init__(self, broker: Broker, place: Partition, name: str) -> None:
        self._broker = broker
        self._place = place
        self._name = name
        self.number = 0

    def _entries(self) -> list[tuple[str, int]]:
        end = self._broker.watermarks(self._place).high
        with self._broker.reader({self._place: 0}) as reader:
            shown = [json.loads(record.value) for record in read_until(reader, self._place, end)]
        return [(name, number) for name, number in shown]

    def claim(self) -> Outgoing:
        """Take the number after the last one; call it when all predecessors are fenced."""
        self.number = max((number for _, number in self._entries()), default=0) + 1
        return Outgoing(self._place, json.dumps([self._name, self.number]).encode())

    def has_other(self) -> bool:
        """Whether another writer holds this number or a later one.

        This number too: who was fenced before its claim was committed may have lost it.
        """
        return any(name != self._name and number >= self.number for name, number in self._entries())


class Led:
    """A writer that announces what it does."""

    def __init__(self, broker: Broker, options: Options) -> None:
        self._options = options
        self._dice = random.Random(options.seed)
        self._authority = (
            Authority(broker, options.authority, options.name) if options.authority else None
        )
        self._writer = broker.transactional_writer(
            options.transactional_id, successor=self._successor, timeout=options.timeout
        )
        self._number = 0
        self._pending: tuple[Transaction, list[Outgoing]] | None = None

    def _successor(self) -> bool:
        say("asked")
        if self._authority is None:
            return False
        deadline = time.monotonic() + self._options.patience
        while not self._authority.has_other():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def start(self) -> None:
        began = time.monotonic()
        self._writer.start()
        took = time.monotonic() - began
        if self._authority is not None:
            claim = self._authority.claim()
            self._begin(records=2, sent=2, also=[claim])
            self.commit()
        number = self._authority.number if self._authority else 0
        say("started", seconds=took, number=number)

    def open(self, records: int, sent: int) -> None:
        self._begin(records, sent)
        assert self._pending is not None
        self._pending[0].flush()
        say("open", transaction=self._number)

    def _begin(self, records: int, sent: int, also: list[Outgoing] | None = None) -> None:
        outgoing = stamped(self._options, self._number, records)
        say("attempt", transaction=self._number, records=records)
        transaction = self._writer.begin()
        for record in (also or []) + outgoing[:sent]:
            transaction.send(record)
        self._pending = transaction, outgoing[sent:]

    def commit(self) -> None:
        assert self._pending is not None
        transaction, rest = self._pending
        for record in rest:
            transaction.send(record)
        transaction.flush()
        say("committing", transaction=self._number)
        transaction.commit()
        say("committed", transaction=self._number)
        self._pending = None
        self._number += 1

    def run(self, count: int | None, interrupted: queue.Queue[dict[str, Any]]) -> None:
        done = 0
        while done != count and interrupted.empty():
            records = self._dice.randint(2, 5)
            self._begin(records, records)
            self.commit()
            done += 1
        say("idle")

    def close(self) -> None:
        self._writer.close()


def obey(led: Led, commands: queue.Queue[dict[str, Any]]) -> int:
    """Do what the lines say until the writer has ended; return the exit code of its end."""
    while True:
        command = commands.get()
        do = command.pop("do")
        try:
            if do == "start":
                led.start()
            elif do == "open":
                led.open(**command)
            elif do == "commit":
                led.commit()
            elif do == "run":
                led.run(command.get("count"), commands)
            elif do == "end":
                return 0
        except ChironError as error:
            say("ended", error=type(error).__name__, code=error.code, message=str(error))
            while commands.get()["do"] != "end":
                pass
            return error.exit_code


def _listen(commands: queue.Queue[dict[str, Any]]) -> None:
    command: dict[str, Any] = {}
    while command.get("do") != "end":
        line = sys.stdin.readline()
        command = json.loads(line) if line else {"do": "end"}
        commands.put(command)


def _die_with_parent() -> None:
    """End with the tests even when they are killed while this process is stopped (Linux only)."""
    if sys.platform == "linux":
        death_signal = 1
        ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL, 0, 0, 0)


def main() -> int:
    _die_with_parent()
    options = Options.load(sys.argv[1])
    for name, seconds in options.table.items():
        setattr(timeouts, name, seconds)
    from chiron_stream.broker.kafka import KafkaBroker  # reads the table when it is imported

    commands: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(commands,), daemon=True).start()
    with KafkaBroker(options.servers) as broker:
        led = Led(broker, options)
        say("ready")
        code = obey(led, commands)
        led.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
