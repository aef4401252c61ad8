"""What to use instead of something that a closed graph does not have."""

from __future__ import annotations

from typing import Final, cast

from torch import fx

from chiron_stream.graph.ops import OPS

_BUFFER: Final = "a buffer: register_buffer(...) in __init__()"
_RANDOM: Final = "nn.Dropout, the one source of randomness"
_FLOAT32: Final = "float32 throughout: no half(), bfloat16(), double() or autocast"
RECURRENT: Final = "nn.TransformerEncoderLayer, or nn.Conv1d along the sequence"
_FROZEN: Final = "requires_grad_(False) on the parameters to freeze, and no no_grad() in forward()"
_VALUES: Final = "tensors throughout: no item(), tolist() or int() of a tensor's value"
_CHOSEN: Final = "slices with fixed borders, or torch.where: sizes do not depend on values"
_FACTORY: Final = ("empty", "zeros", "ones", "full", "arange", "linspace", "eye", "tensor")
_DRAWN: Final = ("rand", "normal", "bernoulli", "multinomial", "rrelu", "alpha_dropout")

_INSTEAD: Final = {
    "aten.detach": "requires_grad_(False) on the parameters to freeze",
    **{f"aten.{name}": _RANDOM for name in _DRAWN},
    **{f"aten.{name}": _BUFFER for name in (*_FACTORY, "lift_fresh_copy", "new_")},
    **{f"aten.{name}": RECURRENT for name in ("lstm", "gru", "rnn_")},
    **{f"aten.{name}": _VALUES for name in ("item", "_local_scalar_dense")},
    **{f"aten.{name}": _CHOSEN for name in ("index", "nonzero", "masked_select", "gather")},
    "aten.to": _FLOAT32,
    "aten._to_copy": _FLOAT32,
    "wrap_with_autocast": _FLOAT32,
    "wrap_with_set_grad_enabled": _FROZEN,
    "aten.instance_norm": "nn.GroupNorm with as many groups as channels",
    "aten.einsum": "torch.matmul, with transpose() and unsqueeze() around it",
    "aten.unbind": "x[:, n] for each n, or x.chunk(...)",
    "aten.max_pool2d_with_indices": "nn.MaxPool2d without return_indices",
    "aten.bilinear": "torch.matmul",
}
"""By the beginning of an operation's name."""


def instead_of(target: str) -> str:
    """Return what to use instead of an operation outside the table."""
    found = (words for start, words in _INSTEAD.items() if target.startswith(start))
    return next(found, f"one of {', '.join(sorted(OPS))}")


def inside(node: fx.Node) -> fx.Node:
    """Return the node to blame: of a region, such as no_grad()'s, a change in place or the first.

    :param node: a call; a region's first arguments have a graph of their own.
    """
    for one in node.all_input_nodes:
        module = one.graph.owning_module
        if one.op == "get_attr" and module is not None:
            region = cast("fx.GraphModule", module.get_submodule(str(one.target)))
            calls = [call for call in region.graph.nodes if call.op == "call_function"]
            changes = [call for call in calls if in_place(str(call.target))]
            return next(iter([*changes, *calls]), node)
    return node


def in_place(target: str) -> bool:
    """Return whether an operation is one that changes its first argument."""
    return target.rpartition(".")[0].endswith("_")
