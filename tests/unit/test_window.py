"""The bound on unacknowledged bytes, which kafka-python 3 does not have."""

from __future__ import annotations

import threading

import pytest
from kafka.errors import KafkaTimeoutError
from kafka.future import Future

from chiron_stream.broker.kafka.producing import Window
from chiron_stream.errors import Timeout


class Acknowledgement(Future):  # type: ignore[misc]
    """A future that somebody can wait for, as those of a producer are."""

    def __init__(self) -> None:
        super().__init__()
        self.settled = threading.Event()

    def get(self, timeout: float | None = None) -> object:
        if not self.settled.wait(timeout):
            raise KafkaTimeoutError
        return self.value

    def settle(self) -> None:
        self.success(None)
        self.settled.set()


def filled(limit: int, *sizes: int) -> tuple[Window, list[Acknowledgement]]:
    window = Window(limit)
    futures = [Acknowledgement() for _ in sizes]
    for future, size in zip(futures, sizes, strict=True):
        window.take(size, timeout=1)
        window.track(future, size)
    return window, futures


def test_full_window_refuses_after_its_time() -> None:
    window, [first] = filled(100, 60)
    with pytest.raises(Timeout, match="not sent"):
        window.take(60, timeout=0.05)
    first.settle()
    window.take(60, timeout=1)


def test_record_larger_than_the_window_goes_alone() -> None:
    window, [large] = filled(100, 500)
    with pytest.raises(Timeout):
        window.take(1, timeout=0.05)
    large.settle()
    window.take(500, timeout=1)


def test_room_that_was_taken_for_nothing_comes_back() -> None:
    window, _ = filled(100, 60)
    window.take(40, timeout=1)
    window.give_back(40)
    window.take(40, timeout=1)


def test_waiting_sender_goes_on_when_the_oldest_is_acknowledged() -> None:
    window, [oldest, _] = filled(100, 50, 50)
    went_on = threading.Event()

    def wait_and_take() -> None:
        window.take(50, timeout=30)
        went_on.set()

    waiting = threading.Thread(target=wait_and_take)
    waiting.start()
    assert not went_on.is_set()
    oldest.settle()
    waiting.join(30)
    assert went_on.is_set()
