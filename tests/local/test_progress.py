"""Who sees training: the provider's reports and the owners' scores, against plain PyTorch."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from chiron_stream.clients import owner as owner_module
from chiron_stream.clients.owner import Score
from chiron_stream.clients.provider import Progress
from chiron_stream.clients.publication import Publication
from chiron_stream.errors import ChironError, Fenced, PolicyRefused
from chiron_stream.graph.numerics import configure_numerics
from chiron_stream.job.measures import bucket_of, gradient_range, level_of, loss_range
from chiron_stream.job.simulation import InsecureSimulation
from chiron_stream.recipe import Constant, Recipe, Round, reference_loop
from chiron_stream.wire.receipts import shard_leaf
from chiron_stream.wire.replies import ReplyRecord, open_reply
from enclave_workers.core.trainer import evaluating
from enclave_workers.local import LocalJob
from tests.local import jobs
from tests.local.forging import Session, unchecked
from tests.local.lying import LyingBroker, Once, withheld

DOCS = Path(__file__).parents[2] / "docs"
BITS = 8
HELD_OUT = 90
"""Rows for evaluation: a shard and a part of one, and no multiple of a batch."""

GRANTED = {"progress_bits": BITS, "score_every": 3}
DATA_SETS = {"alice": ["points", "held-out"], "anna": ["points"]}
REPORT = BITS + 5 + 8


def granted(**disclosure: int) -> Any:
    return jobs.terms(owners=DATA_SETS, disclosure=disclosure)


def hold_out(job: LocalJob, *, evaluate: bool = True) -> Publication:
    owner = job.owner("alice")
    table = jobs.points("anna", 400)
    rows = {name: one[-HELD_OUT:] for name, one in table.items()}
    published = owner.publish(
        rows, dataset="held-out", rows_per_shard=jobs.ROWS_PER_SHARD, evaluate=evaluate
    )
    published.wait("accepted", 20)
    return published


class Granted(NamedTuple):
    """A job that has come to its end, and what its parties heard."""

    job: LocalJob
    progress: list[Progress]
    scores: list[Score]


@pytest.fixture(scope="module")
def finished(recipe: Recipe) -> Iterator[Granted]:
    with LocalJob(granted(**GRANTED)) as job:
        hold_out(job)
        jobs.train(job, recipe)
        progress = list(job.provider().progress())
        yield Granted(job, progress, scores(job, 3))


def scores(job: LocalJob, count: int) -> list[Score]:
    """Wait for so many scores of alice."""
    owner = job.owner("alice")
    heard = owner.scores(timeout=20)
    found = [next(heard) for _ in range(count)]
    assert list(owner.scores()) == found
    return found


class Watched(NamedTuple):
    """What plain PyTorch sees of a round: its losses, norms of gradients, and correct rows."""

    losses: list[float]
    norms: list[float]
    correct: int


class Watch:
    """Plain PyTorch over the plan, with an eye on each step and on the rows held out."""

    def __init__(self, job: LocalJob) -> None:
        self._rounds = list(jobs.rounds(job))
        self.seen: list[Watched] = []

    def run(self) -> list[Watched]:
        """Return what is seen of each round, in a thread whose denormals are flushed."""
        with ThreadPoolExecutor(1) as pool:
            pool.submit(self._run).result()
        return self.seen

    def _run(self) -> None:
        configure_numerics()
        model, criterion = jobs.model(), nn.CrossEntropyLoss()
        losses: list[float] = []
        norms: list[float] = []

        def loss(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = criterion(predicted, target)
            losses.append(found.item())
            return found

        class Watching(torch.optim.SGD):
            def step(self, closure: Any = None) -> Any:
                gradients = [one.grad for one in model.parameters()]
                norms.append(nn.utils.get_total_norm(gradients).item())  # type: ignore[arg-type]
                return super().step(closure)

        def rounds() -> Iterator[Round]:
            for number, one in enumerate(self._rounds):
                if number:
                    self._note(model, losses, norms)
                yield one

        def optimizer(parameters: Any) -> torch.optim.Optimizer:
            return Watching(parameters, **jobs.OPTIMIZER.keywords)

        reference_loop(model, loss, optimizer, Constant(), rounds())
        self._note(model, losses, norms)

    def _note(self, model: nn.Module, losses: list[float], norms: list[float]) -> None:
        self.seen.append(Watched(losses[:], norms[:], correct(model)))
        losses.clear()
        norms.clear()


def correct(model: nn.Module) -> int:
    """Return how many of the rows held out the model tells apart."""
    table = jobs.points("anna", 400)
    east, north = (table[name][-HELD_OUT:] for name in ("east", "north"))
    wanted = torch.tensor([one == "above" for one in table["side"][-HELD_OUT:]])
    model.eval()
    with torch.no_grad():
        found = model(torch.from_numpy(np.stack([east, north], axis=1))).argmax(1) == 1
    model.train()
    return int((found == wanted).sum())


@pytest.fixture(scope="module")
def watched(finished: Granted) -> list[Watched]:
    return Watch(finished.job).run()


def test_provider_sees_the_levels_that_plain_pytorch_comes_to(
    finished: Granted, watched: list[Watched]
) -> None:
    assert [one.round for one in finished.progress] == list(range(1, len(watched) + 1))
    for one, seen in zip(finished.progress, watched, strict=True):
        loss = math.fsum(seen.losses) / len(seen.losses)
        norm = math.fsum(seen.norms) / len(seen.norms)
        assert one.losses == loss_range(level_of(loss, BITS), BITS)
        assert one.gradients == gradient_range(bucket_of(norm))
        assert one.losses[0] <= loss < one.losses[1]
        assert one.void == 0


def test_owner_gets_the_accuracy_of_plain_pytorch_at_each_release_that_is_due(
    finished: Granted, watched: list[Watched]
) -> None:
    assert [one.release for one in finished.scores] == [3, 6, 8], "every third, and the last"
    for score in finished.scores:
        assert (score.rows, score.correct) == (HELD_OUT, watched[score.version - 1].correct)
        assert score.accuracy == watched[score.version - 1].correct / HELD_OUT
    assert len({one.correct for one in watched}) > 1, "scores differ, or this test sees nothing"


def test_rows_for_evaluation_never_train(finished: Granted, recipe: Recipe) -> None:
    assert jobs.same_bits(finished.job)
    names = {
        shard.data_set
        for plan in jobs.plans(finished.job)
        for slot in plan.slots
        for shard in slot.shards
    }
    assert names == {"points"}


def test_the_same_rows_announced_for_training_do_train(recipe: Recipe) -> None:
    with LocalJob(granted(**GRANTED)) as job:
        hold_out(job, evaluate=False)
        jobs.train(job, recipe)
        names = {
            shard.data_set
            for plan in jobs.plans(job)
            for slot in plan.slots
            for shard in slot.shards
        }
        assert names == {"points", "held-out"}
        assert list(job.owner("alice").scores()) == []


def test_checkpoints_count_the_bits_that_left(finished: Granted) -> None:
    ledger = finished.job.owner("anna").ledger()
    assert ledger.provider_bits == len(finished.progress) * REPORT
    assert ledger.scores == len(finished.scores)
    assert ledger.checkpoint == finished.progress[-1].checkpoint
    lefts = [one.bits_left for one in finished.progress]
    assert lefts == [100_000 - REPORT * (n + 1) for n in range(len(lefts))]
    bits = HELD_OUT.bit_length()
    assert [one.bits_left for one in finished.scores] == [100_000 - bits * n for n in (1, 2, 3)]


def test_owner_without_rows_for_evaluation_gets_no_score(finished: Granted) -> None:
    assert list(finished.job.owner("anna").scores()) == []


def test_whoever_listens_later_is_told_the_same_again(finished: Granted) -> None:
    provider = finished.job.provider()
    assert list(provider.progress()) == finished.progress
    assert list(provider.progress(after=6)) == finished.progress[6:]


def test_one_process_listens_at_a_time() -> None:
    with LocalJob(granted(**GRANTED)) as job:
        first, second = job.provider(), job.provider()
        assert list(first.progress()) == list(second.progress()) == []
        with pytest.raises(Fenced):
            list(first.progress(timeout=5))


def test_nobody_else_can_open_what_was_told(finished: Granted) -> None:
    keys = [
        job_party.open(data_set="points").keys.replies
        for job_party in (finished.job.owner("anna"), finished.job.client("carol"))
    ]
    tried = 0
    for record in jobs.records(finished.job, "replies"):
        reply = ReplyRecord.unpack(record.value)
        for key in keys:
            tried += 1
            try:
                body = open_reply(key, reply)
            except ChironError:
                continue
            assert type(body).__name__ not in ("RoundProgress", "Scored")
    assert tried > 20


def test_rows_held_out_do_not_wait_for_ever(finished: Granted) -> None:
    status = finished.job.status
    assert status is not None
    assert (status.state, status.waiting) == ("finished", 0)
    assert status.accepted > status.trained, "those that are held out"


def test_pages_of_owner_and_provider_say_what_runs(
    finished: Granted, capsys: pytest.CaptureFixture[str]
) -> None:
    job = finished.job
    table = jobs.points("anna", 400)
    names: dict[str, Any] = {
        "DataOwner": lambda *_, **_evidence: job.owner("alice"),
        "InsecureSimulation": InsecureSimulation,
        "ModelProvider": lambda *_: job.provider(),
        "held_out": {name: one[-HELD_OUT:] for name, one in table.items()},
    }
    for page, word in (("data-owners", "scores("), ("model-providers", "progress(")):
        text = (DOCS / f"{page}.md").read_text()
        (snippet,) = [x for x in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if word in x]
        exec(snippet.replace("timeout=60", "timeout=1"), names)  # noqa: S102  (our own page)
    lines = capsys.readouterr().out.splitlines()
    score = finished.scores[0]
    assert lines[0] == f"{score.release} {score.rows} {score.correct} {score.bits_left}"
    assert lines[3] == str(len(finished.progress) * REPORT)
    assert len(lines) == 4 + len(finished.progress)


def test_missing_shard_is_left_out_until_it_is_sent_again(recipe: Recipe) -> None:
    lie = Once("shards", withheld)
    with LocalJob(granted(**GRANTED), broker=LyingBroker(lie)) as job:
        hold_out(job)
        jobs.publish_all(job, recipe)
        found = scores(job, 1)
        assert found[0].rows == HELD_OUT - jobs.ROWS_PER_SHARD, "the second shard alone"
        jobs.finish(job)
        assert job.wait(lambda status: status.parked == 1).void == 0
        assert jobs.same_bits(job), "the job did not wait for it"
        assert sorted(hold_out(job).sent) == [0], "and nothing else"
        job.wait(lambda status: status.parked == 0)


def test_invalid_shard_is_void_and_left_out(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalJob(granted(**GRANTED)) as job:
        with monkeypatch.context() as patched:
            patched.setattr(owner_module, "prepare", unchecked({3: math.nan}))
            hold_out(job)
        jobs.train(job, recipe)
        assert scores(job, 3)[0].rows == HELD_OUT - jobs.ROWS_PER_SHARD
        assert job.wait(lambda status: status.void == 1).parked == 0
        assert jobs.same_bits(job)


@pytest.mark.usefixtures("_quick_losses")
def test_trainer_that_dies_at_an_evaluation_is_replaced(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught = threading.Event()

    def stuck(*arguments: Any) -> Any:
        if not caught.is_set():
            caught.set()
            job.kill("trainer-0")
        return honest(*arguments)

    honest = evaluating.blocks
    monkeypatch.setattr(evaluating, "blocks", stuck)
    with LocalJob(granted(progress_bits=0, score_every=9)) as job:
        hold_out(job)
        jobs.train(job, recipe)
        assert caught.wait(20)
        job.start_worker("trainer")
        (score,) = scores(job, 1)
        assert (score.release, score.rows) == (8, HELD_OUT)


def test_two_contents_under_one_number_are_receipted(recipe: Recipe) -> None:
    with LocalJob(jobs.terms(), workers={"coordinator": 1}) as job:
        published = jobs.publish(job, "alice")
        published.wait("accepted", 20)
        assert published.conflicts() == []
        thief = Session(job, job.owner("alice"), "points")
        thief.announces()
        assert thief.refusals() == ["CONFLICT"]
        (conflict,) = published.conflicts()
        assert (conflict.shard, conflict.stands) == (0, True)
        other = shard_leaf(thief.open.keys.session, 0, bytes(32))
        assert conflict.conflict.second == other
        for record in jobs.records(job, "receipts"):
            assert thief.open.keys.session not in record.value
        assert jobs.publish(job, "anna").conflicts() == []


def test_nothing_is_sent_without_the_grant(recipe: Recipe) -> None:
    with LocalJob(granted()) as job:
        hold_out(job)
        jobs.train(job, recipe)
        assert jobs.same_bits(job), "what is granted changes no bit"
        for heard in (job.provider().progress(), job.owner("alice").scores()):
            with pytest.raises(PolicyRefused):
                list(heard)
        ledger = job.owner("anna").ledger()
        assert (ledger.provider_bits, ledger.scores) == (0, 0)
