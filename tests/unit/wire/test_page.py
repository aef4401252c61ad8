"""``docs/wire-format.md`` says what the code does: each table is compared with it."""

from __future__ import annotations

import inspect
import re
import typing
from dataclasses import fields
from enum import IntEnum
from typing import Annotated

import pytest

from chiron_stream.broker.catalogue import load_catalogue
from chiron_stream.broker.records import VALUE_LIMIT
from chiron_stream.job.disclosure import Form
from chiron_stream.job.fields import MAX_ROWS
from chiron_stream.job.policy import MAX_POLICY_BYTES, MAX_RECORDS
from chiron_stream.job.roster import Role
from chiron_stream.job.schedule import Kind
from chiron_stream.wire import canonical, labels
from chiron_stream.wire.control import TOKEN_LIMIT, Use
from chiron_stream.wire.document import MAX_ITEMS, Document, Limit, Signed
from chiron_stream.wire.frames import FRAME_LIMIT
from chiron_stream.wire.journal import EVENT_LIMIT
from chiron_stream.wire.objects import CHUNK_BYTES, MAX_CHUNKS
from chiron_stream.wire.serving import Status
from chiron_stream.wire.session import Purpose
from chiron_stream.wire.workers import Outcome
from enclave_workers.core.coordinator import announcing, opening
from enclave_workers.core.coordinator.announcing import MAX_SHARD_ROWS
from enclave_workers.core.coordinator.opening import PARKED_LISTED
from tests.unit.wire.forms import all_documents
from tests.unit.wire.page import PAGE, Row, documents_of_page, rows, section, words
from tests.vectors import generate

PUBLIC = tuple(one for one in all_documents() if not one.__module__.startswith("enclave_workers"))
ENUMERATIONS: tuple[type[IntEnum], ...] = (Role, Form, Kind, Purpose, Use, Status, Outcome)


def test_page_has_every_document_once_and_no_other() -> None:
    wanted = sorted((one.KIND, one.__name__) for one in PUBLIC)
    assert sorted((kind, name) for kind, name, _ in documents_of_page()) == wanted


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_fields_are_those_of_the_page_in_order_with_type_and_bounds(kind: type[Document]) -> None:
    (shown,) = (found for number, _, found in documents_of_page() if number == kind.KIND)
    hints = typing.get_type_hints(kind, include_extras=True)
    wanted = [
        Row(number, one.name, words(hints[one.name]))
        for number, one in enumerate(fields(kind), 1)  # type: ignore[arg-type]
    ]
    assert shown == wanted


@pytest.mark.parametrize(
    ("hint", "wanted"),
    [
        (int, "uint"),
        (Signed, "int"),
        (bool, "bool"),
        (Annotated[bytes, Limit(4)], "bytes, ≤ 4"),
        (tuple[str, ...], "list of (text, ≤ 1000000)"),
        (Use | None, "`Use` or nil"),
    ],
    ids=str,
)
def test_types_are_put_into_words(hint: object, wanted: str) -> None:
    assert words(hint) == wanted


def test_labels_are_those_of_the_page() -> None:
    shown = {one[0].strip("`"): one[1].strip("`") for one in rows(section("Labels"))[1:]}
    wanted = {name: value for name, value in vars(labels).items() if name.isupper()}
    assert list(shown) == list(wanted)
    made = {name: f"chiron-stream/v1 {text}\0".encode() for name, text in shown.items()}
    assert made == wanted


def test_topics_are_those_of_the_page() -> None:
    shown = [one[:6] for one in rows(section("Topics"))[1:]]
    wanted = [
        [
            f"`{name}`",
            str(topic.partitions),
            topic.writer,
            topic.key,
            str(topic.value_limit),
            "committed" if topic.transactional else "all",
        ]
        for name, topic in sorted(load_catalogue().topics.items())
    ]
    assert shown == wanted


def test_enumerations_are_those_of_the_page() -> None:
    shown = [tuple(one) for one in rows(section("Enumerations"))[1:]]
    wanted = [
        (f"`{kind.__name__}`", ", ".join(f"{one.value} {one.name}" for one in kind))
        for kind in ENUMERATIONS
    ]
    assert shown == wanted


def test_limits_are_those_of_the_page() -> None:
    shown = dict(rows(section("Limits"))[1:])
    wanted = {
        "a value on any topic": VALUE_LIMIT,
        "a document": canonical.MAX_BYTES,
        "a policy": MAX_POLICY_BYTES,
        "packed rows": MAX_ROWS,
        "records of a shard": MAX_RECORDS,
        "a resume token": TOKEN_LIMIT,
        "a chunk of an object": CHUNK_BYTES,
        "chunks of an object": MAX_CHUNKS,
        "an event that is journalled": EVENT_LIMIT,
        "a frame between core and courier": FRAME_LIMIT,
    }
    first = {what: int(text.split(" ")[0].replace(",", "")) for what, text in shown.items()}
    assert first == wanted
    assert f"{MAX_SHARD_ROWS:,} in a shard" in shown["packed rows"]


def test_limits_in_the_text_are_those_of_the_code() -> None:
    assert f"at most {canonical.MAX_BYTES:,} bytes" in PAGE
    assert f"at most {canonical.MAX_DEPTH} lists and maps" in PAGE
    assert f"at most {MAX_ITEMS:,} values" in PAGE
    assert f"up to {PARKED_LISTED} of them" in PAGE
    assert f"chunks of {CHUNK_BYTES:,} bytes" in PAGE


def test_every_part_of_the_vectors_has_its_chapter() -> None:
    named = {
        name
        for line in re.findall(r"^Vectors: (.*)", PAGE, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", line)
    }
    assert named == set(generate.load()) - {"about"}


def test_codes_of_refusals_are_those_of_the_coordinator() -> None:
    shown = set(re.findall(r"^\| `([A-Z_]+)` \| [a-z]", section("Shards"), re.MULTILINE))
    codes = set(re.findall(r'code="([A-Z_]+)"', inspect.getsource(announcing)))
    codes |= set(re.findall(r'Refusal\(0, "([A-Z_]+)"', inspect.getsource(opening)))
    # These go to `rejected`: there is nobody to tell, or nothing new to say.
    assert shown == codes - {"UNKNOWN_SESSION", "SUPERSEDED", "REPEAT"}
