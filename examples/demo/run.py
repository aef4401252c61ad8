"""The demo from its first line to its verdict."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Final

import psutil

from chiron_stream import events
from chiron_stream.graph.numerics import configure_numerics
from chiron_stream.local.directory import JobDirectory, create
from chiron_stream.local.running import RunningJob
from chiron_stream.local.services import Service
from examples.demo import baseline, operator_eye, plotting, story
from examples.demo.accuracy import Accuracy
from examples.demo.alone import alone
from examples.demo.choosing import choose
from examples.demo.data import Data
from examples.demo.judging import not_true
from examples.demo.keeping import keep
from examples.demo.options import Options
from examples.demo.parties import publish_recipe
from examples.demo.reference import different, train
from examples.demo.saying import Facts, say
from examples.demo.stage import connected
from examples.demo.story import Recorded

BUILD: Final = Path("build")
DIRECTORY: Final = BUILD / "demo"
WORKERS: Final = {"coordinator": 1, "trainer": 2, "predictor": 2}

NEEDS: Final = """\
This demo runs on this machine alone. Its evidence is SIMULATED: no hardware protects anything.
  data       {name}: {train} training rows, {test} test rows
  downloads  Apache Kafka from Maven, 44 MB, once (into ~/.cache/chiron-stream); no data
  disk       below {disk} MB in build/
  memory     about 3 GB
  time       {time}
"""


def run(options: Options) -> int:
    """Run the demo; 0 when everything that it claims came true.

    :raises ChironError: something did not work at all.
    """
    configure_numerics()
    data = choose(options)
    rows = {"train": len(data.train["class"]), "test": len(data.test["class"])}
    say(NEEDS.format(name=data.name, time=data.time, disk=data.disk_mb, **rows))
    with alone(BUILD, DIRECTORY) as lock:
        code = _judged(options, data)
        if options.keep:
            keep(JobDirectory(DIRECTORY.resolve()), data, lock)
    return code


def _judged(options: Options, data: Data) -> int:
    facts: Facts = {"data": data.name, "simulated": True, "freshness": "local"}
    before = _children()
    with (BUILD / "demo.log").open("w") as log:
        events.configure(log)
        logging.getLogger("torch").setLevel(logging.ERROR)
        _play(options, data, facts)
    facts["processes_left"] = len(_children() - before)
    say(f"processes left running: {facts['processes_left']}")
    return _verdict(facts)


def _play(options: Options, data: Data, facts: Facts) -> None:
    """Run the job and its control; find out all that the verdict is about."""
    directory = _fresh_directory(data)
    rounds, recorded = _story(directory, data, facts)
    _compare(data, recorded, facts)
    operator_eye.look(directory, data, facts)
    operator_eye.look_at_control(BUILD / "demo-unsealed", options, data, facts)
    _baseline_and_picture(data, recorded, rounds, facts)


def _children() -> set[int]:
    return {one.pid for one in psutil.Process().children(recursive=True)}


def _fresh_directory(data: Data) -> JobDirectory:
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    return create(DIRECTORY, data.terms("demo"))


def _story(directory: JobDirectory, data: Data, facts: Facts) -> tuple[dict[str, int], Recorded]:
    """Run the job; return what happened in which round, and what is to be computed again."""
    ended: list[str] = []

    def note(service: Service, _code: int) -> None:
        ended.append(service.name)

    with RunningJob(directory, workers=WORKERS, report=say, ended=note) as running:
        say(f"up: {', '.join(running.services)}, over Kafka at {running.bootstrap_servers}")
        publish_recipe(directory, data)
        say("provider: the sealed recipe is imported")
        with connected(running, data, ended, BUILD / "demo-owner-b", facts) as stage:
            return stage.events, story.run(stage)


def _compare(data: Data, recorded: Recorded, facts: Facts) -> None:
    """Train in plain PyTorch over the recorded plan; compare bits and answers."""
    say("plain PyTorch trains again, over the recorded plan")
    keep = {one.version for one in recorded.answers}
    reference = train(data, recorded.plans, recorded.kinds, recorded.tables, keep)
    facts["parameters_sha256"] = recorded.plans[-1].parameters.hex()
    facts["reference_sha256"] = reference.parameters_sha256
    facts["equal_rounds"] = reference.equal_rounds
    say(f"SHA-256 of our parameters:        {facts['parameters_sha256']}")
    say(f"SHA-256 of plain PyTorch's:       {facts['reference_sha256']}")
    equal = facts["parameters_sha256"] == facts["reference_sha256"]
    say(f"{facts['equal_rounds']} rounds equal, bit for bit" if equal else "DIFFERENT")
    wrong = different(data, reference.states, recorded.answers, recorded.batch)
    facts |= {"answers_different": len(wrong), "answers_equal_reference": not wrong}
    answers = len(recorded.answers)
    say(f"{answers - len(wrong)} of {answers} answers are what plain PyTorch answers")


def _baseline_and_picture(
    data: Data, recorded: Recorded, rounds: dict[str, int], facts: Facts
) -> None:
    facts["accuracy_floor"] = data.floor
    facts["baseline_accuracy"] = baseline.accuracy(data)
    say(
        f"accuracy {facts['accuracy']:.3f}; logistic regression on the same rows in the clear: "
        f"{facts['baseline_accuracy']:.3f}"
    )
    accuracy, answers = Accuracy(data), recorded.answers
    curves = {
        name: plotting.curve(accuracy, answers, first=first)
        for name, first in (("A's classes", True), ("B's classes", False))
    }
    picture = BUILD / "demo.png"
    plotting.draw(picture, curves, rounds, facts["baseline_accuracy"])
    say(f"the accuracies over the rounds are drawn in {picture}")


def _verdict(facts: Facts) -> int:
    output = BUILD / "demo.json"
    output.write_text(json.dumps(facts, indent=1) + "\n")
    say(f"all of this is in {output}")
    false = not_true(facts)
    for name in false:
        say(f"NOT TRUE: {name}")
    return 1 if false else 0
