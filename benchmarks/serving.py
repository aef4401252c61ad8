"""Queries that do not wait for each other's answers.

``open_loop.RATE``: queries leave on a clock, whether or not answers come, for a minute, from four
clients in turn: a client's queries all go to one partition, so that one client keeps one predictor
busy. After a third of it that one of the two predictors which took more is killed -9. Milliseconds
are from when a query was due to its answer; ``lost`` counts those without one. ``killed`` is the
longest: what the death cost.

``predictor``: VGG-9 in one predictor, as many queries under way as a client may have, against the
same model's inference alone at the predictors' batch size, one thread, in a core's environment.
"""

from __future__ import annotations

import json
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import psutil

from benchmarks import jobs
from benchmarks.bench import Bench, Figure, Goal, Stage
from benchmarks.children import computed
from benchmarks.measuring import percentile
from benchmarks.workloads import MLP, WORKLOADS, Workload
from chiron_stream.clients.answers import Answer
from chiron_stream.clients.owner import DataOwner
from chiron_stream.clients.query import UNDER_WAY, QueryClient
from chiron_stream.graph import prediction, state
from chiron_stream.graph.checker import check
from chiron_stream.graph.numerics import configure_numerics
from chiron_stream.local.running import RunningJob
from chiron_stream.local.workers import workers

RATES: Final = (200, 500)
CLIENTS: Final = 4
SECONDS: Final = 60
ANSWER_SECONDS: Final = 60.0
"""Until a query counts as lost; a predictor is missed after 6 s."""

ROWS: Final = 256
MODEL: Final = "vgg9"
QUERIES: Final = 6_000
BATCHES: Final = 50


def benches() -> Iterator[Bench]:
    """Yield the benches of this module."""
    for rate in RATES:
        about = f"{rate} queries a second for a minute, two predictors, one of them killed"
        yield Bench(f"open_loop.{rate}", about, partial(open_loop, rate), ("faust-streaming",))
    about = "VGG-9: answers a second of one predictor against the model's own inference"
    yield Bench("predictor", about, predictor, ("faust-streaming", "torch"))


@dataclass
class _Asked:
    """A query: when it was due, and when its answer came."""

    due: float
    future: Future[Answer]
    came: float = 0.0

    def answered(self, _future: Future[Answer]) -> None:
        """Note the time."""
        self.came = time.perf_counter()


def open_loop(rate: int, stage: Stage) -> list[Figure]:
    """Ask on a clock, and kill a predictor meanwhile."""
    name = f"open_loop.{rate}"
    with _serving(stage, MLP, predictors=2, clients=CLIENTS) as (job, clients):
        asked = _on_a_clock(job, clients, rate, rate * stage.amount(SECONDS, 3))
    answered = [one for one in asked if one.came and one.future.exception() is None]
    taken = [1e3 * (one.came - one.due) for one in answered]
    return [
        Figure(f"{name}.p50", "ms", percentile(taken, 50)),
        Figure(f"{name}.p99", "ms", percentile(taken, 99)),
        Figure(f"{name}.killed", "ms", max(taken)),
        Figure(f"{name}.lost", "queries", len(asked) - len(taken), goal=_NONE),
    ]


_NONE: Final = Goal("==", 0, of_ratio=False, unit="queries")


def _on_a_clock(
    job: RunningJob, clients: Sequence[QueryClient], rate: int, count: int
) -> list[_Asked]:
    row = {"x": MLP.rows(1, 0)["x"][0]}
    began, asked = time.perf_counter() + 0.1, list[_Asked]()
    for number in range(count):
        due = began + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        if number == count // 3:
            _kill(job, _busiest(job))
        client = clients[number % len(clients)]
        one = _Asked(due, client.submit(row, timeout=ANSWER_SECONDS))
        one.future.add_done_callback(one.answered)
        asked.append(one)
    wait([one.future for one in asked], ANSWER_SECONDS)
    return asked


def _busiest(job: RunningJob) -> str:
    """Return the predictor that took the most tasks so far."""
    told = [one for one in workers(job.directory.run) if one["role"] == "predictor"]
    name: str = max(told, key=lambda one: one.get("tasks", 0))["name"]
    return name


def _kill(job: RunningJob, worker: str) -> None:
    courier = psutil.Process(job.services[worker].pid)
    for process in (*courier.children(), courier):
        process.send_signal(signal.SIGKILL)


@contextmanager
def _serving(
    stage: Stage, workload: Workload, predictors: int, clients: int = 1, under_way: int = 100_000
) -> Iterator[tuple[RunningJob, list[QueryClient]]]:
    """Give a job with a release, and clients that have their sessions."""
    wanted = {"coordinator": 1, "trainer": 1, "predictor": predictors}
    with ExitStack() as stack:
        job = stack.enter_context(jobs.running(stage, jobs.terms(workload), wanted))
        jobs.publish_recipe(job, workload)
        keys = job.directory
        owner = DataOwner(job.job, keys.identity("alice"), evidence=jobs.SIMULATED)
        with owner:
            owner.publish(workload.rows(ROWS, 0), dataset="d").wait("trained", 120)
        asking = [stack.enter_context(_client(job, under_way)) for _ in range(clients)]
        for client in asking:
            client.predict(_row(workload), timeout=ANSWER_SECONDS)
        yield job, asking


def _client(job: RunningJob, under_way: int) -> QueryClient:
    carol = job.directory.identity("carol")
    return QueryClient(job.job, carol, evidence=jobs.SIMULATED, under_way=under_way)


def _row(workload: Workload) -> dict[str, Any]:
    rows = workload.rows(1, 0)
    return {name: rows[name][0] for name in workload.options["inputs"].values()}


def predictor(stage: Stage) -> list[Figure]:
    """Ask as fast as answers come; then let the model work alone."""
    workload, count = WORKLOADS[MODEL], stage.amount(QUERIES, 200)
    row = _row(workload)
    with _serving(stage, workload, 1, under_way=UNDER_WAY) as (_job, (client,)):
        began = time.perf_counter()
        futures = [client.submit(row, timeout=ANSWER_SECONDS) for _ in range(count)]
        for one in futures:
            one.result(ANSWER_SECONDS)
        ours = count / (time.perf_counter() - began)
        batch = client.job.policy.predictor_batch
    given = {"batch": batch, "batches": stage.amount(BATCHES, 3)}
    alone = computed("benchmarks.serving", given=given, seconds=ANSWER_SECONDS * 3)
    return [Figure("predictor", "answers/s", ours, alone["rows_per_second"], Goal(">=", 0.60))]


def main(given: dict[str, int]) -> dict[str, float]:
    """Predict batches of rows; return the median rate."""
    configure_numerics(threads=1)
    workload, batch = WORKLOADS[MODEL], given["batch"]
    recipe = workload.spec().export(workload.kinds)
    checked = check(recipe.definition)
    model = state.initial(checked, recipe.weights)
    rows = workload.rows(batch, 0)
    columns = {name: rows[name] for name in workload.options["inputs"].values()}
    seconds = []
    for _ in range(given["batches"] + 1):
        began = time.perf_counter()
        prediction.predict(checked, model, columns, batch)
        seconds.append(time.perf_counter() - began)
    return {"rows_per_second": batch / statistics.median(seconds[1:])}


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
