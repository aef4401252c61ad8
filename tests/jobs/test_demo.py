"""The demonstration does what it says, over a real Kafka, and cleans up however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import psutil
import pytest

from examples.demo import digits
from examples.demo.judging import CLAIMS, not_true
from tests.jobs.command import chiron
from tests.jobs.processes import is_gone
from tests.kafka.processes import carrying, eventually
from tests.unit.demo.made import truth

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
NAMES = (
    *("accuracy", "baseline_accuracy", "rounds", "parameters_sha256", "reference_sha256"),
    *("answers_equal_reference", "operator_hits", "control_hits", "killed", "query_p50_ms"),
    *("query_p99_ms", "receipts_verified", "processes_left", "simulated", "freshness"),
)


class Demo:
    """One run of the demo, in a directory of its own.

    :param asked: variables of its environment.
    """

    def __init__(self, folder: Path, **asked: str) -> None:
        for name in ("chiron_stream", "enclave_workers", "examples", "benchmarks"):
            if not (folder / name).exists():
                (folder / name).symlink_to(ROOT / name)  # so that build/ is this test's own
        self.folder = folder
        self.output = folder / f"output-{uuid.uuid4().hex}.txt"
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "examples.demo"],
                cwd=folder,
                env={**environ, "DATA": "digits", **asked},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def job(self) -> Path:
        return self.folder / "build" / "demo"

    @property
    def shown(self) -> str:
        return self.output.read_text()

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "build" / "demo.json").read_text())
        return found

    def says(self, sentence: str, seconds: float = 120) -> None:
        def there() -> bool:
            assert self.process.poll() is None, self.shown
            return sentence in self.shown

        eventually(there, sentence, seconds)

    def left(self) -> list[psutil.Process]:
        """Return the processes that name this run's directory."""
        found = carrying(str(self.folder / "build"))
        return [one for one in found if not is_gone(one)]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.mark.faults
def test_demo_is_what_it_says(tmp_path: Path) -> None:
    """One run for all of it: it takes minutes."""
    demo = Demo(tmp_path, KEEP="1")
    try:
        demo.process.wait(840)
        assert_it_ends_well_and_every_claim_is_true(demo)
        assert_it_writes_what_is_named_in_one_flat_table(demo)
        assert_it_tells_its_story_in_order(demo)
        assert_claims_are_of_this_run(demo)
        assert_kept_job_answers_until_it_is_ended(demo)
    finally:
        demo.end()
        chiron("down", demo.job)


def assert_it_ends_well_and_every_claim_is_true(demo: Demo) -> None:
    assert demo.process.returncode == 0, demo.shown[-3000:]
    assert not_true(demo.facts) == []
    assert "NOT TRUE" not in demo.shown


def assert_it_writes_what_is_named_in_one_flat_table(demo: Demo) -> None:
    facts = demo.facts
    assert set(NAMES) <= set(facts)
    assert not [name for name, value in facts.items() if isinstance(value, dict)]
    assert facts["accuracy"] >= 0.95
    assert (facts["simulated"], facts["freshness"]) == (True, "local")
    picture = (demo.folder / "build" / "demo.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def assert_it_tells_its_story_in_order(demo: Demo) -> None:
    shown = demo.shown
    story = (
        *("downloads", "SIMULATED", "up: coordinator-0, trainer-0, trainer-1", "owner B joins"),
        "owner B: chiron bridge follows",
        *("kill -9 of trainer-", "took over", "kill -9 of predictor-", "receipts of"),
        *("refused, SHARD_DIGEST and DOES_NOT_OPEN", "EvidenceRefused", "equal, bit for bit"),
        *("eye: 0 of", "control: the same search finds", "processes left running: 0"),
    )
    places = [shown.find(part, shown.find(story[0])) for part in story if part != "SIMULATED"]
    assert -1 not in places, shown
    assert places == sorted(places), shown
    assert "SIMULATED" in shown


def assert_claims_are_of_this_run(demo: Demo) -> None:
    worse = {**demo.facts, "answers_different": 1, "control_hits": 0}
    assert len(not_true(worse)) == 2 < len(CLAIMS)


def assert_kept_job_answers_until_it_is_ended(demo: Demo) -> None:
    status = chiron("status", demo.job)
    assert (status.returncode, "SIMULATED, freshness: local" in status.stdout) == (0, True)
    assert f"release {demo.facts['releases']}" in status.stdout
    row = (demo.job / "row.txt").read_text()
    asked = chiron("predict", "--job", demo.job, "--insecure-simulation", row)
    assert (asked.returncode, asked.stdout.strip()) == (0, truth(digits.load())[0])
    again = Demo(demo.folder)
    assert again.process.wait(60) == 2
    assert "or its job was kept" in again.shown
    assert chiron("down", demo.job).returncode == 0
    eventually(lambda: not demo.left(), "what kept the job up has ended too", 60)


MOMENTS = [
    ("starting Apache Kafka", signal.SIGINT),
    pytest.param("round 1", signal.SIGTERM, marks=pytest.mark.faults),
    pytest.param("kill -9 of trainer-", signal.SIGINT, marks=pytest.mark.faults),
    pytest.param("control: the same job", signal.SIGINT, marks=pytest.mark.faults),
]


@pytest.mark.parametrize(("moment", "number"), MOMENTS, ids=str)
def test_interrupted_demo_leaves_nothing_behind(
    tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    demo = Demo(tmp_path)
    try:
        demo.says(moment, 780)
        demo.process.send_signal(number)
        assert demo.process.wait(60) == 130
        assert "interrupted: stopping everything" in demo.shown
        assert "Traceback" not in demo.shown
        assert demo.left() == []
    finally:
        demo.end()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"DATA": "mnist"}, "error: DATA is not known"),
        ({"DATA": "cifar10", "DATA_DIR": "/nowhere"}, "error: there is no /nowhere/data_batch_1"),
        ({"DATA": "fashion-mnist", "DATA_DIR": "/nowhere"}, "error: Fashion-MNIST is not in"),
    ],
)
def test_data_that_is_not_there_is_an_error_before_anything_starts(
    tmp_path: Path, asked: dict[str, str], said: str
) -> None:
    demo = Demo(tmp_path, **asked)
    assert demo.process.wait(60) == 2
    assert said in demo.shown
    assert "Traceback" not in demo.shown
    assert not (tmp_path / "build").exists()
