"""kill -9 of workers, core, courier or both: they are started again and the job goes on."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable

import pytest

from chiron_stream.broker.local import LocalKafka
from chiron_stream.clients.observer import Observer
from chiron_stream.local.directory import JobDirectory
from chiron_stream.local.running import RunningJob
from chiron_stream.recipe import Recipe
from tests.jobs import jobs, processes
from tests.jobs.conftest import NewDirectory
from tests.jobs.jobs import Parties
from tests.jobs.processes import Pair
from tests.kafka.processes import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(240)]

VICTIMS: dict[str, Callable[[Pair], tuple[object, ...]]] = {
    "core": lambda pair: (pair.core,),
    "courier": lambda pair: (pair.courier,),
    "both": lambda pair: (pair.courier, pair.core),
}


class Killer:
    """Kills workers of one running job.

    :param what: which of the two processes of a worker.
    """

    def __init__(self, running: RunningJob, what: str) -> None:
        self._running = running
        self._directory: JobDirectory = running.directory
        self._what = what

    def kill(self, name: str) -> None:
        """Kill a worker at rest or at work, and see that its other half goes too."""
        service = self._running.services[name]
        eventually(lambda: service.pid is not None, f"{name} runs")
        assert service.pid is not None
        pair = processes.pair(service.pid)
        starts = service.starts
        for victim in VICTIMS[self._what](pair):
            victim.kill()  # type: ignore[attr-defined]
        processes.all_gone([*pair])
        eventually(lambda: service.starts > starts, f"{name} is started again")

    def back(self, name: str, state: str) -> None:
        """Wait until the new processes of a worker say that they are in a state."""
        service = self._running.services[name]

        def there() -> bool:
            told = jobs.progress(self._directory, name)
            return told.get("pid") == service.pid and told.get("state") == state

        eventually(there, f"{name} is {state} again", 60)


@pytest.mark.parametrize("what", VICTIMS)
def test_workers_killed_at_rest_are_started_again_and_the_job_goes_on(
    kafka: LocalKafka, new_directory: NewDirectory, recipe: Recipe, what: str
) -> None:
    directory = new_directory()
    with (
        RunningJob(directory, bootstrap_servers=kafka.bootstrap_servers) as running,
        Parties(directory) as parties,
    ):
        killer = Killer(running, what)
        for name in ("trainer-0", "predictor-0"):
            jobs.reaches(directory, "ready", name)
        parties.provider().publish(recipe)
        parties.publish("alice")
        killer.kill("coordinator-0")
        killer.back("coordinator-0", "waiting")
        killer.kill("trainer-0")
        killer.kill("predictor-0")
        killer.back("trainer-0", "ready")
        parties.publish("anna")
        jobs.reaches(directory, "finished")
        assert jobs.finished_right(directory)
        for one in parties.published.values():
            one.wait("trained", 30)  # alice's session is older than this coordinator
            assert len(one.receipts()) == jobs.SHARDS
        assert parties.right_answers() >= 34
        killer.kill("predictor-0")
        killer.kill("coordinator-0")
        assert parties.right_answers() >= 34
        with Observer(directory.job()) as observer:
            assert observer.look().epoch == 3
        assert all(one.final_code is None for one in running.services.values())


@pytest.mark.parametrize("seed", range(2))
def test_workers_killed_in_the_middle_of_training_change_no_bit(
    kafka: LocalKafka, new_directory: NewDirectory, recipe: Recipe, seed: int
) -> None:
    passes = 25
    chance = random.Random(seed)
    directory = new_directory(schedule={"shards_per_slot": 2, "passes": passes})
    workers = {"coordinator": 1, "trainer": 2}
    with (
        RunningJob(
            directory, bootstrap_servers=kafka.bootstrap_servers, workers=workers
        ) as running,
        Parties(directory) as parties,
    ):
        parties.provider().publish(recipe)
        parties.publish("alice")
        parties.publish("anna")
        victims = ["coordinator-0", "trainer-0", "trainer-1"]
        chance.shuffle(victims)
        for victim in victims:
            reached = jobs.progress(directory)["round"] + chance.randint(1, 4)
            eventually(at_round(directory, reached), f"round {reached}", 60)
            assert jobs.progress(directory)["state"] == "training", f"seed {seed}"
            Killer(running, chance.choice(list(VICTIMS))).kill(victim)
        jobs.reaches(directory, "finished", seconds=120)
        assert jobs.finished_right(directory, passes * 4), f"seed {seed}"


def at_round(directory: JobDirectory, number: int) -> Callable[[], bool]:
    return lambda: jobs.progress(directory).get("round", 0) >= number


@pytest.mark.parametrize(
    ("core", "code"), [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 247)]
)
def test_courier_ends_at_once_with_a_core_that_never_connects(
    kafka: LocalKafka, new_directory: NewDirectory, core: str, code: int
) -> None:
    directory = new_directory()
    with RunningJob(directory, bootstrap_servers=kafka.bootstrap_servers, workers={}):
        program = (
            "import sys; from enclave_workers.courier.__main__ import main; "
            f"sys.exit(main(sys.argv[1:], core=(sys.executable, '-c', {core!r})))"
        )
        words = ("trainer", "--job", str(directory.job_file))
        shown = subprocess.run(
            [sys.executable, "-c", program, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,  # it would wait 60 s for a connection
        )
    assert shown.returncode == code
    assert "Traceback" not in shown.stderr
