"""Rules of ops that move values: which axis of the result the rows run along."""

from dataclasses import replace

from gridward.core.privacy.call import Call, axis_of
from gridward.core.privacy.flow import (
    NEW,
    Free,
    Known,
    MixingError,
    Mode,
    Rows,
    Shape,
    elementwise,
    free,
    rearranged,
    rows_of,
    uneven,
)


def view(call: Call) -> Known:
    """An axis survives where the sizes before it and its own stay the same.

    In training the row axis may also be merged with its neighbours, as a linear layer over sequences wants
    it, and split from them again. Where masks are counted it may not: entries would be counted as rows.
    """
    flow, shape = call.flow("self"), call.shape()
    origins = view_origins(flow.shape, shape)
    if isinstance(flow, Rows) and not call.counted and flow.axis not in origins:
        return regrouped(flow, shape)
    if isinstance(flow, Rows) and flow.shape[flow.axis] == 1:
        # a table of one row: any axis of one at the same place will do
        before = _leading(flow.shape, flow.axis + len(flow.shape))
        places = [at for at, size in enumerate(shape) if size == 1 and _leading(shape, at) == before]
        origins = [flow.axis if at in places[:1] else origin for at, origin in enumerate(origins)]
    return rearranged(flow, origins, shape)


def regrouped(flow: Rows, shape: Shape) -> Known:
    """Find the axis of the result that holds all rows, whole: others are merged into it, or split off."""
    at = flow.axis + len(flow.shape)
    before, after = _leading(flow.shape, at), _leading(flow.shape[::-1], len(flow.shape) - 1 - at)
    for place in range(len(shape)):
        outer = _factor(flow.outer, before, _leading(shape, place))
        per = _factor(flow.per, after, _leading(shape[::-1], len(shape) - 1 - place))
        if outer and per:
            return replace(flow, shape=shape, axis=place - len(shape), outer=outer, per=per)
    raise MixingError("it selects, reorders or merges rows")


def _factor(have: int, old: int, new: int) -> int:
    """How often rows repeat on a side beyond which ``new`` entries take the place of ``old``; 0: cut."""
    if new and old % new == 0:
        return have * (old // new)
    parts = new // old if old and new % old == 0 else 0
    return have // parts if parts and have % parts == 0 else 0


def view_origins(old: Shape, new: Shape) -> list[int | None]:
    """For each axis of a reshaped value: the axis it came from, or None for a mixture."""
    starts = {_leading(old, at): at - len(old) for at in range(len(old)) if old[at] != 1}
    origins: list[int | None] = []
    for at, size in enumerate(new):
        source = starts.get(_leading(new, at))
        same = source is not None and old[source] == size
        origins.append(NEW if size == 1 else source if same else None)
    return origins


def _leading(shape: Shape, at: int) -> int:
    count = 1
    for size in shape[:at]:
        count *= size
    return count


def permute(call: Call) -> Known:
    """Axes change places."""
    flow = call.flow("self")
    origins = [axis_of(dim, len(flow.shape)) for dim in call.integers("dims")]
    return rearranged(flow, origins, call.shape())


def unsqueeze(call: Call) -> Known:
    """A new axis of one."""
    flow, shape = call.flow("self"), call.shape()
    at = axis_of(call.integer("dim"), len(shape)) + len(shape)
    origins: list[int | None] = list(range(-len(flow.shape), 0))
    origins.insert(at, NEW)
    return rearranged(flow, origins, shape)


def squeeze(call: Call) -> Known:
    """Axes of one disappear."""
    flow = call.flow("self")
    rank = len(flow.shape)
    named = {axis_of(dim, rank) for dim in call.integers("dim")}
    gone = {axis for axis in named if rank and flow.shape[axis] == 1}
    return rearranged(flow, [axis for axis in range(-rank, 0) if axis not in gone], call.shape())


def expand(call: Call) -> Known:
    """An axis of one, or a new one, repeats its value; a row axis does not."""
    flow, shape = call.flow("self"), call.shape()
    rank = len(flow.shape)
    origins = [
        axis if -axis <= rank and flow.shape[axis] == shape[axis] else NEW for axis in range(-len(shape), 0)
    ]
    return rearranged(flow, origins, shape)


def cat(call: Call) -> Known:
    """Columns are joined; rows are never put behind one another."""
    operands, shape = call.operands(), call.shape()
    axis = axis_of(call.integer("dim"), len(shape))
    if any(len(flow.shape) != len(shape) for flow in operands):
        raise MixingError("it joins values of different rank")
    rows = rows_of(operands)
    if any(flow.axis == axis for flow in rows):
        raise MixingError("it puts rows behind one another")
    joined = elementwise(operands, shape, Mode.LINEAR)
    if isinstance(joined, Free):
        return Free(joined.private, shape, (joined.varies | {axis}) & uneven(shape))
    return joined


def pad(call: Call) -> Known:
    """A margin around an axis; never around or off the row axis."""
    flow, shape = call.flow("self"), call.shape()
    widths = call.integers("pad")
    padded = {-1 - at // 2 for at, width in enumerate(widths) if width}
    origins = [None if axis in padded else axis for axis in range(-len(shape), 0)]
    if isinstance(flow, Free):
        # a margin makes even what was uniform uneven
        return Free(flow.private, shape, (flow.varies | padded) & uneven(shape))
    return rearranged(flow, origins, shape)


def select(call: Call) -> Known:
    """One entry of an axis, which is never the row axis."""
    flow = call.flow("self")
    rank = len(flow.shape)
    gone = axis_of(call.integer("dim"), rank)
    return rearranged(flow, [axis for axis in range(-rank, 0) if axis != gone], call.shape())


def part(call: Call) -> Known:
    """A slice keeps an axis only if it keeps all of it."""
    flow, shape = call.flow("self"), call.shape()
    rank = len(flow.shape)
    cut = axis_of(call.integer("dim"), rank)
    whole = shape[cut] == flow.shape[cut] and call.integer("step") == 1
    origins = [None if axis == cut and not whole else axis for axis in range(-rank, 0)]
    return rearranged(flow, origins, shape)


def index_select(call: Call) -> Known:
    """Some entries of an axis by public numbers; the row axis is never picked from."""
    flow, index = call.flow("self"), call.flow("index")
    if isinstance(index, Rows):
        raise MixingError("it selects by the values of rows")
    rank = len(flow.shape)
    if isinstance(flow, Free):
        return free([flow, index], call.shape())
    cut = axis_of(call.integer("dim"), rank)
    origins = [None if axis == cut else axis for axis in range(-rank, 0)]
    return rearranged(flow, origins, call.shape())
