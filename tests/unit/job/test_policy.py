"""The policy: one refusal a clause, and an id that hangs on every byte."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.attestation.evidence import ROLES, EvidencePolicy, RoleMeasurements
from chiron_stream.errors import ChironError, JobRefused
from chiron_stream.job.policy import (
    DataSet,
    Disclosure,
    Form,
    Kind,
    Member,
    Policy,
    RecipeLimits,
    Role,
    ShardClass,
    job_id,
    member,
    policy_head,
    read_policy,
)
from chiron_stream.job.schema import CategoryColumn, LabelColumn, NumberColumn, Schema, TensorColumn
from chiron_stream.wire.canonical import EncodingRefused
from tests.unit.job.builders import (
    AUDITOR,
    DISCLOSURE,
    EVIDENCE,
    HARDWARE,
    JOHN,
    LAB,
    MARY,
    POLICY,
    REGRESSION,
    ROSTER,
    SCHEDULE,
    STRANGER,
    WARD,
    policy_with,
)

ORDER_ONE = (1).to_bytes(32, "little")
ORDER_TWO = (2**255 - 20).to_bytes(32, "little")
ORDER_FOUR = bytes(32)
ORDER_EIGHT = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
NOT_CANONICAL = (2**255 - 19 + 3).to_bytes(32, "little")


def refused(**parts: Any) -> JobRefused:
    with pytest.raises(JobRefused) as caught:
        policy_with(**parts).check()
    assert caught.value.code == "JOB_POLICY"
    return caught.value


def refused_member(number: int, **parts: Any) -> JobRefused:
    roster = list(ROSTER)
    roster[number] = replace(roster[number], **parts)
    return refused(roster=tuple(roster))


def refused_evidence(base: EvidencePolicy = EVIDENCE, **parts: Any) -> JobRefused:
    return refused(evidence=replace(base, **parts), allow_simulation=base is EVIDENCE)


def test_policy_is_taken_and_unpacks_to_itself() -> None:
    assert read_policy(POLICY.pack()) == POLICY
    assert POLICY.is_simulated


def test_policy_with_hardware_evidence_is_taken() -> None:
    policy = policy_with(evidence=HARDWARE, allow_simulation=False)
    assert read_policy(policy.pack()) == policy
    assert not policy.is_simulated


# Head


def test_policy_refuses_another_version() -> None:
    assert refused(version=2).got == "2"


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a.b", "a\n", "é"])
def test_policy_refuses_a_name_that_no_topic_takes(name: str) -> None:
    assert "name" in refused(name=name).message


def test_policy_refuses_a_predecessor() -> None:
    assert "amendments" in refused(previous=bytes([1]) * 32).message


def test_policy_refuses_more_bytes_than_a_journal_entry_holds() -> None:
    texts = tuple(f"{n:0120}" for n in range(2000))
    schema = Schema((CategoryColumn("a", texts), LabelColumn("y", ("no", "yes"))))
    assert "size of the policy" in refused(schema=schema).message


def test_reading_refuses_more_bytes_before_it_decodes() -> None:
    with pytest.raises(JobRefused, match="too large"):
        read_policy(bytes(192 * 1024 + 1))


# Roster


def test_roster_refuses_nobody() -> None:
    assert refused(roster=()).got == "0"


def test_roster_refuses_too_many() -> None:
    assert refused(roster=ROSTER * 201).got == "1005"


def test_roster_refuses_no_owner() -> None:
    assert "no data owner" in refused(roster=ROSTER[2:]).message


def test_roster_refuses_no_provider() -> None:
    assert refused(roster=ROSTER[:2] + ROSTER[3:]).got == "0"


def test_roster_refuses_two_providers() -> None:
    assert refused_member(3, role=Role.PROVIDER).got == "2"


def test_roster_refuses_a_doubled_name() -> None:
    assert "share names" in refused_member(1, name=MARY.name).message


def test_roster_refuses_a_doubled_identity() -> None:
    assert "share identities" in refused_member(3, identity=MARY.public).message


def test_roster_refuses_a_doubled_hpke_key() -> None:
    assert "share X-Wing keys" in refused_member(1, hpke_key=MARY.hpke_public).message


@pytest.mark.parametrize("name", ["", "two words", "a" * 65, "-a", "é", "a\x1b[2J", "a\n"])
def test_roster_refuses_an_unusable_name(name: str) -> None:
    assert "usable name" in refused_member(0, name=name).message


@pytest.mark.parametrize(
    "key",
    [ORDER_ONE, ORDER_TWO, ORDER_FOUR, ORDER_EIGHT, NOT_CANONICAL],
    ids=["order 1", "order 2", "order 4", "order 8", "not canonical"],
)
@pytest.mark.parametrize("number", range(5))
def test_roster_refuses_a_weak_identity(number: int, key: bytes) -> None:
    assert "weak" in refused_member(number, identity=key).message


def test_roster_refuses_a_weak_identity_with_the_sign_bit() -> None:
    assert "weak" in refused_member(0, identity=ORDER_TWO[:31] + b"\xff").message


def test_roster_refuses_a_short_identity() -> None:
    assert "weak" in refused_member(0, identity=MARY.public[:31]).message


def test_roster_refuses_an_auditor_without_hpke_key() -> None:
    assert "auditor" in refused_member(4, hpke_key=None).message


@pytest.mark.parametrize("number", range(4))
def test_roster_takes_others_without_hpke_key(number: int) -> None:
    roster = list(ROSTER)
    roster[number] = replace(roster[number], hpke_key=None)
    policy_with(roster=tuple(roster)).check()


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("short", AUDITOR.hpke_public[:-1]),
        ("long", AUDITOR.hpke_public + b"\0"),
        ("ML-KEM coefficients out of range", b"\xff" * 1184 + AUDITOR.hpke_public[1184:]),
        ("X25519 point of small order", AUDITOR.hpke_public[:1184] + bytes(32)),
        ("X25519 point one", AUDITOR.hpke_public[:1184] + ORDER_ONE),
    ],
)
def test_roster_refuses_an_hpke_key_that_is(name: str, key: bytes) -> None:
    assert "cannot be used" in refused_member(4, hpke_key=key).message


def test_member_is_found_by_identity() -> None:
    assert member(POLICY, WARD.public) == ROSTER[3]
    assert member(POLICY, STRANGER.public) is None


def test_signers_are_owners_and_provider() -> None:
    assert [one.name for one in POLICY.signers] == [MARY.name, JOHN.name, LAB.name]


# Evidence and simulation


def test_simulated_evidence_is_refused_unless_the_policy_allows_it() -> None:
    assert "simulated" in refused(allow_simulation=False).message


def test_allowance_of_simulation_is_refused_beside_hardware_evidence() -> None:
    assert "not simulated" in refused(evidence=HARDWARE).message


def test_evidence_refuses_an_unknown_profile() -> None:
    assert "profile" in str(refused_evidence(profile="tdx"))


def test_evidence_refuses_another_root_for_hardware() -> None:
    assert "root" in str(refused_evidence(HARDWARE, root_digest=bytes(32)))


def test_evidence_refuses_a_quoting_service_beside_hardware() -> None:
    assert "service" in str(refused_evidence(HARDWARE, service_key=MARY.hpke_public))


@pytest.mark.parametrize("key", [None, MARY.hpke_public[:1184] + bytes(32)])
def test_evidence_refuses_simulation_without_a_usable_service(key: bytes | None) -> None:
    assert "quoting service" in refused_evidence(service_key=key).message


def test_evidence_refuses_no_status() -> None:
    assert "status" in str(refused_evidence(statuses=()))


def test_evidence_refuses_the_status_revoked() -> None:
    assert "Revoked" in str(refused_evidence(statuses=("UpToDate", "Revoked")))


MEASURED = EVIDENCE.measurements


@pytest.mark.parametrize(
    "measurements",
    [
        (),
        MEASURED[:2],
        (*MEASURED, MEASURED[0]),
        (*MEASURED, RoleMeasurements("janitor", (bytes(32),))),
    ],
    ids=["none", "a role is missing", "a role twice", "another role"],
)
def test_evidence_refuses_roles(measurements: tuple[RoleMeasurements, ...]) -> None:
    assert all(role in str(refused_evidence(measurements=measurements)) for role in ROLES)


def test_evidence_refuses_a_role_without_measurement() -> None:
    empty = RoleMeasurements(MEASURED[0].role, ())
    assert "no measurement" in refused_evidence(measurements=(empty, *MEASURED[1:])).message


# Recipe, schedule


@pytest.mark.parametrize(
    "limits",
    [
        RecipeLimits(None, 0, 1, 2),
        RecipeLimits(None, 2**40 + 1, 1, 2),
        RecipeLimits(None, 1, 0, 2),
        RecipeLimits(None, 1, 2**40 + 1, 2),
        RecipeLimits(None, 1, 1, 1),
        RecipeLimits(None, 1, 1, 2**20 + 1),
    ],
    ids=str,
)
def test_recipe_limits_refuse(limits: RecipeLimits) -> None:
    assert "out of bounds" in refused(recipe=limits).message


def test_recipe_may_be_committed_to() -> None:
    policy = policy_with(recipe=RecipeLimits(bytes([3]) * 32, 1, 1, 2))
    assert read_policy(policy.pack()).recipe.commitment == bytes([3]) * 32


OPEN = replace(
    SCHEDULE, kind=Kind.OPEN, data_sets=(), slots=2, window=1, max_wait=60, owner_slots=2
)


def test_open_schedule_names_no_data_sets() -> None:
    assert read_policy(policy_with(schedule=OPEN).pack()).schedule == OPEN
    error = refused(schedule=replace(OPEN, data_sets=SCHEDULE.data_sets))
    assert error.message == "an open schedule lists data sets"


@pytest.mark.parametrize(
    "parts",
    [
        {"window": 0},
        {"window": 1025},
        {"max_wait": 0},
        {"max_wait": 30 * 86_400 + 1},
        {"owner_slots": 0},
        {"owner_slots": 3},
        {"window": 1024, "shards_per_slot": 1024},
    ],
    ids=str,
)
def test_open_schedule_refuses(parts: dict[str, Any]) -> None:
    assert "out of bounds" in refused(schedule=replace(OPEN, **parts)).message


@pytest.mark.parametrize("field", ["window", "max_wait", "owner_slots"])
def test_closed_schedule_has_no_windows(field: str) -> None:
    parts: dict[str, Any] = {field: 1}
    error = refused(schedule=replace(SCHEDULE, **parts))
    assert error.message == "a closed schedule has no windows"


def test_every_owner_of_the_roster_is_one_of_an_open_schedule() -> None:
    roster = POLICY.roster
    assert OPEN.owners(roster) == {one.identity for one in roster if one.role is Role.OWNER}
    assert SCHEDULE.owners(roster) == {one.owner for one in SCHEDULE.data_sets}
    assert OPEN.allows(MARY.public, "any name")
    assert SCHEDULE.allows(MARY.public, "icu")
    assert not SCHEDULE.allows(MARY.public, "any name")


def test_schedule_refuses_no_data_set() -> None:
    assert refused(schedule=replace(SCHEDULE, data_sets=())).got == "0"


def test_schedule_refuses_too_many_data_sets() -> None:
    many = tuple(DataSet(MARY.public, f"d{n}") for n in range(1025))
    assert refused(schedule=replace(SCHEDULE, data_sets=many)).got == "1025"


@pytest.mark.parametrize("owner", [STRANGER, LAB, WARD], ids=lambda one: one.name)
def test_schedule_refuses_a_data_set_that_no_owner_has(owner: Any) -> None:
    sets = (*SCHEDULE.data_sets, DataSet(owner.public, "icu"))
    assert "owns the data set icu" in refused(schedule=replace(SCHEDULE, data_sets=sets)).message


def test_schedule_refuses_a_doubled_data_set() -> None:
    sets = (*SCHEDULE.data_sets, SCHEDULE.data_sets[0])
    assert "twice" in refused(schedule=replace(SCHEDULE, data_sets=sets)).message


def test_schedule_refuses_an_unusable_name_of_a_data_set() -> None:
    sets = (*SCHEDULE.data_sets, DataSet(MARY.public, "../icu"))
    assert "name" in refused(schedule=replace(SCHEDULE, data_sets=sets)).message


@pytest.mark.parametrize(
    "parts",
    [
        {"slots": 0},
        {"slots": 1025},
        {"shards_per_slot": 0},
        {"shards_per_slot": 1025},
        {"slots": 9, "shards_per_slot": 1000},
        {"passes": 0},
        {"passes": 100_001},
        {"step_deadline": 0},
        {"step_deadline": 86_401},
        {"release_every": 0},
        {"release_every": 1_000_001},
    ],
    ids=str,
)
def test_schedule_refuses_a_number(parts: dict[str, int]) -> None:
    assert "out of bounds" in refused(schedule=replace(SCHEDULE, **parts)).message  # type: ignore[arg-type]


# Disclosure


def with_form(form: Form, k: int, bits: int) -> Disclosure:
    return replace(DISCLOSURE, form=form, k=k, bits=bits)


@pytest.mark.parametrize(
    ("form", "k", "bits"),
    [
        (Form.LABEL, 1, 0),
        (Form.LABEL, 0, 1),
        (Form.TOP_K, 0, 0),
        (Form.TOP_K, 4, 0),
        (Form.TOP_K, 1, 25),
        (Form.ROUNDED, 1, 8),
        (Form.ROUNDED, 0, 0),
        (Form.ROUNDED, 0, 25),
    ],
)
def test_disclosure_refuses_a_form_with(form: Form, k: int, bits: int) -> None:
    assert form.name in refused(disclosure=with_form(form, k, bits)).message


@pytest.mark.parametrize(
    ("form", "k", "bits"),
    [(Form.LABEL, 0, 0), (Form.TOP_K, 3, 0), (Form.TOP_K, 1, 24), (Form.ROUNDED, 0, 1)],
)
def test_disclosure_takes_a_form_with(form: Form, k: int, bits: int) -> None:
    policy_with(disclosure=with_form(form, k, bits)).check()


@pytest.mark.parametrize(("form", "k"), [(Form.LABEL, 0), (Form.TOP_K, 1)])
def test_disclosure_refuses_classes_of_a_target(form: Form, k: int) -> None:
    error = refused(schema=REGRESSION, disclosure=with_form(form, k, 0))
    assert (error.expected, error.got) == ("ROUNDED", form.name)


def test_disclosure_takes_a_rounded_target() -> None:
    policy_with(schema=REGRESSION, disclosure=with_form(Form.ROUNDED, 0, 8)).check()


@pytest.mark.parametrize(
    "parts",
    [
        {"minimum_owners": 0},
        {"minimum_owners": 3},
        {"minimum_rows": 0},
        {"answers_per_client": 0},
        {"answers_per_client": 2**32},
        {"grant_size": 0},
        {"grant_size": 1001},
        {"progress_bits": 9, "progress_ceiling": 1000},
        {"progress_bits": 8},
        {"progress_bits": 8, "progress_ceiling": 20},
        {"progress_ceiling": 1},
        {"score_every": 2**32, "score_ceiling": 1},
        {"score_every": 1},
        {"score_ceiling": 1},
    ],
    ids=str,
)
def test_disclosure_refuses_a_number(parts: dict[str, int]) -> None:
    terms = replace(DISCLOSURE, **parts)  # type: ignore[arg-type]
    assert "out of bounds" in refused(disclosure=terms).message


def test_disclosure_takes_grants_with_their_ceilings() -> None:
    terms = replace(
        DISCLOSURE, progress_bits=8, progress_ceiling=21, score_every=1, score_ceiling=1
    )
    policy_with(disclosure=terms).check()
    assert terms.report_bits == 21
    assert DISCLOSURE.report_bits == 0


def test_disclosure_refuses_more_owners_than_have_data_sets() -> None:
    alone = replace(SCHEDULE, data_sets=SCHEDULE.data_sets[:1])
    assert "minimum of owners" in refused(schedule=alone).message


# Sizes


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("none", ()),
        ("five", tuple(ShardClass(n, 1000) for n in range(1, 6))),
        ("falling", (ShardClass(2, 1000), ShardClass(1, 1000))),
        ("equal totals", (ShardClass(1, 2000), ShardClass(2, 1000))),
        ("no records", (ShardClass(0, 1000),)),
        ("too many records", (ShardClass(4097, 1000),)),
        ("records too small", (ShardClass(1, 255),)),
        ("records too large", (ShardClass(1, 999_001),)),
    ],
)
def test_shard_classes_refuse(name: str, classes: tuple[ShardClass, ...]) -> None:
    assert "class" in refused(shard_classes=classes).message


def test_shard_classes_refuse_a_schema_whose_row_fits_none() -> None:
    scan = TensorColumn("scan", (1000,), "float32", 0, 1)
    schema = Schema((scan, LabelColumn("y", ("no", "yes"))))
    error = refused(schema=schema, shard_classes=(ShardClass(1, 4000),), query_bytes=5000)
    assert error.expected == f"{44 + 4000 + 8} bytes"


@pytest.mark.parametrize(
    "parts",
    [
        {"query_bytes": 66},
        {"query_bytes": 999_001},
        {"answer_bytes": 247},
        {"answer_bytes": 999_001},
        {"predictor_batch": 0},
        {"predictor_batch": 4097},
    ],
    ids=str,
)
def test_sizes_refuse(parts: dict[str, int]) -> None:
    assert "out of bounds" in refused(**parts).message


def test_query_may_be_as_small_as_a_row() -> None:
    policy_with(query_bytes=67).check()


# Bytes


def test_policy_of_another_type_does_not_pack() -> None:
    with pytest.raises(EncodingRefused):
        policy_with(seed=bytes(31)).pack()
    with pytest.raises(EncodingRefused):
        policy_with(roster=(Member(Role.OWNER, "a", MARY.public, b"short"),)).pack()


def test_job_id_and_head_are_different_hashes() -> None:
    data = POLICY.pack()
    assert len(job_id(data)) == len(policy_head(data)) == 32
    assert job_id(data) != policy_head(data)


def test_another_policy_is_another_job() -> None:
    assert job_id(policy_with(seed=bytes([8]) * 32).pack()) != job_id(POLICY.pack())


HONEST = POLICY.pack()


@given(st.integers(0, len(HONEST) - 1), st.integers(1, 255))
def test_altered_policy_is_another_job_or_none(at: int, change: int) -> None:
    forged = HONEST[:at] + bytes([HONEST[at] ^ change]) + HONEST[at + 1 :]
    assert job_id(forged) != job_id(HONEST)
    assert policy_head(forged) != policy_head(HONEST)
    with suppress(ChironError):
        found = read_policy(forged)
        assert found != POLICY
        assert found.pack() == forged


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_policy(data: bytes) -> None:
    with pytest.raises(ChironError):
        read_policy(data)


@given(st.integers(0, len(HONEST) - 1))
def test_cut_policy_is_refused(length: int) -> None:
    with pytest.raises(EncodingRefused):
        Policy.unpack(HONEST[:length])


def test_one_field_more_is_refused() -> None:
    with pytest.raises(EncodingRefused):
        Policy.unpack(HONEST + b"\0")


def test_schema_of_a_policy_is_checked_when_it_is_read() -> None:
    doubled = NumberColumn("a", "float32", 0, 1)
    forged = Schema((doubled, LabelColumn("y", ("no", "yes"))))
    object.__setattr__(forged, "columns", (doubled, *forged.columns))
    with pytest.raises(JobRefused) as caught:
        read_policy(policy_with(schema=forged).pack())
    assert caught.value.code == "JOB_SCHEMA"
