"""What the log shows, judged against what each writer itself says it sent."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from chiron_stream.broker.extents import read_until
from chiron_stream.broker.records import Isolation, Partition
from chiron_stream.broker.seam import Broker
from chiron_stream.errors import ChironError
from tests.faults.processes import LONG
from tests.faults.writer_process import Stamp


class Sender(Protocol):
    """A writer's own list."""

    @property
    def name(self) -> str: ...

    @property
    def attempted(self) -> set[int]: ...

    @property
    def acknowledged(self) -> set[int]: ...


@dataclass(frozen=True)
class Verdict:
    """What is there; and what of it has never been acknowledged."""

    visible: Mapping[str, set[int]]
    unanswered: Mapping[str, set[int]]


def shown(
    broker: Broker, place: Partition, isolation: Isolation = Isolation.READ_COMMITTED
) -> list[Stamp]:
    """Return what readers see once nothing before the end of now is undecided any more."""
    end = broker.watermarks(place).high
    with broker.reader({place: 0}, isolation=isolation) as reader:
        return [Stamp.load(record.value) for record in read_until(reader, place, end, timeout=LONG)]


def settled(broker: Broker, places: Iterable[Partition]) -> dict[Partition, list[Stamp]]:
    return {place: shown(broker, place) for place in places}


def judge(
    logs: Mapping[Partition, Sequence[Stamp]], senders: Sequence[Sender], *, seed: object = None
) -> Verdict:
    """Hold the log against the senders' lists: nothing lost, doubled, partial or out of order.

    :param senders: in the order of their takeovers; each one's records precede its successor's.
    """
    about = f"seed {seed}"
    for place, stamps in logs.items():
        doubled = [stamp for stamp, count in Counter(stamps).items() if count > 1]
        assert not doubled, f"{about}: doubled in {place}: {doubled}"
        turns = {sender.name: turn for turn, sender in enumerate(senders)}
        order = [(turns[stamp.writer], stamp.transaction, stamp.part) for stamp in stamps]
        assert order == sorted(order), f"{about}: out of order in {place}: {stamps}"
    visible = _whole_transactions(logs, about)
    unanswered = {}
    for sender in senders:
        there = visible.get(sender.name, set())
        lost = sender.acknowledged - there
        assert not lost, f"{about}: {sender.name} was told that {sorted(lost)} are committed"
        invented = there - sender.attempted
        assert not invented, f"{about}: {sender.name} never sent {sorted(invented)}"
        unanswered[sender.name] = there - sender.acknowledged
        assert len(unanswered[sender.name]) <= 1, f"{about}: unanswered but there: {unanswered}"
    return Verdict(visible, unanswered)


def _whole_transactions(
    logs: Mapping[Partition, Sequence[Stamp]], about: str
) -> dict[str, set[int]]:
    places = list(logs)
    parts: dict[tuple[str, int, int], set[int]] = defaultdict(set)
    for place, stamps in logs.items():
        for stamp in stamps:
            assert place == places[stamp.part % len(places)], f"{about}: {stamp} is in {place}"
            parts[stamp.writer, stamp.transaction, stamp.of].add(stamp.part)
    visible: dict[str, set[int]] = defaultdict(set)
    for (writer, transaction, of), found in parts.items():
        assert found == set(range(of)), f"{about}: only {found} of {of} of {writer} {transaction}"
        visible[writer].add(transaction)
    return visible


def wait_until(condition: Callable[[], bool], what: str, seconds: float = LONG) -> None:
    """Wait until ``condition`` holds; what the broker refuses to say does not hold yet."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(ChironError):
            if condition():
                return
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
