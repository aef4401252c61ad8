"""``python -m examples.demo``: the whole way once, on real data, and what a sceptic checks."""

from __future__ import annotations

import json
import logging
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Final

import psutil
import torch

from chiron_stream import (
    Auditor,
    ChironError,
    DataOwner,
    InsecureSimulation,
    ModelProvider,
    QueryClient,
)
from chiron_stream.clients.observer import Observer
from chiron_stream.clients.publication import Publication
from chiron_stream.local.directory import JobDirectory, create
from chiron_stream.local.running import RunningJob
from examples.demo import checking, digits

DIRECTORY: Final = Path("build/demo")
OUTPUT: Final = Path("build/demo.json")
TRAIN_SECONDS: Final = 240.0
SIMULATED: Final = InsecureSimulation()

NEEDS: Final = """\
This demo runs on this machine alone. Its evidence is SIMULATED: no hardware protects anything.
  downloads  Apache Kafka from Maven, 44 MB, once (into ~/.cache/chiron-stream)
  disk       below 150 MB in build/demo
  memory     about 2 GB
  time       about a minute behind the set-up
"""


def say(sentence: str) -> None:
    """Print a line at once."""
    print(sentence, flush=True)


def main() -> int:
    """Run the demo; 0 when everything that it claims came true."""
    say(NEEDS)
    logging.getLogger("torch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    directory = create(DIRECTORY, digits.terms())
    facts: dict[str, Any] = {"simulated": True, "freshness": "local"}
    try:
        with RunningJob(directory, report=say) as running:
            _tell(directory, running, facts)
        _scan(directory, running, facts)
    except ChironError as error:
        say(f"error: {error} [{error.code}]; logs are in {directory.run}")
        return error.exit_code
    facts["processes_left"] = checking.left_running(before)
    say(f"processes left running: {facts['processes_left']}")
    OUTPUT.write_text(json.dumps(facts, indent=1) + "\n")
    say(f"all of this is in {OUTPUT}")
    return _verdict(facts)


def _tell(directory: JobDirectory, running: RunningJob, facts: dict[str, Any]) -> None:
    say(f"up: {', '.join(running.services)}, over Kafka at {running.bootstrap_servers}")
    data = digits.load()
    job = running.job
    with ModelProvider(job, directory.identity("modeller"), evidence=SIMULATED) as provider:
        provider.publish(digits.recipe(job.policy.schema.kinds()))
        say("modeller: the sealed recipe is imported")
    with DataOwner(job, directory.identity("hospital"), evidence=SIMULATED) as owner:
        publication = owner.publish(data.train, dataset="digits", rows_per_shard=48)
        publication.wait("accepted")
        rows = len(data.train["digit"])
        say(f"hospital: {rows} rows sealed in {len(publication.sent)} shards, all accepted")
        _watch(running, facts)
        publication.wait("trained")
        receipts = publication.receipts()
        facts["receipts_verified"] = len(receipts)
        say(f"hospital: {len(receipts)} of {len(publication.sent)} receipts verified")
        _ask(running, directory, data, facts)
        _compare(running, directory, data, publication, facts)
        _show_broker(publication, facts)
        publication.close()


def _watch(running: RunningJob, facts: dict[str, Any]) -> None:
    """Show rounds as their signed checkpoints come."""
    shown, deadline = 0, time.monotonic() + TRAIN_SECONDS
    with Observer(running.job) as observer:
        while time.monotonic() < deadline:
            last = observer.look().checkpoint
            if last is not None and (last.round >= shown + 20 or last.finished):
                shown = last.round
                say(f"round {last.round}: version {last.version}, release {last.release}")
            if last is not None and last.finished:
                facts |= {"rounds": last.round, "releases": last.release}
                return
            time.sleep(0.25)
    raise ChironError("training did not finish in time", code="TIMEOUT")


def _ask(
    running: RunningJob, directory: JobDirectory, data: digits.Digits, facts: dict[str, Any]
) -> None:
    right, seconds = 0, []
    with QueryClient(running.job, directory.identity("app"), evidence=SIMULATED) as client:
        for pixels, digit in zip(data.test["pixels"], data.test["digit"], strict=True):
            began = time.perf_counter()
            answer = client.predict({"pixels": pixels})
            seconds.append(time.perf_counter() - began)
            right += answer.value == str(digit)
    facts["accuracy"] = round(right / len(seconds), 4)
    facts["query_p50_ms"] = round(1000 * statistics.median(seconds), 1)
    facts["query_p99_ms"] = round(1000 * sorted(seconds)[int(0.99 * len(seconds))], 1)
    say(
        f"app: {len(seconds)} sealed answers opened, accuracy {facts['accuracy']:.3f} "
        f"(p50 {facts['query_p50_ms']} ms, p99 {facts['query_p99_ms']} ms)"
    )


def _compare(
    running: RunningJob,
    directory: JobDirectory,
    data: digits.Digits,
    publication: Publication,
    facts: dict[str, Any],
) -> None:
    with Auditor(running.job, directory.identity("auditor"), evidence=SIMULATED) as auditor:
        plans = auditor.plans()
    facts["parameters_sha256"] = plans[-1].parameters.hex()
    facts["reference_sha256"] = checking.reference_sha256(plans, publication, data.train)
    say(f"SHA-256 of our parameters:        {facts['parameters_sha256']}")
    say(f"SHA-256 of plain PyTorch's:       {facts['reference_sha256']}")
    equal = facts["parameters_sha256"] == facts["reference_sha256"]
    say("equal, bit for bit" if equal else "DIFFERENT")


def _scan(directory: JobDirectory, running: RunningJob, facts: dict[str, Any]) -> None:
    """Look for the rows in all that the broker has on disk, now that it has stopped."""
    rows = digits.load().train
    facts["operator_hits"] = checking.hits(directory.broker, rows)
    facts["control_hits"] = checking.control_hits(running.job.policy.schema, rows)
    say(
        f"rows found in the broker's files: {facts['operator_hits']} "
        f"(control: the same scan of the rows unsealed finds {facts['control_hits']})"
    )


def _show_broker(publication: Publication, facts: dict[str, Any]) -> None:
    _number, records = publication.sealed_again(0)
    say(f"what the broker sees of a record: {checking.seen_by_the_broker(records[0])}")
    facts["flipped_byte"] = list(checking.refusals_of_a_flipped_byte(publication))
    say(f"one byte flipped in a copy: refused, {' and '.join(facts['flipped_byte'])}")


def _verdict(facts: dict[str, Any]) -> int:
    good = {
        "accuracy of at least 0.95": facts["accuracy"] >= 0.95,
        "equal parameters": facts["parameters_sha256"] == facts["reference_sha256"],
        "no row at the broker": facts["operator_hits"] == 0 < facts["control_hits"],
        "refusals by name": facts["flipped_byte"] == ["SHARD_DIGEST", "DOES_NOT_OPEN"],
        "nothing left running": facts["processes_left"] == 0,
    }
    for name in [name for name, true in good.items() if not true]:
        say(f"NOT TRUE: {name}")
    return 0 if all(good.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
