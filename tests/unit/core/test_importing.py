"""Merging a round over a link: what is written, what is refused, how much memory it takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from chiron_stream.graph.layout import Segment, bytes_of, layout
from chiron_stream.job.schema import LabelColumn, Schema, TensorColumn
from chiron_stream.recipe import Recipe as Model
from chiron_stream.wire import labels, objects
from chiron_stream.wire.control import RecipeManifest
from chiron_stream.wire.courier import Send
from chiron_stream.wire.crypto import derive
from chiron_stream.wire.session import Purpose, SessionKeys
from chiron_stream.wire.tasks import KeyedObject
from chiron_stream.wire.workers import Outcome, SlotResult
from enclave_workers.core.coordinator import cutting
from enclave_workers.core.coordinator.events import Merged, MergeFailed
from enclave_workers.core.coordinator.importing import ModelEffects
from enclave_workers.core.coordinator.state import (
    Context,
    MergeEffect,
    Recipe,
    Session,
    State,
    Version,
)
from enclave_workers.core.lookup import read_object, write_object
from enclave_workers.core.recipes import parameters_digest
from tests.unit.core.shelf import Shelf
from tests.unit.core.story import POLICY

SESSION = bytes(16)
KEY = bytes([3]) * 32
ROWS = (40, 7, 300)
TERMS = replace(
    POLICY,
    recipe=replace(POLICY.recipe, parameter_bytes=1 << 28, activation_bytes=1 << 33),
    schema=Schema((TensorColumn("x", (3,), "float32", -8, 8), LabelColumn("y", ("no", "yes")))),
)
VERSIONS, UPDATES = "coordinator-chunks", "update-chunks"


def model(width: int) -> Model:
    torch.manual_seed(0)
    return Model.export(
        nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 2)),
        loss=nn.CrossEntropyLoss(),
        inputs={"input": "x"},
        target="y",
        optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        batch_size=8,
        columns={"x": ("tensor", (3,)), "y": ("label", ())},
    )


def state_of(segments: Sequence[Segment], seed: int, steps: int = 1) -> bytes:
    """A state of random numbers behind so many steps."""
    generator = np.random.default_rng(seed)
    parts = []
    for one in segments:
        if one.dtype == "f32":
            parts.append(generator.standard_normal(one.count, np.float32).tobytes())
        else:
            parts.append((1 if one.dtype == "bool" else steps).to_bytes(one.bytes, "little"))
    return b"".join(parts)


@dataclass
class Stand:
    """A coordinator whose round waits to be merged."""

    link: Shelf
    context: Context
    state: State
    segments: Sequence[Segment]
    parameter_bytes: int
    models: ModelEffects

    def forget(self) -> None:
        """Go on as a boot that has merged nothing yet."""
        self.models = ModelEffects(self.link, self.context)

    def result(self, place: int, data: bytes) -> SlotResult:
        """Write an update and return what its trainer reports."""
        task = bytes([place]) * 32
        key = derive(KEY, labels.K_UPDATE, task)
        ref = write_object(self.link, UPDATES, key, bytes([place]) * 16, data)
        return SlotResult(
            task=task,
            outcome=Outcome.TRAINED,
            update=ref,
            digest=ref.digest,
            parameters=parameters_digest(data, self.parameter_bytes),
            rows=ROWS[place % 3],
            steps=1,
            faults=(),
            numerics="",
        )

    def results(self, count: int) -> list[SlotResult]:
        return [
            self.result(n, state_of(self.segments, seed=n, steps=3 + n % 5)) for n in range(count)
        ]

    def merge(self, results: Sequence[SlotResult]) -> Merged | MergeFailed:
        effect = MergeEffect(5, 9, tuple(results))
        event = self.models.merge(self.state, effect)
        assert isinstance(event, Merged | MergeFailed)
        return event

    def version(self, event: Merged) -> bytes:
        return read_object(self.link, KeyedObject(event.ref, derive(KEY, labels.K_VERSION, 9)))

    def written(self) -> int:
        return len(self.link.topics[VERSIONS])


def stand(made: Model, link: Shelf | None = None, *, stepped: bool = True) -> Stand:
    link = link or Shelf()
    session = Session(bytes(32), Purpose.RECIPE, bytes(32), "", 0, 0, bytes(32))
    recipe_key = SessionKeys(SESSION, session.prk).recipe
    definition = write_object(link, "bulk", recipe_key, bytes(16), made.definition)
    segments = layout(made.checked, stepped=stepped)
    base = state_of(segments, seed=99)
    if not stepped:
        base = base[:-1] + b"\0"
    ref = write_object(link, VERSIONS, derive(KEY, labels.K_VERSION, 4), bytes(16), base)
    size = made.checked.definition.state_bytes
    state = State(
        sessions={SESSION: session},
        recipe=Recipe(SESSION, RecipeManifest(definition, definition), 8, size),
        version=Version(4, ref, ref.digest, parameters_digest(base, size), 0),
    )
    context = Context(TERMS, bytes(32), bytes(32), KEY)
    models = ModelEffects(link, context)
    return Stand(link, context, state, layout(made.checked, stepped=True), size, models)


@pytest.fixture(scope="module")
def made() -> Model:
    return model(64)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks."""
    monkeypatch.setattr(objects, "CHUNK_BYTES", 1000)


def average(updates: Sequence[bytes], at: int) -> bytes:
    """The four bytes at a place of the updates, averaged by the rows."""
    values = [np.frombuffer(one, "<f4", 1, at).astype(np.float64) for one in updates]
    total = np.float64(ROWS[0]) * values[0]
    for rows, value in zip(ROWS[1:], values[1:], strict=False):
        total += np.float64(rows) * value
    return (total / sum(ROWS[: len(values)])).astype("<f4").tobytes()


@pytest.mark.parametrize("stepped", [True, False])
def test_round_of_several_slots_is_averaged_counted_and_described(
    made: Model, stepped: bool
) -> None:
    here = stand(made, stepped=stepped)
    updates = [state_of(here.segments, seed=n, steps=3 + n) for n in range(3)]
    event = here.merge([here.result(n, one) for n, one in enumerate(updates)])
    assert isinstance(event, Merged)
    version = here.version(event)
    assert (event.round, event.ref.size) == (5, bytes_of(here.segments))
    assert event.parameters == parameters_digest(version, here.parameter_bytes)
    for at in (0, 4 * 17, len(version) - 4):
        assert version[at : at + 4] == average(updates, at)
    presence = here.parameter_bytes
    assert version[presence] == 1
    assert int.from_bytes(version[presence + 1 : presence + 9], "little") == 5
    assert int.from_bytes(version[presence - 8 : presence], "little") == 5


def test_round_of_one_slot_is_its_bits(made: Model) -> None:
    here = stand(made)
    update = state_of(here.segments, seed=1)
    event = here.merge([here.result(0, update)])
    assert isinstance(event, Merged)
    assert here.version(event) == update
    assert event.ref.digest == here.result(0, update).digest


def test_base_that_was_merged_here_is_not_read_again_and_makes_no_difference(
    made: Model,
) -> None:
    here = stand(made)
    first = here.merge(here.results(3))
    assert isinstance(first, Merged)
    here.state.version = Version(9, first.ref, first.ref.digest, first.parameters, 0)
    results = here.results(2)
    found = []
    for remembered in (True, False):
        if not remembered:
            here.forget()
        here.link.reads = []
        event = here.merge(results)
        assert isinstance(event, Merged)
        assert (VERSIONS in {topic for topic, _ in here.link.reads}) is not remembered
        found.append(here.version(event))
    assert found[0] == found[1]


def damaged(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


@pytest.mark.parametrize("slots", [1, 3])
def test_update_that_is_no_state_sends_its_slot_back(made: Model, slots: int) -> None:
    here = stand(made)
    good = state_of(here.segments, seed=1)
    presence = here.parameter_bytes
    cases = {
        good[:-1]: "GRAPH_STATE",
        good + b"\0": "GRAPH_STATE",
        good[: presence + 1]: "GRAPH_STATE",
        damaged(good, presence, b"\0"): "GRAPH_STATE",
        damaged(good, presence, b"\2"): "GRAPH_STATE",
        damaged(good, 8, np.float32(np.nan).tobytes()): "NOT_FINITE",
        damaged(good, len(good) - 4, np.float32(np.inf).tobytes()): "NOT_FINITE",
    }
    before = here.written()
    for data, code in cases.items():
        results = here.results(slots - 1)
        event = here.merge([*results, here.result(slots - 1, data)])
        assert event == MergeFailed(5, slots - 1, code)
    assert here.written() == before
    assert isinstance(here.merge([*here.results(slots - 1), here.result(slots - 1, good)]), Merged)


@pytest.mark.parametrize("slots", [1, 3])
def test_check_is_what_keeps_a_number_that_is_none_out(
    made: Model, monkeypatch: pytest.MonkeyPatch, slots: int
) -> None:
    here = stand(made)
    good = state_of(here.segments, seed=1)
    bad = damaged(good, 8, np.float32(np.nan).tobytes())
    results = [*here.results(slots - 1), here.result(slots - 1, bad)]
    assert here.merge(results) == MergeFailed(5, slots - 1, "NOT_FINITE")
    monkeypatch.setattr(cutting, "check", lambda _segment, _piece: None)
    event = here.merge(results)
    assert isinstance(event, Merged)
    assert np.isnan(np.frombuffer(here.version(event), "<f4", 1, 8)[0])


def other(result: SlotResult, **changes: object) -> SlotResult:
    assert result.update is not None
    return replace(result, update=replace(result.update, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("place", [0, 2])
def test_update_that_is_not_the_described_one_sends_its_slot_back(made: Model, place: int) -> None:
    here = stand(made)
    good = here.results(3)
    one = good[place]
    wrong = {
        replace(one, update=None): "NO_UPDATE",
        replace(one, digest=bytes(32)): "DIGEST",
        replace(one, parameters=bytes(32)): "DIGEST",
        replace(other(one, digest=bytes(32)), digest=bytes(32)): "OBJECT_DIGEST",
        other(one, topic="bulk"): "PLACE",
        other(one, partition=1): "PLACE",
        other(one, object_id=bytes([9]) * 16): "CHUNK_MISSING",
        other(one, chunks=2): "CHUNK_MISSING",
        replace(one, task=bytes([9]) * 32): "DOES_NOT_OPEN",
    }
    before = here.written()
    for result, code in wrong.items():
        results = [*good[:place], result, *good[place + 1 :]]
        assert here.merge(results) == MergeFailed(5, place, code)
    assert here.written() == before
    assert isinstance(here.merge(good), Merged)


@pytest.mark.parametrize("slots", [1, 3])
def test_tampered_last_chunk_of_the_last_slot_lets_nothing_be_written(
    made: Model, slots: int
) -> None:
    here = stand(made)
    results = here.results(slots)
    last, before = max(here.link.topics[UPDATES]), here.written()
    whole = here.link.topics[UPDATES][last]
    for value, code in (
        (whole[:-1] + bytes([whole[-1] ^ 1]), "DOES_NOT_OPEN"),
        (b"noise", "CHUNK_MISSING"),
    ):
        here.link.topics[UPDATES][last] = value
        assert here.merge(results) == MergeFailed(5, slots - 1, code)
        assert here.written() == before
    here.link.topics[UPDATES][last] = whole
    assert isinstance(here.merge(results), Merged)
    assert here.written() > before


Cut = Callable[[cutting.Cutter, bytes], Iterator[cutting.Piece]]


class Measured(Shelf):
    """A shelf that forgets what is appended while memory is measured."""

    forgets = False

    def append(self, records: Sequence[Send]) -> tuple[int, ...]:
        if self.forgets:
            return tuple(range(len(records)))
        return super().append(records)


def peak(here: Stand, link: Measured, results: Sequence[SlotResult]) -> int:
    """The bytes that a merge allocates at once, at most; its link's records were there before."""
    link.forgets = True
    tracemalloc.start()
    try:
        assert isinstance(here.merge(results), Merged)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        link.forgets = False


def test_memory_of_a_merge_does_not_depend_on_the_number_of_slots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(objects, "CHUNK_BYTES", 900_000)
    link = Measured()
    here = stand(model(90_000), link)
    size = bytes_of(here.segments)
    assert 5_000_000 < size < 8_000_000
    results = here.results(16)
    here.merge(results[:1])  # loads what a first merge loads
    allowance = 8_000_000  # two answers and two appends of a few chunks, opened and sealed
    two, sixteen = (peak(here, link, results[:slots]) for slots in (2, 16))
    assert 2 * size < sixteen < size + 2 * size + allowance
    assert abs(sixteen - two) < 2_000_000
    # The control: whoever holds every update shows in this measure.
    held: list[bytes] = []
    monkeypatch.setattr(cutting.Cutter, "cut", holding(cutting.Cutter.cut, held))
    assert peak(here, link, results) > sixteen + 10 * size


def test_memory_of_a_round_of_one_slot_is_bounded_by_the_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(objects, "CHUNK_BYTES", 900_000)
    link = Measured()
    here = stand(model(90_000), link)
    results = here.results(1)
    here.merge(results)
    assert peak(here, link, results) < 3 * bytes_of(here.segments) + 8_000_000


def holding(cut: Cut, held: list[bytes]) -> Cut:
    def hold(cutter: cutting.Cutter, data: bytes) -> Iterator[cutting.Piece]:
        held.append(data)
        return cut(cutter, data)

    return hold
