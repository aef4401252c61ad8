"""Transcripts of what a party does alone, without a broker: keys and job files."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from chiron_stream.clients.identity import Identity, parse_public_line
from chiron_stream.job.file import dumps
from tests.jobs.command import data_of, error_of
from tests.unit.cli.typed import typed
from tests.unit.job.builders import JOHN, LAB, MARY, POLICY, file_of

# key


def test_key_new_writes_a_private_file_and_prints_the_public_line(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "st-mary.identity"
    shown = typed("key", "new", file)
    identity = Identity.load(file)
    assert (shown.returncode, shown.stdout) == (0, identity.public_line() + "\n")
    assert shown.stderr == (
        f"wrote {file}, mode 0600: whoever reads it is st-mary\n"
        "next: send the line to the author of the policy; the file goes nowhere\n"
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert parse_public_line(shown.stdout) == identity.public_identity


def test_key_new_takes_a_name_and_key_show_prints_the_same_line(tmp_path: Path) -> None:
    file = tmp_path / "me"
    made = typed("key", "new", file, "--name", "ward-7")
    shown = typed("key", "show", file)
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, made.stdout, "")
    ((kind, fields),) = data_of(typed("key", "show", file, "--json"))
    assert kind == "identity"
    assert (fields["name"], fields["file"]) == ("ward-7", str(file))
    assert fields["line"] + "\n" == shown.stdout
    assert fields["identity"] == Identity.load(file).public.hex()


def test_key_shows_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "me.identity"
    made = typed("key", "new", file)
    secrets = json.loads(file.read_text())
    shown = typed("key", "show", file, "--json")
    for text in (made.stdout, made.stderr, shown.stdout):
        assert secrets["ed25519"] not in text
        assert secrets["xwing"] not in text


def test_key_new_overwrites_nothing(tmp_path: Path) -> None:
    file = tmp_path / "me.identity"
    typed("key", "new", file)
    before = file.read_bytes()
    shown = typed("key", "new", file, "--json")
    assert (shown.returncode, error_of(shown)["code"]) == (2, "IDENTITY_EXISTS")
    assert (shown.stdout, file.read_bytes()) == ("", before)


def test_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "me.identity"
    typed("key", "new", file)
    file.chmod(0o644)
    shown = typed("key", "show", file)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "[IDENTITY_PERMISSIONS]" in shown.stderr
    assert f"chiron: hint: run: chmod 600 {file}" in shown.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("new", "{}/a b"), "an identity has no usable name"),
        (("new", "{}/me", "--name", "\u00e9"), "an identity has no usable name"),
        (("new", "/dev/null/me"), "cannot write /dev/null/me"),
        (("show", "{}/none"), "does not open"),
        (("show", "{}", "--name", "x"), "--name goes with new"),
    ],
    ids=["name of the file", "name", "no directory", "no file", "show with a name"],
)
def test_key_refuses_what_cannot_mean_anything(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    shown = typed("key", *(word.format(tmp_path) for word in words))
    assert (shown.returncode, shown.stdout) == (2, "")
    assert said in shown.stderr
    assert list(tmp_path.iterdir()) == []


# job


def test_job_verify_says_who_signed(tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text(dumps(file_of()))
    shown = typed("job", "verify", file)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == (
        "SIMULATED job icu-mortality: policy and signatures are good, "
        "signed by st-mary, st-john, model-lab\n"
    )
    assert typed("job", "verify", tmp_path).stdout == shown.stdout, "a directory will do"
    ((kind, fields),) = data_of(typed("job", "verify", file, "--json"))
    assert (kind, fields["signed_by"]) == ("job", ["st-mary", "st-john", "model-lab"])


def test_job_verify_names_who_has_not_signed(tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text(dumps(file_of(POLICY, MARY, LAB)))
    shown = typed("job", "verify", file)
    assert (shown.returncode, shown.stdout) == (8, "")
    assert "[JOB_SIGNATURES]" in shown.stderr
    assert f"chiron: got: {JOHN.name}" in shown.stderr


def test_job_verify_refuses_what_is_no_job_file(tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_bytes(b"\xff")
    assert typed("job", "verify", file).returncode == 2
    file.write_text("{}")
    shown = typed("job", "verify", file, "--json")
    assert (shown.returncode, error_of(shown)["code"]) == (8, "JOB_FILE")
