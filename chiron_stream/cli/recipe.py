"""``chiron recipe explain | rehearse | publish | status``: from a provider's file to a job."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from chiron_stream import timeouts
from chiron_stream.cli.common import Context, context, parser
from chiron_stream.cli.jobs import acting, add_job, add_member, connection, directory_of, evidence
from chiron_stream.cli.main import NOUNS
from chiron_stream.cli.progress import ProgressLine
from chiron_stream.cli.provided import TARGET, exported
from chiron_stream.clients.observer import Observer
from chiron_stream.clients.provider import ModelProvider, Progress
from chiron_stream.job.file import Job
from chiron_stream.job.policy import Role
from chiron_stream.job.schema import Schema
from chiron_stream.local.directory import JobDirectory
from chiron_stream.sources.files import format_of, open_table, source
from chiron_stream.sources.frames import named_columns


def run(arguments: Sequence[str]) -> int:
    """Run one of the verbs."""
    if not arguments or arguments[0] not in _VERBS:
        made = parser("recipe", NOUNS["recipe"])
        made.add_argument("verb", choices=tuple(_VERBS), help="VERB --help explains it")
        made.parse_args(arguments)
        made.error("the verb comes first")
    return _VERBS[arguments[0]](arguments[1:])


def _explain(arguments: Sequence[str]) -> int:
    made = _parser("explain", "say what a recipe holds and needs, and who would learn what")
    add_job(made)
    ready, job, _ = _ready(made, arguments)
    recipe = exported(ready.flags.recipe, job.policy.schema.kinds())
    found = recipe.explain(job.policy, rows_per_shard=ready.flags.rows_per_shard)
    fields = {**found.to_json(), "commitment": recipe.commitment.hex()}
    ready.output.data("recipe", fields, f"{found}\ncommitment {recipe.commitment.hex()}")
    return 0


def _rehearse(arguments: Sequence[str]) -> int:
    made = _parser("rehearse", "train on rows of one's own, at home, as a worker would")
    made.add_argument("sample", type=Path, help="rows: CSV, JSON lines, .npz, Parquet")
    made.add_argument("--passes", type=int, metavar="N", help="default: the policy's")
    made.add_argument("--held-out", type=float, default=0.2, metavar="SHARE", help="scored (0.2)")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of what is drawn (0)")
    made.add_argument("--threads", type=int, default=1, metavar="N", help="of torch (1)")
    add_job(made)
    ready, job, _ = _ready(made, arguments)
    flags, line = ready.flags, ProgressLine(hidden=ready.flags.json)
    sample = _table(flags.sample, job.policy.schema)
    recipe = exported(flags.recipe, job.policy.schema.kinds())
    try:
        found = recipe.rehearse(
            sample,
            job.policy,
            passes=flags.passes,
            rows_per_shard=flags.rows_per_shard,
            held_out=flags.held_out,
            seed=flags.seed,
            threads=flags.threads,
            progress=lambda done, most, loss: line.show(f"step {done} of {most}, loss {loss:.4g}"),
        )
    finally:
        line.end()
    ready.output.data("rehearsal", found.to_json(), str(found))
    return 0


def _table(path: Path, schema: Schema) -> dict[str, list[Any]]:
    """Return the rows of a file, all of them at once."""
    table = open_table(source(str(path)), format_of(str(path), None), schema)
    batches = [named_columns(one, schema) for one in table]
    names = batches[0] if batches else ()
    return {name: [value for one in batches for value in one[name]] for name in names}


def _publish(arguments: Sequence[str]) -> int:
    made = _parser("publish", "seal and send a recipe; done when the job has imported it")
    made.add_argument(
        "--timeout", type=float, default=timeouts.IMPORT, metavar="SECONDS", help="(120)"
    )
    add_member(made, "provider")
    ready, job, directory = _ready(made, arguments)
    identity = acting(directory, job, Role.PROVIDER, ready.flags)
    recipe = exported(ready.flags.recipe, job.policy.schema.kinds())
    recipe.fitted(job.policy)
    options = connection(ready, job)
    with ModelProvider(job, identity, evidence=evidence(ready.flags), **options) as provider:
        provider.publish(recipe, timeout=ready.flags.timeout)
    fields = {
        "job": job.policy.name,
        "commitment": recipe.commitment.hex(),
        "definition": recipe.checked.digest.hex(),
        "bytes": len(recipe.definition) + len(recipe.weights),
    }
    ready.output.data("recipe.imported", fields, "the recipe is imported")
    return 0


def _status(arguments: Sequence[str]) -> int:
    made = parser("recipe status", "say how far a job is with its recipe; 1 while it has made none")
    made.add_argument(
        "--progress",
        action="store_true",
        help="also the reports that the policy grants the provider; ends another listener",
    )
    add_member(made, "provider")
    ready, job, directory = _ready(made, arguments)
    code = _seen(ready, job, directory)
    if ready.flags.progress:
        identity = acting(directory, job, Role.PROVIDER, ready.flags)
        options = connection(ready, job)
        with ModelProvider(job, identity, evidence=evidence(ready.flags), **options) as provider:
            for one in provider.progress():
                ready.output.data("recipe.progress", _fields(one), _sentence(one))
    return code


def _seen(ready: Context, job: Job, directory: JobDirectory) -> int:
    """Print what signed checkpoints say, or what the coordinator here waits for."""
    with Observer(job, **connection(ready, job)) as observer:
        last = observer.look().checkpoint
    mark = "SIMULATED " if job.policy.is_simulated else ""
    names = ("round", "version", "release", "disclosed", "finished")
    fields: dict[str, Any] = {"job": job.policy.name, "imported": last is not None}
    if last is None:
        fields["waits_for"] = waits = _waits_for(directory)
        said = f"no version yet{f', the coordinator waits for {waits}' if waits else ''}"
    else:
        fields |= {name: getattr(last, name) for name in names}
        end = ", finished" if last.finished else ""
        said = f"imported, version {last.version}, release {last.release}{end}; "
        said += f"{last.disclosed} bits were told to the provider"
    ready.output.data("recipe.status", fields, f"{mark}job {job.policy.name}: {said}")
    return 0 if last is not None else 1


def _waits_for(directory: JobDirectory) -> str:
    """Return what the coordinator on this machine waits for; "" where there is none, or nothing."""
    path = directory.run / "coordinator-0.json"
    return str(json.loads(path.read_text())["waiting_for"]) if path.exists() else ""


def _fields(one: Progress) -> dict[str, Any]:
    return {**vars(one), "checkpoint": one.checkpoint.hex()}


def _sentence(one: Progress) -> str:
    low, high = one.gradients
    void = f", {one.void} shards left out" if one.void else ""
    return f"round {one.round}: loss {one.loss:.4g}, gradients {low:g} to {high:g}{void}"


def _parser(verb: str, summary: str) -> argparse.ArgumentParser:
    made = parser(f"recipe {verb}", summary)
    made.add_argument("recipe", help=TARGET)
    if verb != "publish":
        made.add_argument("--rows-per-shard", type=int, metavar="N", help="default: what fits")
    return made


def _ready(
    made: argparse.ArgumentParser, arguments: Sequence[str]
) -> tuple[Context, Job, JobDirectory]:
    ready = context(made.parse_args(arguments))
    directory = directory_of(ready.flags)
    return ready, directory.job(), directory


_VERBS: Final[Mapping[str, Callable[[Sequence[str]], int]]] = {
    "explain": _explain,
    "rehearse": _rehearse,
    "publish": _publish,
    "status": _status,
}
