"""Catalogue against broker: what differs, and what can be done about it."""

from __future__ import annotations

from dataclasses import dataclass

from chiron_stream.broker.catalogue import Catalogue
from chiron_stream.broker.records import TopicState
from chiron_stream.broker.seam import Administration
from chiron_stream.errors import CatalogueRefused
from chiron_stream.events import emit


@dataclass(frozen=True)
class Difference:
    """One thing that is not as the catalogue says.

    ``what`` is ``topic``, ``partitions``, ``replication.factor`` or the name of a Kafka setting.
    ``can_apply`` tells whether :func:`apply` can mend it without losing or moving records.
    """

    topic: str
    what: str
    expected: str
    got: str
    can_apply: bool


def compare(
    catalogue: Catalogue, job: str, broker: Administration, replication_factor: int | None = None
) -> list[Difference]:
    """Return every difference between the catalogue's topics of ``job`` and the broker's.

    :param replication_factor: also expect this many copies; ``None`` accepts any.
    """
    wished = {
        topic.on_broker(job): topic.wished(replication_factor)
        for topic in catalogue.topics.values()
    }
    found = broker.describe(list(wished))
    return [
        difference
        for name, wish in sorted(wished.items())
        for difference in _differences(name, wish, found.get(name))
    ]


def _differences(name: str, wish: TopicState, found: TopicState | None) -> list[Difference]:
    if found is None:
        return [Difference(name, "topic", "exists", "missing", can_apply=True)]
    facts = [("partitions", str(wish.partitions), str(found.partitions), False)]
    if wish.replication_factor is not None:
        copies = (str(wish.replication_factor), str(found.replication_factor))
        facts.append(("replication.factor", *copies, False))
    facts += [
        (setting, value, found.settings.get(setting, "(not set)"), True)
        for setting, value in wish.settings.items()
    ]
    return [
        Difference(name, what, expected, got, can_apply)
        for what, expected, got, can_apply in facts
        if expected != got
    ]


def apply(
    catalogue: Catalogue, job: str, broker: Administration, replication_factor: int | None = None
) -> list[Difference]:
    """Create missing topics, set differing settings, and return what was changed.

    :raises CatalogueRefused: something differs that cannot be changed in place (the number of
        partitions or of copies); then nothing was changed at all.
    """
    differences = compare(catalogue, job, broker, replication_factor)
    if stuck := [one for one in differences if not one.can_apply]:
        first = stuck[0]
        raise CatalogueRefused(
            f"{first.topic} cannot be changed in place: {first.what}",
            code="TOPIC_DIFFERS",
            expected=first.expected,
            got=first.got,
            hint="use a broker or a job name without this topic; records cannot change partition",
        )
    wished = {
        topic.on_broker(job): topic.wished(replication_factor)
        for topic in catalogue.topics.values()
    }
    for name in sorted({one.topic for one in differences}):
        changed = [one for one in differences if one.topic == name]
        if changed[0].what == "topic":
            broker.create(name, wished[name])
            emit("topic.changed", topic=name, what="created")
        else:
            broker.configure(name, {one.what: one.expected for one in changed})
            emit("topic.changed", topic=name, what=",".join(one.what for one in changed))
    return differences
