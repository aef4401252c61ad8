"""What a recipe holds, in plain words."""

from __future__ import annotations

from collections import Counter

from chiron_stream.graph.checked import CheckedRecipe
from chiron_stream.graph.definition import Graph, Input
from chiron_stream.graph.settings import Setting


def explain(recipe: CheckedRecipe) -> str:
    """Return a few lines: inputs, graphs, parameters, memory, optimizer, digest."""
    definition = recipe.definition
    elements = sum(one.bytes // 4 for one in definition.parameters)
    trained = sum(one.bytes // 4 for one in definition.parameters if one.id in recipe.trained)
    lines = [
        *(f"input      {_input(one)}" for one in definition.inputs),
        f"target     {_input(definition.target)}",
        f"output     float32 {_shape('rows', recipe.output_shape)}",
        f"parameters {elements:,} in {len(definition.parameters)} tensors, {trained:,} trained",
        f"buffers    {len(definition.buffers)}, {len(recipe.counters)} of them counters",
        f"train      {_graph(definition.train)}",
        f"eval       {_graph(definition.evaluate)}",
        f"weights    {_size(definition.state_bytes)}",
        f"memory     at most {_size(recipe.train_bytes)} for a step of training",
        f"           at most {_size(recipe.eval_bytes)} for a prediction",
        f"optimizer  {_setting(definition.optimizer)}",
        f"schedule   {_setting(definition.schedule)}",
        f"clip norm  {definition.clip_norm or 'none'}",
        f"batch      {definition.batch_size} rows",
        f"definition {recipe.digest.hex()}",
    ]
    return "\n".join(lines)


def _input(one: Input) -> str:
    names = ", ".join(one.columns[:6]) + (", …" if len(one.columns) > 6 else "")
    return f"{one.dtype} {_shape('rows', one.row_shape)} from {names}"


def _shape(first: str, row: tuple[int, ...]) -> str:
    return f"[{', '.join([first, *map(str, row)])}]"


def _graph(graph: Graph) -> str:
    counts = Counter(node.op for node in graph.nodes)
    names = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return f"{len(graph.nodes)} operations: {names}"


def _setting(setting: Setting) -> str:
    table = setting.to_json()
    kind = table.pop("kind")
    return " ".join([kind, *(f"{name}={value}" for name, value in table.items())])


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count:,} bytes"
