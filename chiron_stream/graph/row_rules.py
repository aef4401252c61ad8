"""What each operation does with the rows of a batch: keeps them apart, and where, or mixes them.

One function for each kind of operation; what is not in :data:`RULES`, and does not work element by
element, has no rule and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Final

from chiron_stream.graph.definition import Ref, Times
from chiron_stream.graph.operation import Axis
from chiron_stream.graph.ops import OPS
from chiron_stream.graph.rows_apart import Apart, Call, Mixed, Operand, Spot

Rule = Callable[[Call], Spot]

PLANES: Final = {"conv1d": 1, "conv1d_padded": 1, "conv2d": 2, "conv2d_padded": 2}
"""Dimensions that a convolution mixes besides its channels."""

POOLS: Final = {
    **dict.fromkeys(("max_pool1d", "avg_pool1d", "adaptive_avg_pool1d", "adaptive_max_pool1d"), 1),
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"), 2),
}
"""Dimensions that a pooling mixes: the last ones."""


def spot_of(call: Call) -> Spot:
    """Return where the result of an operation has the rows.

    :raises Mixed: it does not keep them apart.
    """
    if call.op in ("expand", "expand_as"):
        return RULES[call.op](call)
    if all(one.spot is None for one in call.operands):
        return None
    rule = RULES.get(call.op)
    if rule is None and OPS[call.op].axis is Axis.EACH:
        rule = _each
    if rule is None:
        raise Mixed("it has no rule that keeps rows apart")
    return rule(call)


def _aligned(operands: Sequence[Operand], rank: int) -> Spot:
    """Return where rows are when operands broadcast against each other."""
    having = [one for one in operands if one.spot is not None]
    found = {(one.from_right, one.spot.at(0)) for one in having if one.spot is not None}
    if len(found) != 1:
        raise Mixed("its tensors have rows on different axes")
    ((right, spot),) = found
    for one in operands:
        if one.spot is None and len(one.shape) >= -right and one.shape[right] != 1:
            raise Mixed("a tensor with an entry for each place stands beside rows")
    return spot.at(rank + right)


def _each(call: Call) -> Spot:
    return _aligned(call.operands, len(call.shape))


def _prelu(call: Call) -> Spot:
    call.fixed("weight")
    found = call.needed("self").spot
    if found is None or found.axis == 1:
        raise Mixed("its channels are the rows")
    return found


def _named(name: str = "self", dim: str = "dim") -> Rule:
    """Return the rule of an operation that works along one dimension, which stays."""

    def rule(call: Call) -> Spot:
        one = call.needed(name)
        if one.spot is not None and call.dimension(dim, len(one.shape)) == one.spot.axis:
            raise Mixed("it works along the rows")
        return one.spot

    return rule


def _reshaped(call: Call) -> Spot:
    """Follow rows through a change of shape, which leaves the order of elements as it is.

    Elements stand as ``[before, rows, behind]``; some axis of the new shape holds the rows, whole.
    """
    one = call.needed("self")
    if one.spot is None:
        return None
    old, new = one.shape, call.shape
    before = prod(old[: one.spot.axis]) * one.spot.outer
    passed = 1
    for place, size in enumerate(new):
        if passed <= before < passed * size:
            outer, left = divmod(before, passed)
            group, rest = divmod(size, outer * call.rows)
            if left or rest:
                break
            return Apart(place, group, outer)  # as many elements, so what is behind fits too
        passed *= size
    raise Mixed("it spreads a row over others' places")


def _moved(call: Call) -> Spot:
    one = call.needed("self")
    rank = len(one.shape)
    order = list(range(rank))
    if call.op == "permute":
        order = [int(n) % rank for n in call.number("dims")]
    else:
        first, second = call.dimension("dim0", rank), call.dimension("dim1", rank)
        order[first], order[second] = order[second], order[first]
    return None if one.spot is None else one.spot.at(order.index(one.spot.axis))


def _unsqueezed(call: Call) -> Spot:
    spot = call.needed("self").spot
    at = call.dimension("dim", len(call.shape))
    return None if spot is None else spot.at(spot.axis + (at <= spot.axis))


def _shortened(spot: Spot, gone: Sequence[int]) -> Spot:
    """Return where rows are when other dimensions have gone."""
    if spot is None:
        return None
    return spot.at(spot.axis - sum(n < spot.axis for n in gone))


def _squeezed(call: Call) -> Spot:
    one = call.needed("self")
    at = call.dimension("dim", len(one.shape))
    return one.spot if one.shape[at] != 1 else _shortened(one.spot, [at])


def _selected(call: Call) -> Spot:
    spot = _named()(call)
    return _shortened(spot, [call.dimension("dim", len(call.needed("self").shape))])


def _reduced(call: Call) -> Spot:
    one = call.needed("self")
    rank, given = len(one.shape), call.number("dim")
    dims = [int(n) % rank for n in (given if isinstance(given, tuple) else (given,))]
    if one.spot is not None and (not dims or one.spot.axis in dims):
        raise Mixed("it reduces the rows")
    return one.spot if call.number("keepdim") else _shortened(one.spot, dims)


def _joined(call: Call) -> Spot:
    operands = call.operands
    if call.op == "stack":
        at = call.dimension("dim", len(call.shape))
        spot = _aligned(operands, len(call.shape) - 1)
        return None if spot is None else spot.at(spot.axis + (at <= spot.axis))
    spot = _aligned(operands, len(call.shape))
    if spot is not None and call.dimension("dim", len(call.shape)) == spot.axis:
        raise Mixed("it puts tensors behind each other along the rows")
    if any(one.spot is None for one in operands):
        raise Mixed("it joins rows with a tensor that is not expanded to them")
    return spot


def _padded(call: Call) -> Spot:
    one = call.needed("self")
    pad = call.number("pad")
    if one.spot is not None and any(pad[-2 * one.from_right - 2 : -2 * one.from_right]):
        raise Mixed("it pads the rows")
    return one.spot


def _expanded(call: Call) -> Spot:
    """Follow rows, or let a tensor that depends on none be the same for each row."""
    one = call.needed("self")
    added = len(call.shape) - len(one.shape)
    if one.spot is not None:
        return one.spot.at(one.spot.axis + added)
    if call.op == "expand_as":
        other = call.needed("other")
        return None if other.spot is None else _same_for_each(one, other.spot, added)
    sizes = call.number("size")
    axes = [n for n, size in enumerate(sizes) if isinstance(size, Times)]
    if len(axes) != 1:
        return None
    return _same_for_each(one, Apart(axes[0], sizes[axes[0]].factor), added)


def _same_for_each(one: Operand, spot: Apart, added: int) -> Spot:
    before = spot.axis - added
    return spot if before < 0 or one.shape[before] == 1 else None


def _behind(last: int) -> Rule:
    """Return the rule of an operation that mixes the last dimensions of its first tensor."""

    def rule(call: Call) -> Spot:
        first, *others = call.arguments
        call.fixed(*(name for name in others if isinstance(call.arguments[name], Ref)))
        one = call.needed(first)
        if one.spot is None or one.spot.axis >= len(one.shape) - last:
            raise Mixed("the rows are among the dimensions that it mixes")
        return one.spot

    return rule


def _normalised(call: Call) -> Spot:
    return _behind(len(call.number("normalized_shape")))(call)


def _first_axis(call: Call) -> Spot:
    """Rows are samples: on the first axis, before channels."""
    first, *others = call.arguments
    call.fixed(*(name for name in others if isinstance(call.arguments[name], Ref)))
    one = call.needed(first)
    rank = PLANES.get(call.op)
    if one.spot is None or one.spot.axis != 0 or rank not in (None, len(one.shape) - 2):
        raise Mixed("the rows are not on the first axis, before the channels")
    return one.spot


def _embedded(call: Call) -> Spot:
    call.fixed("weight")
    return call.needed("indices").spot


def _attended(call: Call) -> Spot:
    operands = [call.needed(name) for name in ("query", "key", "value")]
    mask = call.operand("attn_mask")
    spot = _aligned([*operands, *([mask] if mask else [])], len(call.shape))
    if spot is None or spot.axis >= len(call.shape) - 2:
        raise Mixed("the rows attend to each other")
    return spot


def _multiplied(call: Call) -> Spot:
    """Rows may be a dimension of batches, or of what is not summed over; never of what is."""
    names = {"baddbmm": ("batch1", "batch2"), "bmm": ("self", "mat2")}
    left, right = (call.needed(one) for one in names.get(call.op, ("self", "other")))
    rank = len(call.shape)
    if right.spot is None:
        return _product(left, right, -1, 0 if len(right.shape) == 1 else rank - len(left.shape))
    if left.spot is None:
        vector = len(left.shape) == 1 and right.from_right == -1
        added = -1 if vector else 0 if len(left.shape) == 1 else rank - len(right.shape)
        return _product(right, left, -2, added)
    spot = _aligned([left, right], rank)
    if left.from_right > -3:
        raise Mixed("it sums over the rows")
    return spot


def _product(one: Operand, other: Operand, summed: int, added: int) -> Spot:
    """Follow the rows of one factor; the other depends on none.

    :param summed: the dimension of ``one`` that is summed over.
    :param added: by how much its other dimensions move.
    """
    right = one.from_right
    if one.spot is None or right == (summed if len(one.shape) > 1 else -1):
        raise Mixed("it sums over the rows")
    if right <= -3 and len(other.shape) >= -right and other.shape[right] != 1:
        raise Mixed("a tensor with an entry for each place stands beside rows")
    return one.spot.at(one.spot.axis + added)


def _added_product(call: Call) -> Spot:
    product = _multiplied(call)
    rows = Operand(product, call.shape)
    return _aligned([rows, call.needed("self")], len(call.shape))


RULES: Final[Mapping[str, Rule]] = {
    "prelu": _prelu,
    "softmax": _named(),
    "log_softmax": _named(),
    **dict.fromkeys(("flatten", "unflatten", "reshape"), _reshaped),
    **dict.fromkeys(("transpose", "permute"), _moved),
    "unsqueeze": _unsqueezed,
    "squeeze": _squeezed,
    **dict.fromkeys(("expand", "expand_as"), _expanded),
    "select": _selected,
    **dict.fromkeys(("slice", "chunk", "split"), _named()),
    **dict.fromkeys(("cat", "stack"), _joined),
    "pad": _padded,
    **dict.fromkeys(("mean", "sum", "amax", "max", "vector_norm"), _reduced),
    "linear": _behind(1),
    "embedding": _embedded,
    **dict.fromkeys(("layer_norm", "rms_norm"), _normalised),
    **dict.fromkeys(("batch_norm", "group_norm", *PLANES), _first_axis),
    **{name: _behind(last) for name, last in POOLS.items()},
    "attention": _attended,
    **dict.fromkeys(("matmul", "bmm"), _multiplied),
    "baddbmm": _added_product,
}
