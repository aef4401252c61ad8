"""The topic catalogue: read strictly, one hostile file a defect."""

from __future__ import annotations

from pathlib import Path

import pytest

from chiron_stream.broker.catalogue import load_catalogue
from chiron_stream.errors import CatalogueRefused, UsageRefused

GOOD = """
summary = "What is in it."
key = "none"
partitions = 4
cleanup = "working"
value_limit = 262_144
writer = "owners"
transactional = false
readers = ["coordinator", "trainers"]
"""


def folder_with(tmp_path: Path, text: str, name: str = "shards.toml") -> Path:
    (tmp_path / name).write_text(text)
    return tmp_path


def test_file_reads(tmp_path: Path) -> None:
    topic = load_catalogue(folder_with(tmp_path, GOOD)).topics["shards"]
    assert (topic.partitions, topic.writer, topic.readers) == (
        4,
        "owners",
        ("coordinator", "trainers"),
    )
    assert topic.on_broker("icu-2026") == "chiron.icu-2026.shards"


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("partitions = 4", "partitions = 0", "partitions"),
        ("partitions = 4", "partitions = 1001", "partitions"),
        ("partitions = 4", "partitions = true", "partitions"),
        ("partitions = 4", 'partitions = "4"', "partitions"),
        ("partitions = 4", "", "missing: partitions"),
        ("partitions = 4", "partitions = 4\npartitons = 4", "unknown: partitons"),
        ("partitions = 4", "partitions = 4\npartitions = 5", "TOML"),
        ('"working"', '"forever"', "cleanup"),
        ('"working"', '["working"]', "cleanup"),
        ("262_144", "1_000_001", "value_limit"),
        ("262_144", "2.5", "value_limit"),
        ('"owners"', '"everybody"', "writer"),
        ("false", '"no"', "transactional"),
        ('["coordinator", "trainers"]', "[]", "readers"),
        ('["coordinator", "trainers"]', '["trainers", "trainers"]', "readers"),
        ('["coordinator", "trainers"]', '["operator"]', "readers"),
        ('"What is in it."', '""', "summary"),
        ("key =", "key ", "TOML"),
    ],
)
def test_defect_is_refused_by_file_and_key(tmp_path: Path, old: str, new: str, shown: str) -> None:
    assert old in GOOD
    with pytest.raises(CatalogueRefused) as refused:
        load_catalogue(folder_with(tmp_path, GOOD.replace(old, new)))
    text = " ".join(refused.value.diagnostics().values())
    assert "shards.toml" in text
    assert shown in text
    assert refused.value.code == "CATALOGUE_FILE"


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "shards.toml").write_bytes(b"summary = '\xff'")
    with pytest.raises(CatalogueRefused, match="UTF-8"):
        load_catalogue(tmp_path)


def test_name_that_is_no_topic_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueRefused, match="lower-case"):
        load_catalogue(folder_with(tmp_path, GOOD, "Shards!.toml"))


def test_empty_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueRefused) as refused:
        load_catalogue(tmp_path)
    assert refused.value.code == "CATALOGUE_EMPTY"


@pytest.mark.parametrize("job", ["", "-x", "Icu", "a.b", "a_b", "x" * 65, "a b"])
def test_job_that_cannot_be_in_a_topics_name_is_refused(job: str) -> None:
    topic = load_catalogue().topics["journal"]
    with pytest.raises(UsageRefused, match="not the name of a job"):
        topic.on_broker(job)


def test_installed_catalogue_keeps_the_rules_of_its_page() -> None:
    topics = load_catalogue().topics
    assert {"journal", "coordinator-chunks"} <= set(topics)
    assert topics["journal"].partitions == 1
    for topic in topics.values():
        if topic.transactional:
            assert topic.writer == "coordinator", "who writes in transactions shares with nobody"


def test_value_limit_is_found_by_the_brokers_name(tmp_path: Path) -> None:
    catalogue = load_catalogue(folder_with(tmp_path, GOOD))
    assert catalogue.value_limit("chiron.icu.shards") == 262_144
    assert catalogue.value_limit("something.else") == 1_000_000


@pytest.mark.parametrize(
    ("cleanup", "retention"),
    [("working", "604800000"), ("retained", "-1"), ("kept", "-1"), ("short", "600000")],
)
def test_cleanup_classes_are_retention_times(tmp_path: Path, cleanup: str, retention: str) -> None:
    text = GOOD.replace("working", cleanup)
    settings = load_catalogue(folder_with(tmp_path, text)).topics["shards"].wished().settings
    assert settings["retention.ms"] == retention
    assert settings["cleanup.policy"] == "delete"


@pytest.mark.parametrize(("copies", "in_sync"), [(1, "1"), (2, "1"), (3, "2"), (5, "2")])
def test_three_copies_ask_for_two_in_sync(copies: int, in_sync: str) -> None:
    wished = load_catalogue().topics["journal"].wished(copies)
    assert wished.settings["min.insync.replicas"] == in_sync
    assert wished.replication_factor == copies
