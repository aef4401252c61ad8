"""The format: what reads, what does not, and that nothing else ever happens."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiron_stream.errors import RecipeRefused
from chiron_stream.graph.arguments import MAX_DIMENSION
from chiron_stream.graph.checker import check
from chiron_stream.graph.definition import Ref
from chiron_stream.graph.format import MAX_COLUMNS, MAX_NODES, parse, serialize
from chiron_stream.graph.ops import OPS
from chiron_stream.graph.optimizers import SGD
from chiron_stream.graph.strict_json import MAX_BYTES, MAX_DEPTH
from tests.unit.graph.samples import MLP, changed, encoded, with_node


def refusal(data: bytes) -> RecipeRefused:
    with pytest.raises(RecipeRefused) as caught:
        parse(data)
    return caught.value


def test_parse_returns_what_the_bytes_say() -> None:
    found = parse(encoded(MLP))
    assert found.batch_size == 8
    assert found.inputs[0].columns == ("a", "b", "c")
    assert found.inputs[0].stacked
    assert not found.target.stacked
    assert [one.id for one in found.declared] == list(range(9))
    assert found.train.nodes[0].arguments == (Ref(0), Ref(2), Ref(3))
    assert found.optimizer == SGD(lr=0.1, momentum=0.9)
    assert found.state_bytes == 4 * (12 + 4 + 8 + 2 + 4 + 4) + 8


def test_parse_reads_back_what_serialize_writes() -> None:
    found = parse(encoded(MLP))
    assert parse(serialize(found)) == found


def test_parse_loads_no_torch() -> None:
    code = (
        "import sys; from chiron_stream.graph import columns, format, layout; "
        f"format.parse({encoded(MLP)!r}); "
        "print([name for name in ('torch', 'sympy') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"\xef\xbb\xbf{}", b"null", b"[1] 2"])
def test_parse_refuses_what_is_no_json_object(data: bytes) -> None:
    assert refusal(data).code == "GRAPH_FORMAT"


def test_parse_refuses_more_bytes_than_the_limit() -> None:
    assert refusal(b" " * (MAX_BYTES + 1)).code == "GRAPH_LIMIT"


def test_parse_refuses_depth_before_the_parser_meets_it() -> None:
    deep = b"[" * 200_000
    with pytest.raises(RecursionError):  # the control: the parser alone runs out of stack
        json.loads(deep)
    assert refusal(deep).code == "GRAPH_LIMIT"
    assert refusal(b"[" * MAX_DEPTH).code == "GRAPH_FORMAT"


def test_parse_counts_no_brackets_inside_texts() -> None:
    name = "[" * 20 + '\\"[['
    table = parse(changed(lambda t: t["inputs"][0].__setitem__("columns", [name, "b", "c"])))
    assert table.inputs[0].columns[0] == name


def test_parse_of_many_quotes_takes_time_in_proportion() -> None:
    assert refusal(b'"' + b'\\"' * 500_000).code == "GRAPH_FORMAT"


def test_parse_refuses_a_key_twice() -> None:
    twice = encoded(MLP).replace(b'{"version": 1', b'{"version": 2, "version": 1', 1)
    assert json.loads(twice)["version"] == 1  # the control: the last one wins silently
    assert refusal(twice).code == "GRAPH_FORMAT"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 400, "1." * 2])
def test_parse_refuses_numbers_that_are_none(number: str) -> None:
    text = encoded(MLP).replace(b'"lr": 0.1', f'"lr": {number}'.encode())
    assert refusal(text).code in ("GRAPH_FORMAT", "GRAPH_LIMIT")


@pytest.mark.parametrize("key", [*MLP, "code"])
def test_parse_refuses_a_missing_or_unknown_key(key: str) -> None:
    def change(table: dict[str, Any]) -> None:
        if key in table:
            del table[key]
        else:
            table[key] = "x"

    error = refusal(changed(change))
    assert error.code == "GRAPH_FORMAT"
    assert error.message.startswith("$ ")


BAD_PARTS: list[tuple[str, list[object], object, str]] = [
    ("another version", ["version"], 2, "GRAPH_FORMAT"),
    ("a version that is true", ["version"], True, "GRAPH_FORMAT"),
    ("a batch of one row", ["batch_size"], 1, "GRAPH_LIMIT"),
    ("a huge batch", ["batch_size"], 1 << 17, "GRAPH_LIMIT"),
    ("a batch that is true", ["batch_size"], True, "GRAPH_LIMIT"),
    ("a fractional batch", ["batch_size"], 8.0, "GRAPH_LIMIT"),
    ("an element type of Python", ["inputs", 0, "dtype"], "object", "GRAPH_FORMAT"),
    ("boolean rows", ["inputs", 0, "dtype"], "bool", "GRAPH_FORMAT"),
    ("whole-number parameters", ["parameters", 0, "dtype"], "i64", "GRAPH_FORMAT"),
    ("a fixed number of rows", ["inputs", 0, "shape", 0], 4, "GRAPH_FORMAT"),
    ("rows on another axis", ["inputs", 0, "shape", 1], "B", "GRAPH_LIMIT"),
    ("rows in a parameter", ["parameters", 0, "shape", 0], "B", "GRAPH_LIMIT"),
    ("a negative size", ["parameters", 0, "shape", 0], -1, "GRAPH_LIMIT"),
    ("an empty tensor", ["parameters", 0, "shape", 0], 0, "GRAPH_LIMIT"),
    ("a huge size", ["parameters", 0, "shape", 0], MAX_DIMENSION + 1, "GRAPH_LIMIT"),
    ("a huge tensor", ["parameters", 0, "shape"], [1 << 20, 1 << 20], "GRAPH_LIMIT"),
    ("seven dimensions", ["parameters", 0, "shape"], [1] * 7, "GRAPH_LIMIT"),
    ("no columns", ["inputs", 0, "columns"], [], "GRAPH_FORMAT"),
    ("too few columns", ["inputs", 0, "columns"], ["a"], "GRAPH_BINDING"),
    ("too many columns", ["inputs", 0, "columns"], ["a"] * (MAX_COLUMNS + 1), "GRAPH_LIMIT"),
    ("an empty column name", ["target", "columns"], "", "GRAPH_LIMIT"),
    ("a long column name", ["target", "columns"], "x" * 129, "GRAPH_LIMIT"),
    ("a column name that is half a character", ["target", "columns"], "\ud800", "GRAPH_FORMAT"),
    ("a column name with a line break", ["target", "columns"], "a\nb", "GRAPH_FORMAT"),
    ("a column that is a number", ["target", "columns"], 7, "GRAPH_FORMAT"),
    ("an id that skips one", ["parameters", 0, "id"], 3, "GRAPH_REFERENCE"),
    ("an id twice", ["parameters", 1, "id"], 2, "GRAPH_REFERENCE"),
    ("trainable that is 1", ["parameters", 0, "trainable"], 1, "GRAPH_FORMAT"),
    ("a node's id twice", ["train", "nodes", 1, 0], 9, "GRAPH_REFERENCE"),
    ("a node that is no list", ["train", "nodes", 1], {}, "GRAPH_FORMAT"),
    ("a node of two parts", ["train", "nodes", 1], [10, "relu"], "GRAPH_FORMAT"),
    ("an operation that is a list", ["train", "nodes", 1, 1], [], "GRAPH_OP"),
    ("an output out of reach", ["train", "output"], 16, "GRAPH_REFERENCE"),
    ("an output that is text", ["train", "output"], "15", "GRAPH_FORMAT"),
    ("a negative output", ["train", "output"], -1, "GRAPH_FORMAT"),
    ("an unknown optimizer", ["optimizer", "kind"], "os.system", "GRAPH_FORMAT"),
    ("an optimizer of a list", ["optimizer", "kind"], ["sgd"], "GRAPH_FORMAT"),
    ("an optimizer that is text", ["optimizer"], "sgd", "GRAPH_FORMAT"),
    ("a negative rate", ["optimizer", "lr"], -0.1, "GRAPH_FORMAT"),
    ("a rate that is true", ["optimizer", "lr"], True, "GRAPH_FORMAT"),
    ("a flag that is text", ["optimizer", "nesterov"], "no", "GRAPH_FORMAT"),
    ("an option of the optimizer", ["optimizer", "fused"], True, "GRAPH_FORMAT"),
    ("an unknown schedule", ["schedule", "kind"], "lambda", "GRAPH_FORMAT"),
]


@pytest.mark.parametrize(
    ("keys", "value", "code"),
    [case[1:] for case in BAD_PARTS],
    ids=[case[0] for case in BAD_PARTS],
)
def test_parse_refuses(keys: list[Any], value: object, code: str) -> None:
    def change(table: dict[str, Any]) -> None:
        place: Any = table
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    error = refusal(changed(change))
    assert error.code == code
    assert str(keys[0]) in error.message
    assert error.expected
    assert error.got is not None


BAD_NODES: list[tuple[str, object, object, str]] = [
    ("an operation outside the table", "from_file", ["/etc/passwd", False, 4], "GRAPH_OP"),
    ("an attribute as operation", "__class__", [], "GRAPH_OP"),
    ("uninitialised memory", "empty", [[65536]], "GRAPH_OP"),
    ("too few arguments", "relu", [], "GRAPH_OP"),
    ("too many arguments", "relu", [{"ref": 0}, {"ref": 0}], "GRAPH_LIMIT"),
    ("arguments that are no list", "relu", {"ref": 0}, "GRAPH_FORMAT"),
    ("a tensor that is a number", "relu", [0], "GRAPH_FORMAT"),
    ("a reference with more keys", "relu", [{"ref": 0, "x": 1}], "GRAPH_FORMAT"),
    ("a reference to true", "relu", [{"ref": True}], "GRAPH_FORMAT"),
    ("a reference below zero", "relu", [{"ref": -1}], "GRAPH_FORMAT"),
    ("a reference to nothing", "relu", [{"ref": 60000}], "GRAPH_REFERENCE"),
    ("a reference forwards", "relu", [{"ref": 12}], "GRAPH_REFERENCE"),
    ("a reference to itself", "relu", [{"ref": 9}], "GRAPH_REFERENCE"),
    ("null for a tensor that must be", "linear", [{"ref": 0}, None, None], "GRAPH_FORMAT"),
    ("true for a dimension", "softmax", [{"ref": 0}, True], "GRAPH_OP"),
    ("a dimension out of range", "softmax", [{"ref": 0}, 7], "GRAPH_OP"),
    ("code for a size", "reshape", [{"ref": 0}, ["__import__('os')"]], "GRAPH_OP"),
    ("a huge size", "reshape", [{"ref": 0}, [1 << 40]], "GRAPH_OP"),
    ("a huge multiple of the batch", "reshape", [{"ref": 0}, [{"B": 1 << 17}]], "GRAPH_OP"),
    ("a size below minus one", "reshape", [{"ref": 0}, [-2]], "GRAPH_OP"),
    ("seven sizes", "reshape", [{"ref": 0}, [1] * 7], "GRAPH_LIMIT"),
    ("a number beyond 31 bits", "mul", [{"ref": 0}, 1 << 40], "GRAPH_OP"),
    ("a number beyond float32", "mul", [{"ref": 0}, 1e31], "GRAPH_FORMAT"),
    ("a probability above one", "dropout", [{"ref": 0}, 1.5, True], "GRAPH_FORMAT"),
    ("a flag that is 1", "dropout", [{"ref": 0}, 0.5, 1], "GRAPH_FORMAT"),
    ("a text that is no choice", "gelu", [{"ref": 0}, "exact"], "GRAPH_OP"),
    ("an unknown reduction", "mse_loss", [{"ref": 0}, {"ref": 1}, 3], "GRAPH_OP"),
    ("an item that is text", "relu", [{"ref": 0, "item": "0"}], "GRAPH_OP"),
    ("an item beside another key", "relu", [{"ref": 0, "item": 0, "x": 1}], "GRAPH_FORMAT"),
    ("an item alone", "relu", [{"item": 0}], "GRAPH_FORMAT"),
    ("null where a number must be", "rsub", [{"ref": 0}, None], "GRAPH_FORMAT"),
    ("text for an optional number", "clamp", [{"ref": 0}, "0", None], "GRAPH_FORMAT"),
    ("text for an optional border", "slice", [{"ref": 0}, 1, "", None, 1], "GRAPH_OP"),
    ("null where a step must be", "slice", [{"ref": 0}, 1, None, None, None], "GRAPH_OP"),
    ("an element type", "float", [{"ref": 0}, "f64"], "GRAPH_LIMIT"),
    ("an empty list of tensors", "cat", [[], 0], "GRAPH_OP"),
    ("65 tensors", "cat", [[{"ref": 0}] * 65, 0], "GRAPH_LIMIT"),
]


@pytest.mark.parametrize(
    ("op", "arguments", "code"),
    [case[1:] for case in BAD_NODES],
    ids=[case[0] for case in BAD_NODES],
)
def test_parse_refuses_node_with(op: object, arguments: object, code: str) -> None:
    error = refusal(with_node(0, op, arguments))
    assert error.code == code
    assert "nodes[0]" in error.message or "node 9" in error.message


def test_parse_refuses_more_nodes_than_the_limit() -> None:
    nodes = [[9 + n, "relu", [{"ref": 0}]] for n in range(MAX_NODES + 1)]
    error = refusal(changed(lambda table: table["train"].__setitem__("nodes", nodes)))
    assert error.code == "GRAPH_LIMIT"


def test_parse_never_shows_a_long_text_in_full() -> None:
    error = refusal(with_node(0, "x" * 10_000, []))
    assert len(str(error)) < 200


SIGNS = b'0123456789[]{},:"eE-+.tfnulabcBr\\ '


@given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(SIGNS)), min_size=1, max_size=4))
def test_parse_of_changed_bytes_refuses_or_accepts_and_never_fails_otherwise(
    changes: list[tuple[int, int]],
) -> None:
    data = bytearray(encoded(MLP))
    for position, sign in changes:
        data[position % len(data)] = sign
    with suppress(RecipeRefused):
        parse(bytes(data))


@given(st.binary(max_size=200))
def test_parse_of_arbitrary_bytes_never_fails_otherwise(data: bytes) -> None:
    with suppress(RecipeRefused):
        parse(data)


PAGE = Path(__file__).parents[3] / "docs" / "graph-format.md"


def test_example_of_the_documentation_is_a_recipe() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found = check(example.encode())
    assert found.output_shape == (2,)
    assert [node.op for node in found.definition.train.nodes][-1] == "cross_entropy"


def test_documentation_lists_every_operation_and_code() -> None:
    text = PAGE.read_text()
    assert {name for name in OPS if f"`{name}`" not in text} == set()
    sources = [*PAGE.parents[1].glob("chiron_stream/graph/*.py")]
    sources += PAGE.parents[1].glob("chiron_stream/recipe/*.py")
    code = "\n".join(path.read_text() for path in sources)
    codes = set(re.findall(r'"((?:GRAPH|EXPORT)_[A-Z]+)"', code))
    assert len(codes) > 12
    assert {one for one in codes if f"`{one}`" not in text} == set()
