"""Identities: keys that stay private, files that nobody else reads, lines that cannot mislead."""

from __future__ import annotations

import base64
import json
import os
import pickle
import stat
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.clients.identity import Identity, PublicIdentity, parse_public_line
from chiron_stream.errors import ConfigurationRefused, TamperDetected, UsageRefused
from chiron_stream.job.roster import Member, Role
from chiron_stream.wire import labels
from chiron_stream.wire.crypto import hpke_seal, verified

SIGNING = bytes(range(32))
SEALING = bytes(range(32, 64))
ME = Identity("st-mary", SIGNING, SEALING)
ORDER_TWO = (2**255 - 20).to_bytes(32, "little")
SECRETS = [
    form
    for seed in (SIGNING, SEALING)
    for form in (seed.hex(), base64.b64encode(seed).decode(), repr(seed))
]


def shows_secret(text: str) -> bool:
    return any(secret in text for secret in SECRETS)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "me.identity"


def written(path: Path, content: Any, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(data)
    path.chmod(mode)
    return path


def table(**parts: Any) -> dict[str, Any]:
    usual = {
        "chiron_identity": 1,
        "name": "st-mary",
        "ed25519": b64(SIGNING),
        "xwing": b64(SEALING),
    }
    return usual | parts


def refused(path: Path, code: str = "IDENTITY_FILE") -> ConfigurationRefused:
    with pytest.raises(ConfigurationRefused) as caught:
        Identity.load(path)
    assert caught.value.code == code
    return caught.value


# Keys


def test_generated_identities_differ() -> None:
    one, other = Identity.generate("a"), Identity.generate("a")
    assert one.public != other.public
    assert one.hpke_public != other.hpke_public
    assert one != other


def test_keys_are_functions_of_the_seeds() -> None:
    again = Identity("st-mary", SIGNING, SEALING)
    assert again == ME
    assert (again.public, again.hpke_public) == (ME.public, ME.hpke_public)
    assert (len(ME.public), len(ME.hpke_public)) == (32, 1216)


def test_signature_verifies_under_its_label_only() -> None:
    signature = ME.sign(labels.SIGN_SESSION, b"message")
    assert verified(ME.public, labels.SIGN_SESSION, b"message", signature)
    assert not verified(ME.public, labels.SIGN_POLICY, b"message", signature)


def test_identity_opens_what_was_sealed_to_it() -> None:
    sealed = hpke_seal(ME.hpke_public, b"plan", labels.INFO_PLAN)
    assert ME.open(sealed, labels.INFO_PLAN) == b"plan"


def test_identity_does_not_open_another_info_or_recipient() -> None:
    sealed = hpke_seal(ME.hpke_public, b"plan", labels.INFO_PLAN)
    with pytest.raises(TamperDetected):
        ME.open(sealed, labels.INFO_SESSION)
    with pytest.raises(TamperDetected):
        Identity.generate("other").open(sealed, labels.INFO_PLAN)


@pytest.mark.parametrize("name", ["", "two words", "a" * 65, "é", "a\n", "../a"])
def test_identity_refuses_a_name_that_no_roster_takes(name: str) -> None:
    with pytest.raises(ConfigurationRefused, match="name"):
        Identity.generate(name)


def test_repr_shows_no_secret() -> None:
    assert repr(ME) == "Identity(name='st-mary')"
    assert not shows_secret(f"{ME} {ME!r} {ME.signing_key!r} {ME.hpke_key!r}")


def test_identity_does_not_pickle() -> None:
    with pytest.raises((TypeError, pickle.PicklingError)):
        pickle.dumps(ME)


def test_public_identity_becomes_a_member() -> None:
    expected = Member(Role.OWNER, "st-mary", ME.public, ME.hpke_public)
    assert ME.public_identity.member(Role.OWNER) == expected
    expected.check()


# The file


def test_identity_is_loaded_as_it_was_saved(path: Path) -> None:
    ME.save(path)
    assert Identity.load(path) == ME
    assert Identity.load(str(path)) == ME


def test_saved_file_is_for_its_owner_alone(path: Path) -> None:
    ME.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("mask", [0o000, 0o777])
def test_saved_file_is_private_under_any_mask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        ME.save(tmp_path / "me.identity")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "me.identity").stat().st_mode) == 0o600


def test_saving_refuses_to_overwrite(path: Path) -> None:
    Identity.generate("first").save(path)
    before = path.read_bytes()
    with pytest.raises(ConfigurationRefused) as caught:
        ME.save(path)
    assert caught.value.code == "IDENTITY_EXISTS"
    assert path.read_bytes() == before


def test_saving_does_not_follow_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationRefused):
        ME.save(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


def test_failed_saving_leaves_no_half_key(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        ME.save(path)
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o601, 0o610, 0o666])
def test_loading_refuses_a_file_that_others_may_touch(path: Path, mode: int) -> None:
    error = refused(written(path, table(), mode), "IDENTITY_PERMISSIONS")
    assert isinstance(error, UsageRefused)
    assert error.hint == f"run: chmod 600 {path}"
    assert error.got == f"mode {mode:04o}"


def test_loading_takes_a_file_that_is_read_only(path: Path) -> None:
    assert Identity.load(written(path, table(), 0o400)) == ME


def test_loading_refuses_a_file_that_is_not_there(path: Path) -> None:
    assert refused(path).got == "No such file or directory"


def test_loading_refuses_a_directory(tmp_path: Path) -> None:
    refused(tmp_path)


def test_loading_refuses_a_device() -> None:
    refused(Path(os.devnull))


MALFORMED: list[tuple[str, Any]] = [
    ("empty", b""),
    ("no JSON", b"{"),
    ("no text", b"\xff\xfe\xff"),
    ("too large", json.dumps(table()).encode() + b" " * 4096),
    ("deeply nested", b"[" * 4000),
    ("a list", []),
    ("another version", table(chiron_identity=2)),
    ("a truth value as version", table(chiron_identity=True)),
    ("an unknown key", table(comment="")),
    ("no name", {k: v for k, v in table().items() if k != "name"}),
    ("a number as name", table(name=7)),
    ("an unusable name", table(name="two words")),
    ("a short seed", table(ed25519=b64(SIGNING[:31]))),
    ("a long seed", table(xwing=b64(SEALING + b"\0"))),
    ("a seed that is no base64", table(ed25519="*" * 44)),
    ("a seed with white space", table(ed25519=b64(SIGNING) + "\n")),
    ("a seed that is not ASCII", table(ed25519="é")),
    ("a seed that is no text", table(xwing=7)),
]


@pytest.mark.parametrize(("name", "content"), MALFORMED, ids=[name for name, _ in MALFORMED])
def test_loading_refuses_a_file_that_is(path: Path, name: str, content: Any) -> None:
    refused(written(path, content))


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(table()).encode()[:-1],
        table(comment=""),
        table(xwing=b64(SEALING)[:-1]),
        table(name="two words"),
    ],
    ids=["cut", "unknown key", "broken seed", "unusable name"],
)
def test_refusal_of_a_file_shows_no_secret(path: Path, content: Any) -> None:
    error = refused(written(path, content))
    assert not shows_secret("".join(traceback.format_exception(error)))
    chain: list[BaseException] = [error]
    while (before := chain[-1].__context__) is not None:
        chain.append(before)
    assert not any(shows_secret(repr(vars(one)) + repr(one.args)) for one in chain)


# The public line


def test_public_line_reads_as_what_it_says() -> None:
    expected = PublicIdentity("st-mary", ME.public, ME.hpke_public)
    assert parse_public_line(ME.public_line()) == expected == ME.public_identity
    assert parse_public_line(f"\n {ME.public_line()} \r\n") == expected


def test_public_line_is_one_line_without_secrets() -> None:
    assert len(ME.public_line().splitlines()) == 1
    assert not shows_secret(ME.public_line())


WORDS = ME.public_line().split(" ")
DEGENERATE = ME.hpke_public[:1184] + bytes(32)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", []),
        ("another first word", ["chiron-identity-2", *WORDS[1:]]),
        ("a word too few", WORDS[:3]),
        ("a word too many", [*WORDS, "x"]),
        ("an unusable name", [WORDS[0], "../a", *WORDS[2:]]),
        ("an empty name", [WORDS[0], "", *WORDS[2:]]),
        ("an identity that is no base64", [*WORDS[:2], "*", WORDS[3]]),
        ("a short identity", [*WORDS[:2], b64(ME.public[:31]), WORDS[3]]),
        ("an identity of order two", [*WORDS[:2], b64(ORDER_TWO), WORDS[3]]),
        ("an identity of order four", [*WORDS[:2], b64(bytes(32)), WORDS[3]]),
        ("no X-Wing key", [*WORDS[:3], ""]),
        ("a short X-Wing key", [*WORDS[:3], b64(ME.hpke_public[:-1])]),
        ("a degenerate X-Wing key", [*WORDS[:3], b64(DEGENERATE)]),
    ],
)
def test_public_line_refuses(name: str, words: list[str]) -> None:
    with pytest.raises(ConfigurationRefused) as caught:
        parse_public_line(" ".join(words))
    assert caught.value.code == "IDENTITY_FILE"


def test_public_line_refuses_a_second_line() -> None:
    with pytest.raises(ConfigurationRefused):
        parse_public_line(ME.public_line() + "\n" + ME.public_line())


@given(st.text(max_size=60))
def test_arbitrary_text_is_no_public_line(text: str) -> None:
    with pytest.raises(ConfigurationRefused):
        parse_public_line(text)


@given(st.integers(0, len(ME.public_line()) - 1), st.characters(codec="utf-8"))
def test_altered_public_line_is_refused_or_another_party(at: int, character: str) -> None:
    line = ME.public_line()
    forged = line[:at] + character + line[at + 1 :]
    if forged.strip() == line:
        return
    try:
        found = parse_public_line(forged)
    except ConfigurationRefused:
        return
    assert found != ME.public_identity
