"""``chiron topics plan | apply | check``: the catalogue against a broker."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from chiron_stream.broker.catalogue import load_catalogue
from chiron_stream.broker.drift import Difference, apply, compare
from chiron_stream.broker.kafka import KafkaBroker
from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.main import NOUNS
from chiron_stream.errors import UsageRefused


def run(arguments: Sequence[str]) -> int:
    """Compare, and for ``apply`` change; ``check`` ends with 1 when anything differs."""
    ready = context(_parser().parse_args(arguments))
    catalogue = load_catalogue()
    settings, flags = ready.settings, ready.flags
    with KafkaBroker(settings.text("bootstrap_servers"), settings.kafka) as broker:
        broker.connect()
        look = apply if flags.verb == "apply" else compare
        differences = look(catalogue, flags.job, broker.administration(), flags.replication_factor)
    for difference in differences:
        _show(ready, difference, flags.verb)
    ready.output.note(_summary(flags.verb, len(differences), len(catalogue.topics)))
    return 1 if differences and flags.verb == "check" else 0


def _parser() -> argparse.ArgumentParser:
    made = parser("topics", NOUNS["topics"])
    made.add_argument(
        "verb",
        choices=("plan", "apply", "check"),
        help="plan: show what apply would change; apply: change it; check: fail if anything "
        "differs",
    )
    made.add_argument("--job", required=True, help="name of the job, part of each topic's name")
    made.add_argument(
        "--replication-factor",
        type=_copies,
        metavar="N",
        help="copies of each partition; from 3 on, 2 must be in sync to acknowledge "
        "(default: the broker's)",
    )
    return made


def _copies(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 16:
        raise UsageRefused("not a replication factor", expected="1 to 16", got=text)
    return number


def _show(ready: Context, difference: Difference, verb: str) -> None:
    one = difference
    fields = {
        "topic": one.topic,
        "what": one.what,
        "expected": one.expected,
        "got": one.got,
        "can_apply": one.can_apply,
    }
    if one.what == "topic":
        sentence = f"{'created' if verb == 'apply' else 'create'} {one.topic}"
    else:
        sentence = f"{one.topic}: {one.what} = {one.expected}, was {one.got}"
        if not one.can_apply:
            sentence += " (cannot be changed in place)"
    ready.output.data("topic.difference", fields, sentence)


def _summary(verb: str, differences: int, topics: int) -> str:
    if not differences:
        return f"{topics} topics as the catalogue says"
    done = {"plan": "to change", "apply": "changed", "check": "different"}[verb]
    return f"{topics} topics, {differences} settings or topics {done}"
