"""``tests/vectors/wire.json`` is what the code makes, and what the code opens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chiron_stream.attestation.akd import AttestedKeyDocument, akd_hash, report_data
from chiron_stream.errors import TamperDetected
from chiron_stream.job.columns import unpack_columns
from chiron_stream.job.policy import job_id, policy_head, read_policy
from chiron_stream.job.schema import Schema
from chiron_stream.wire import labels
from chiron_stream.wire.canonical import EncodingRefused, decode, encode
from chiron_stream.wire.control import (
    Announcement,
    ControlRecord,
    Fin,
    RecipeManifest,
    chain_next,
    chain_start,
    open_control,
)
from chiron_stream.wire.crypto import (
    XWingPrivateKey,
    derive,
    extract,
    is_weak,
    sha256,
    unseal,
    verified,
)
from chiron_stream.wire.objects import ObjectRef, open_object
from chiron_stream.wire.receipts import (
    CheckpointRecord,
    Plan,
    PlanRecord,
    checkpoint_hash,
    open_plan,
    read_checkpoint,
)
from chiron_stream.wire.replies import (
    Accept,
    Acknowledged,
    ReplyRecord,
    ShardTrained,
    open_reply,
)
from chiron_stream.wire.serving import AnswerBody, QueryName, open_answer, open_query
from chiron_stream.wire.session import (
    Intent,
    SessionKeys,
    SessionOpen,
    admit,
    decapsulate,
    read_hello,
)
from chiron_stream.wire.shards import ShardName, open_shard
from tests.vectors import generate

STORED = generate.load()
OPENED = SessionOpen.unpack(bytes.fromhex(STORED["session"]["record"]))
KEYS = SessionKeys(
    bytes.fromhex(STORED["session"]["session"]), bytes.fromhex(STORED["session"]["prk"])
)


def raw(section: str, name: str) -> bytes:
    return bytes.fromhex(STORED[section][name])


def test_generator_gives_the_stored_vectors_again() -> None:
    assert generate.build(STORED) == STORED
    assert json.loads(generate.FILE.read_text()) == STORED


def test_generator_makes_randomised_parts_anew_only_where_they_do_not_open() -> None:
    damaged = STORED | {"hpke": STORED["hpke"] | {"sealed": "00" * 1168}}
    made = generate.build(damaged)
    assert made["hpke"] != STORED["hpke"]
    assert made | {"hpke": STORED["hpke"]} == STORED


def test_generator_without_a_file_makes_the_same_parts_but_the_randomised() -> None:
    made = generate.build({})
    assert {name: set(part) for name, part in made.items()} == {
        name: set(part) for name, part in STORED.items()
    }
    for name in ("canonical", "formulas", "ed25519", "job", "akd", "rows"):
        assert made[name] == STORED[name]


@pytest.mark.parametrize("one", STORED["canonical"]["good"], ids=lambda one: one["value"][:30])
def test_canonical_bytes_decode_and_encode(one: dict[str, str]) -> None:
    data = bytes.fromhex(one["bytes"])
    assert encode(decode(data)) == data
    assert generate.diagnostic(decode(data)) == one["value"]


@pytest.mark.parametrize("one", STORED["canonical"]["refused"], ids=lambda one: one["why"])
def test_other_bytes_are_refused(one: dict[str, str]) -> None:
    with pytest.raises(EncodingRefused):
        decode(bytes.fromhex(one["bytes"]))


def test_formulas() -> None:
    label, key = raw("formulas", "label"), raw("formulas", "key")
    parts = [bytes.fromhex(one) for one in STORED["formulas"]["parts"]]
    assert sha256(label, *parts) == raw("formulas", "sha256")
    assert derive(key, label, *parts, 9) == raw("formulas", "derive")
    assert derive(key, label, *parts, 9, length=8) == raw("formulas", "derive_8_bytes")
    assert extract(parts[0], key) == raw("formulas", "extract_with_parts_1_as_salt")


def test_signature_and_refused_keys() -> None:
    key = Ed25519PrivateKey.from_private_bytes(raw("ed25519", "seed"))
    public = raw("ed25519", "public")
    assert key.public_key().public_bytes_raw() == public
    arguments = [raw("ed25519", name) for name in ("label", "message", "signature")]
    assert verified(public, *arguments)
    assert all(is_weak(bytes.fromhex(one)) for one in STORED["ed25519"]["refused_keys"])


def test_hpke_and_cobblestone() -> None:
    key = XWingPrivateKey(raw("hpke", "seed"))
    assert key.public == raw("hpke", "public")
    assert key.open(raw("hpke", "sealed"), raw("hpke", "info")) == raw("hpke", "plaintext")
    opened = unseal(*(raw("cobblestone", name) for name in ("key", "context", "sealed")))
    assert opened == raw("cobblestone", "plaintext")


def test_job_and_document_of_its_coordinator() -> None:
    packed = raw("job", "policy")
    policy = read_policy(packed)
    assert (job_id(packed), policy_head(packed)) == (
        raw("job", "job_id"),
        raw("job", "policy_head"),
    )
    owner = policy.roster[0].identity
    assert verified(owner, labels.SIGN_POLICY, packed, raw("job", "owner_signature"))
    assert policy.schema == Schema.unpack(raw("job", "schema"))
    assert policy.schema.digest == raw("job", "schema_digest")
    document = raw("akd", "document")
    assert AttestedKeyDocument.unpack(document).job_id == raw("job", "job_id")
    assert akd_hash(document) == raw("akd", "hash")
    assert report_data(document) == raw("akd", "report_data")
    challenged = report_data(document, raw("akd", "challenge"))
    assert challenged == raw("akd", "report_data_with_challenge")


def test_session_is_admitted() -> None:
    assert read_hello(OPENED).job == raw("job", "job_id")
    secret = decapsulate(OPENED, XWingPrivateKey(raw("session", "coordinator_xwing_seed")))
    assert secret == raw("session", "secret")
    assert admit(OPENED, secret) == (KEYS, Intent(STORED["session"]["data_set"]))
    names = {
        "control_key": KEYS.control,
        "commitment": KEYS.commitment,
        "reply_key": KEYS.replies,
        "recipe_key": KEYS.recipe,
        "query_key": KEYS.queries,
        "answer_secret": KEYS.answers,
        "data_set_id": KEYS.data_set("icu"),
        "shard_0_key": KEYS.shard("icu", 0),
    }
    assert {name: raw("session", name) for name in names} == names


def test_control_records_open_in_order() -> None:
    link, bodies = chain_start(OPENED.pack()), []
    for one in STORED["control"]["records"]:
        record = bytes.fromhex(one["record"])
        body = open_control(
            KEYS.control,
            ControlRecord.unpack(record),
            session=KEYS.session,
            counter=one["counter"],
            previous=link,
        )
        assert body.pack().hex() == one["body"]
        bodies.append(type(body))
        link = chain_next(link, record)
    assert bodies == [Announcement, Fin, RecipeManifest]
    assert link == raw("control", "last_link")


def test_rows_unpack_to_their_values() -> None:
    schema = Schema.unpack(raw("job", "schema"))
    train, count = unpack_columns(schema, raw("rows", "train"), purpose="train")
    assert count == 2
    assert {name: one.tolist() for name, one in train.items()} == STORED["rows"]["values"]
    query, count = unpack_columns(schema, raw("rows", "query"), purpose="query")
    assert count == 1
    assert set(train) - set(query) == {"outcome"}


@pytest.mark.parametrize(("number", "prefix"), [(0, ""), (1, "larger_")])
def test_shards_open(number: int, prefix: str) -> None:
    part: Any = STORED["shard"]
    records = [bytes.fromhex(one) for one in part[f"{prefix}records"]]
    name = ShardName(KEYS.session, KEYS.data_set("icu"), number)
    key, digest = raw("shard", f"{prefix}key"), raw("shard", f"{prefix}digest")
    content = open_shard(key, name, digest, dict(enumerate(records)), len(records))
    assert content == raw("shard", f"{prefix}content")


def test_object_opens() -> None:
    ref = ObjectRef.unpack(raw("object", "ref"))
    assert open_object(KEYS.recipe, ref, {0: raw("object", "chunk")}) == raw("object", "content")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("accept", Accept), ("acknowledged", Acknowledged), ("trained", ShardTrained)],
)
def test_replies_open(name: str, kind: type) -> None:
    body = open_reply(KEYS.replies, ReplyRecord.unpack(raw("replies", name)))
    assert type(body) is kind
    assert body.pack() == raw("replies", f"{name}_body")


def test_query_and_answer_open() -> None:
    name = QueryName(KEYS.session, STORED["serving"]["number"])
    row = open_query(KEYS.queries, name, raw("serving", "query"))
    assert row == raw("serving", "query_content")
    body = open_answer(KEYS.answers, name, raw("serving", "answer"))
    assert body == AnswerBody.unpack(raw("serving", "answer_body"))


def test_receipt_verifies_and_names_the_shard() -> None:
    record = CheckpointRecord.unpack(raw("receipts", "record"))
    checkpoint = read_checkpoint(record, raw("receipts", "signing_key"))
    assert checkpoint.pack() == raw("receipts", "checkpoint")
    assert checkpoint_hash(record.checkpoint) == raw("receipts", "hash")
    assert record.signer == akd_hash(raw("akd", "document"))
    assert raw("shard", "leaf") in record.leaves


def test_plan_opens_for_its_auditor_alone() -> None:
    record, job = PlanRecord.unpack(raw("plan", "record")), raw("job", "job_id")
    signer = raw("receipts", "signing_key")
    plan = open_plan(record, job, XWingPrivateKey(raw("plan", "auditor_xwing_seed")), signer)
    assert plan == Plan.unpack(raw("plan", "plan"))
    with pytest.raises(TamperDetected):
        open_plan(record, job, XWingPrivateKey(bytes(32)), signer)
