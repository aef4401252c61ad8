"""Fixtures of whole-job tests over real Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from chiron_stream.broker.local import LocalKafka
from chiron_stream.clients.publication import Publication
from chiron_stream.local.directory import JobDirectory, create
from chiron_stream.recipe import Recipe
from tests.jobs import jobs
from tests.jobs.command import Up, chiron
from tests.jobs.jobs import Parties

NewDirectory = Callable[..., JobDirectory]


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """A recipe that every job here can train."""
    return jobs.export()


@pytest.fixture(scope="session")
def new_directory(tmp_path_factory: pytest.TempPathFactory) -> NewDirectory:
    """Make job directories; their paths are short, for a socket is in them."""

    def make(**parts: object) -> JobDirectory:
        return create(tmp_path_factory.mktemp("j") / "job", jobs.terms(**parts))

    return make


@dataclass(frozen=True)
class Finished:
    """A job that came to its end, in the hands of commands; tests change nothing of it.

    :param shown: what each command printed, by its noun.
    :param publication: of alice, through the library; anna used the command.
    """

    directory: JobDirectory
    up: Up
    publication: Publication
    shown: dict[str, str]


@pytest.fixture(scope="session")
def finished(
    kafka: LocalKafka, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Finished]:
    """One job for this test process: init, up, a recipe, two data sets, trained to the end."""
    top = tmp_path_factory.mktemp("j")
    text = jobs.written({"name": jobs.new_name(), **jobs.TERMS})
    (top / "terms.toml").write_text(text)
    file = jobs.write_csv(top / "anna.csv", jobs.rows("anna"))
    made = chiron("init", top / "job", "--terms", top / "terms.toml")
    assert made.returncode == 0, made.stderr
    directory = JobDirectory(top / "job")
    with Up(directory, "--bootstrap-servers", kafka.bootstrap_servers) as up:
        up.ready()
        with Parties(directory) as parties:
            parties.provider().publish(recipe)
            publication = parties.publish("alice")
            words = ("--job", directory.path, "--as", "anna", "--insecure-simulation")
            sent = chiron("publish", file, *words, "--rows-per-shard", "50", "--wait", "trained")
            assert sent.returncode == 0, sent.stderr
            publication.wait("trained", 60)
            jobs.reaches(directory, "finished")
            shown = {"init": made.stdout + made.stderr, "publish": sent.stdout + sent.stderr}
            yield Finished(directory, up, publication, shown)
