"""The job file: exactly one text, all signatures, and simulation only for those who ask."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.errors import ChironError, JobRefused
from chiron_stream.job.describe import describe
from chiron_stream.job.file import Job, JobFile, dumps, loads, parse, sign_policy, verify
from chiron_stream.job.policy import Form, RecipeLimits, job_id, policy_head
from chiron_stream.job.schema import CategoryColumn, LabelColumn, NumberColumn, Schema
from chiron_stream.job.simulation import InsecureSimulation
from chiron_stream.wire import labels
from tests.unit.job.builders import (
    AUDITOR,
    DISCLOSURE,
    HARDWARE,
    JOHN,
    LAB,
    MARY,
    POLICY,
    REGRESSION,
    SERVERS,
    STRANGER,
    WARD,
    file_of,
    policy_with,
)

TEXT = dumps(file_of())
JOB = loads(TEXT)


def table(**parts: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(TEXT)
    return found | parts


def refused(text: str, code: str = "JOB_FILE") -> JobRefused:
    with pytest.raises(JobRefused) as caught:
        loads(text)
    assert caught.value.code == code
    return caught.value


def test_job_is_loaded_from_its_text() -> None:
    data = POLICY.pack()
    expected = Job(POLICY, data, job_id(data), policy_head(data), SERVERS, file_of().signatures)
    assert loads(TEXT) == expected


def test_job_is_written_again_as_the_same_text() -> None:
    assert dumps(JOB.file) == TEXT


def test_text_has_the_documented_keys_in_order() -> None:
    keys = ["chiron_job", "name", "job_id", "bootstrap_servers", "policy", "signatures"]
    assert list(table()) == keys
    assert table()["name"] == "icu-mortality"
    assert table()["job_id"] == JOB.job_id.hex()


def test_order_of_keys_and_signatures_means_nothing() -> None:
    turned = dict(reversed(table().items()))
    turned["signatures"] = dict(reversed(turned["signatures"].items()))
    assert loads(json.dumps(turned)) == JOB


def test_signatures_are_collected_one_by_one() -> None:
    file = parse(dumps(JobFile(POLICY.pack(), (), SERVERS)))
    for one in (LAB, MARY, JOHN):
        file = parse(dumps(file.signed(*sign_policy(file.policy, one.signing_key))))
    assert dumps(file) == TEXT


def test_signing_again_replaces_the_signature() -> None:
    file = file_of().signed(MARY.public, bytes(64))
    assert len(file.signatures) == 3
    assert file.signed(*sign_policy(file.policy, MARY.signing_key)) == file_of()


def test_repr_of_a_job_is_short() -> None:
    assert repr(JOB) == f"Job('icu-mortality', {JOB.job_id.hex()[:16]}…)"


# Form


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nothing", ""),
        ("no JSON", "{"),
        ("a list", "[]"),
        ("a text", '"job"'),
        ("deeply nested lists", "[" * 100_000),
        ("deeply nested tables", '{"a":' * 100_000),
        ("a second document", TEXT + "{}"),
        ("a doubled key", TEXT.replace('"chiron_job": 1', '"chiron_job": 1, "chiron_job": 1')),
        ("too long", TEXT + " " * (1024 * 1024)),
        ("a number without end", '{"chiron_job": ' + "9" * 10_000 + "}"),
    ],
)
def test_file_refuses(name: str, text: str) -> None:
    refused(text)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("another version", {"chiron_job": 2}),
        ("a truth value as version", {"chiron_job": True}),
        ("a fraction as version", {"chiron_job": 1.0}),
        ("an unknown key", {"comment": ""}),
        ("another name", {"name": "icu"}),
        ("a name of half a character", {"name": "\ud800"}),
        ("another id", {"job_id": "00" * 32}),
        ("an id in capitals", {"job_id": JOB.job_id.hex().upper()}),
        ("no id", {"job_id": None}),
        ("policy that is no text", {"policy": 7}),
        ("policy that is no base64", {"policy": "*"}),
        ("policy that is not ASCII", {"policy": "é"}),
        ("policy with a line feed", {"policy": json.loads(TEXT)["policy"] + "\n"}),
        ("policy with stray bits", {"policy": "AB=="}),
        ("signatures in a list", {"signatures": []}),
        ("too many signatures", {"signatures": {f"{n:064x}": "" for n in range(1001)}}),
        ("an identity in capitals", {"signatures": {"AB" * 32: "AA=="}}),
        ("a short identity", {"signatures": {"ab" * 31: "AA=="}}),
        ("a short signature", {"signatures": {"ab" * 32: "AA=="}}),
        ("a signature that is no text", {"signatures": {"ab" * 32: None}}),
        ("servers that are no text", {"bootstrap_servers": None}),
        ("no server", {"bootstrap_servers": ""}),
        ("a server without port", {"bootstrap_servers": "kafka"}),
        ("a server of port 0", {"bootstrap_servers": "kafka:0"}),
        ("a server of port 65536", {"bootstrap_servers": "kafka:65536"}),
        ("an empty second server", {"bootstrap_servers": "kafka:1,"}),
        ("a server with a line feed", {"bootstrap_servers": "kafka:1\n"}),
        ("a server with a path", {"bootstrap_servers": "a/b:1"}),
        ("too many servers", {"bootstrap_servers": ",".join(["kafka:1"] * 200)}),
    ],
)
def test_file_refuses_one_with(name: str, parts: dict[str, Any]) -> None:
    refused(json.dumps(table(**parts)))


@pytest.mark.parametrize("key", list(table()))
def test_file_refuses_a_missing(key: str) -> None:
    refused(json.dumps({name: value for name, value in table().items() if name != key}))


def test_file_refuses_a_policy_that_contradicts_itself() -> None:
    data = policy_with(name="Not A Name").pack()
    parts = {"policy": base64.b64encode(data).decode(), "job_id": job_id(data).hex()}
    refused(json.dumps(table(name="Not A Name", **parts)), "JOB_POLICY")


def test_file_refuses_another_policy_under_the_same_id() -> None:
    other = base64.b64encode(policy_with(seed=bytes([8]) * 32).pack()).decode()
    assert "job_id" in str(refused(json.dumps(table(policy=other))))


def test_file_refuses_another_policy_under_the_same_signatures() -> None:
    other = policy_with(seed=bytes([8]) * 32).pack()
    text = dumps(JobFile(other, file_of().signatures, SERVERS))
    assert "does not verify" in refused(text, "JOB_SIGNATURES").message


@pytest.mark.parametrize("servers", ["a:1", "a-b.c_d:65535,1.2.3.4:9092", "[::1]:9092"])
def test_servers_are_taken(servers: str) -> None:
    assert loads(dumps(replace(file_of(), bootstrap_servers=servers))).bootstrap_servers == servers


# Signatures


@pytest.mark.parametrize("missing", [MARY, JOHN, LAB], ids=lambda one: one.name)
def test_job_refuses_a_missing_signature_and_names_the_member(missing: Any) -> None:
    others = [one for one in (MARY, JOHN, LAB) if one is not missing]
    error = refused(dumps(file_of(POLICY, *others)), "JOB_SIGNATURES")
    assert error.got == missing.name


def test_job_refuses_no_signatures_and_names_all() -> None:
    with pytest.raises(JobRefused) as caught:
        verify(JobFile(POLICY.pack(), (), SERVERS))
    assert caught.value.got == "st-mary, st-john, model-lab"


@pytest.mark.parametrize("extra", [WARD, AUDITOR], ids=lambda one: one.name)
def test_job_refuses_a_signature_of_who_need_not_sign(extra: Any) -> None:
    error = refused(dumps(file_of(POLICY, MARY, JOHN, LAB, extra)), "JOB_SIGNATURES")
    assert error.got == extra.name


def test_job_refuses_a_signature_of_a_stranger() -> None:
    error = refused(dumps(file_of(POLICY, MARY, JOHN, LAB, STRANGER)), "JOB_SIGNATURES")
    assert error.got == STRANGER.public.hex()[:16]


def test_job_refuses_a_signature_under_another_label() -> None:
    data = POLICY.pack()
    forged = file_of().signed(MARY.public, MARY.sign(labels.SIGN_SESSION, data))
    assert refused(dumps(forged), "JOB_SIGNATURES").got == MARY.name


def test_job_refuses_one_member_in_the_place_of_another() -> None:
    _, by_john = sign_policy(POLICY.pack(), JOHN.signing_key)
    forged = file_of().signed(MARY.public, by_john)
    assert refused(dumps(forged), "JOB_SIGNATURES").got == MARY.name


def test_job_refuses_two_signatures_of_one() -> None:
    file = file_of()
    with pytest.raises(JobRefused, match="twice"):
        verify(replace(file, signatures=(*file.signatures, file.signatures[0])))


@given(st.integers(0, 2), st.integers(0, 63), st.integers(1, 255))
def test_job_refuses_an_altered_signature(number: int, at: int, change: int) -> None:
    identity, honest = file_of().signatures[number]
    forged = honest[:at] + bytes([honest[at] ^ change]) + honest[at + 1 :]
    with pytest.raises(JobRefused, match="does not verify"):
        verify(file_of().signed(identity, forged))


@given(st.integers(0, len(TEXT) - 1), st.characters(codec="utf-8"))
def test_altered_text_is_refused_or_the_same_policy(at: int, character: str) -> None:
    with suppress(ChironError):
        found = loads(TEXT[:at] + character + TEXT[at + 1 :])
        assert found.policy_bytes == JOB.policy_bytes
        assert found.signatures == JOB.signatures


@given(st.text(max_size=50))
def test_arbitrary_text_is_refused(text: str) -> None:
    with pytest.raises(ChironError):
        loads(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ),
    st.sampled_from(sorted(table())),
)
def test_any_value_in_the_place_of_another_is_refused(value: Any, key: str) -> None:
    if key != "bootstrap_servers" and value != table()[key]:
        with pytest.raises(ChironError):
            loads(json.dumps(table(**{key: value})))


# Simulation


def test_simulated_job_is_refused_to_who_did_not_ask() -> None:
    with pytest.raises(JobRefused) as caught:
        JOB.require_simulation(allowed=False)
    assert caught.value.code == "SIMULATION"
    assert "SIMULATED" in caught.value.message
    assert repr(InsecureSimulation()) in str(caught.value.hint)


def test_simulated_job_is_for_who_asks() -> None:
    JOB.require_simulation(allowed=True)


@pytest.mark.parametrize("allowed", [True, False])
def test_job_with_hardware_evidence_is_for_everybody(allowed: bool) -> None:
    policy = policy_with(evidence=HARDWARE, allow_simulation=False)
    verify(file_of(policy)).require_simulation(allowed)


# In words


def test_description_begins_and_ends_with_simulated() -> None:
    lines = describe(JOB).splitlines()
    assert "SIMULATED" in lines[0]
    assert lines[0] == lines[-1]
    assert "simulated-sgx-dcap (SIMULATED)" in describe(JOB)


def test_description_of_hardware_does_not_say_simulated() -> None:
    policy = policy_with(evidence=HARDWARE, allow_simulation=False)
    assert "SIMULATED" not in describe(verify(file_of(policy)))


@pytest.mark.parametrize(
    "words",
    [
        "job icu-mortality, policy version 1",
        JOB.job_id.hex(),
        JOB.head.hex(),
        "kafka-1.example:9093,[::1]:9092 (not signed)",
        f"owner    st-mary: {MARY.public.hex()}, signed, can be sealed to",
        f"client   ward-7: {WARD.public.hex()}\n",
        "age: float32 0 to 120, missing becomes 50, and is marked",
        "visits: int32 0 to 1000, missing becomes 1\n",
        "site: one of 'north', 'south'; others in one bucket",
        "scan: uint8 array 2 x 3, 0 to 255",
        "outcome: LABEL, one of 'home', 'ward', 'died'",
        "data set icu of st-john",
        "3 passes, closed",
        "any recipe of the provider within the limits",
        "the best class, nothing else",
        "at most 1000 answers for each client",
        "a release needs 100 rows of 2 owners",
        "4 x 65536 bytes",
        "coordinator: " + "08" * 32,
        "UpToDate",
        "the provider: nothing",
        "owners: no score",
    ],
)
def test_description_says(words: str) -> None:
    assert words in describe(JOB)


def test_description_of_a_regression() -> None:
    terms = replace(DISCLOSURE, form=Form.ROUNDED, bits=8)
    recipe = RecipeLimits(bytes([3]) * 32, 1, 1, 2)
    shown = describe(
        verify(file_of(policy_with(schema=REGRESSION, disclosure=terms, recipe=recipe)))
    )
    assert "days: TARGET, 0 to 400" in shown
    assert "age: float32 0 to 120, none missing" in shown
    assert "all scores of 8 bits" in shown
    assert f"the recipe {'03' * 32} and no other" in shown


def test_description_says_who_learns_what_of_training() -> None:
    terms = replace(
        DISCLOSURE, progress_bits=6, progress_ceiling=500, score_every=3, score_ceiling=70
    )
    shown = describe(verify(file_of(policy_with(disclosure=terms))))
    assert "its loss in 6 bits" in shown
    assert "at most 500 bits in all" in shown
    assert "after every 3 releases and the last" in shown
    assert "at most 70 bits for each owner" in shown


def test_description_shows_long_lists_in_part_and_only_ascii() -> None:
    site = CategoryColumn("site", ("\u00e9", *(f"s{n}" for n in range(20))))
    schema = Schema((site, NumberColumn("a", "float32", 0, 1), LabelColumn("y", ("no", "yes"))))
    terms = replace(DISCLOSURE, form=Form.TOP_K, k=2)
    shown = describe(verify(file_of(policy_with(schema=schema, disclosure=terms))))
    assert "'\\xe9', 's0', 's1', 's2', 's3', 's4', 's5', 's6' and 13 more; others refused" in shown
    assert "the 2 best classes, no scores" in shown
    assert shown.isascii()
