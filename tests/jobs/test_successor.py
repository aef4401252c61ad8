"""Two coordinators of one job: the later one stays, the earlier one ends fenced."""

from __future__ import annotations

import pytest

from chiron_stream.broker.local import LocalKafka
from chiron_stream.clients.observer import Observer
from chiron_stream.local.running import RunningJob
from chiron_stream.local.services import Service
from tests.jobs import jobs
from tests.jobs.conftest import NewDirectory
from tests.jobs.jobs import Parties
from tests.kafka.processes import eventually

pytestmark = pytest.mark.kafka


def test_coordinator_with_a_successor_ends_with_9_and_is_not_started_again(
    kafka: LocalKafka, new_directory: NewDirectory
) -> None:
    directory = new_directory()
    ended: list[tuple[str, int]] = []

    def note(service: Service, code: int) -> None:
        ended.append((service.name, code))

    with RunningJob(
        directory,
        bootstrap_servers=kafka.bootstrap_servers,
        workers={"coordinator": 1},
        ended=note,
    ) as running:
        first = running.services["coordinator-0"]
        jobs.reaches(directory, "waiting")
        second = running.start_worker("coordinator", 1)
        jobs.reaches(directory, "waiting", "coordinator-1")
        with Parties(directory) as parties:
            parties.publish("alice")  # the earlier one hears of it too, and wants to commit
        eventually(lambda: bool(ended), "the earlier coordinator has ended")
        assert ended == [("coordinator-0", 9)]
        assert (first.final_code, first.starts, first.pid) == (9, 1, None)
        assert "[FENCED]" in jobs.log(directory)
        assert second.pid is not None
        with Parties(directory) as parties:
            parties.publish("anna")
        assert (second.starts, second.final_code) == (1, None)
        with Observer(directory.job()) as observer:
            assert observer.look().epoch == 2
