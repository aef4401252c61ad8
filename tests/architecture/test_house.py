"""Promises of the repository: public names, error codes, requirement files, documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import chiron_stream
from chiron_stream import errors, timeouts
from chiron_stream.cli.main import NOUNS
from chiron_stream.settings import SETTINGS

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "chiron_stream").rglob("*.py"))
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))


def test_public_names_are_sorted_few_and_there() -> None:
    assert chiron_stream.__all__ == sorted(chiron_stream.__all__)
    assert dir(chiron_stream) == chiron_stream.__all__
    assert len(chiron_stream.__all__) <= 20
    assert all(getattr(chiron_stream, name) for name in chiron_stream.__all__)


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'DataOwnr'"):
        _ = chiron_stream.DataOwnr


def all_errors(
    base: type[errors.ChironError] = errors.ChironError,
) -> list[type[errors.ChironError]]:
    return [base, *(found for sub in base.__subclasses__() for found in all_errors(sub))]


def test_exit_codes_are_those_of_the_documentation() -> None:
    table = (ROOT / "docs" / "errors.md").read_text()
    for kind in {error.exit_code for error in all_errors()}:
        assert re.search(rf"^\| {kind} \|", table, re.MULTILINE), f"exit code {kind}"


def test_every_error_code_is_documented() -> None:
    table = (ROOT / "docs" / "errors.md").read_text()
    text = "\n".join(path.read_text() for path in SOURCES)
    codes = set(re.findall(r'(?:code=|default_code = |_missing\()"([A-Z_]+)"', text))
    codes |= set(re.findall(r'^    \("[^"]+", "([A-Z_]+)", ', text, re.MULTILINE))
    assert len(codes) > 25
    assert {code for code in codes if f"`{code}`" not in table} == set()


def test_every_timeout_is_documented() -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    values = {name: value for name, value in vars(timeouts).items() if name.isupper()}
    assert len(values) >= 8
    for name, value in values.items():
        assert f"`{name}` | {value:g} s" in page, name


def test_transaction_timeouts_are_nested() -> None:
    assert timeouts.DELIVERY < timeouts.COMMIT_WATCHDOG < timeouts.TRANSACTION


def test_every_setting_and_command_is_documented() -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    for setting in SETTINGS:
        assert f"`{setting.name}`" in page
        assert setting.environment is None or f"`{setting.environment}`" in page
    assert all(f"chiron {noun}" in page for noun in NOUNS)


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirements_are_pinned_with_hashes_and_name_no_host(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    for entry in re.split(r"\n(?=[A-Za-z])", text.strip()):
        assert re.match(r"[A-Za-z0-9._-]+==[^ ]+", entry), entry[:60]
        assert "--hash=sha256:" in entry, entry[:60]


def test_there_are_requirements_for_each_kind_of_machine() -> None:
    names = {path.name for path in REQUIREMENTS}
    assert names == {"base.txt", "dev.txt", "worker.txt", "worker-without-torch.txt"}


def test_a_data_owner_installs_no_torch_and_no_faust() -> None:
    base = (ROOT / "requirements" / "base.txt").read_text()
    assert not re.search(r"^(torch|faust-streaming|scikit-learn|aiokafka)==", base, re.MULTILINE)


def test_modules_are_small() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in SOURCES}
    assert max(lengths.values()) <= 500


def test_documentation_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "topics/README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
