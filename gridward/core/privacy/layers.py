"""Rules of layers (N, ...) and their gradients: N runs over rows, parameters touch every row."""

from dataclasses import replace

from gridward.core.privacy.call import Call, free_only
from gridward.core.privacy.flow import (
    Free,
    Known,
    MixingError,
    Mode,
    Rows,
    Shape,
    alike,
    free,
    masks_of,
    rows_of,
    uneven,
)


def batch_rows(call: Call, *names: str) -> Rows | None:
    """The rows of operands (N, ...) of a layer: all over axis 0 of one table; None where none has rows."""
    flows = [call.flow(name) for name in names]
    rows = rows_of(flows)
    if not rows:
        return None
    if len(rows) != len(flows):
        raise MixingError("it pairs rows with values that are not rows")
    first = rows[0]
    if any(
        flow.table != first.table or flow.axis != -len(flow.shape) or not alike(flow, first) for flow in rows
    ):
        raise MixingError("its batch is not the rows of one dataset")
    masks = masks_of(flows, Mode.ANY)
    return replace(first, masks=masks)


def at_front(rows: Rows, shape: Shape) -> Rows:
    """A result (N, ...) of a layer over these rows."""
    if not shape or shape[0] != rows.shape[rows.axis]:
        raise MixingError("its batch is not the rows of one dataset")
    return replace(rows, shape=shape, axis=-len(shape))


def parameters(call: Call, *names: str) -> None:
    """Refuse rows where a layer expects parameters that touch every row."""
    if any(isinstance(call.maybe(name), Rows) for name in names):
        raise MixingError("it uses rows as parameters, which would pair rows with rows")


def over_batch(call: Call, batch: tuple[str, ...], shared: tuple[str, ...], rank: int | None) -> Rows | None:
    """The rows that a layer runs over, once its operands are what they should be."""
    rows = batch_rows(call, *batch)
    if rows is None:
        parameters(call, *shared)
        return None
    parameters(call, *shared)
    if rank is not None and len(rows.shape) != rank:
        raise MixingError("its operand has no batch axis")
    return rows


def layer(
    batch: tuple[str, ...], shared: tuple[str, ...], rank: int | None, kept: tuple[bool, ...], call: Call
) -> Known | tuple[Known, ...]:
    """A layer: results marked in ``kept`` keep the rows, the others add up over them.

    A gradient that a step leaves out has no shape, and no step can read it.
    """
    rows = over_batch(call, batch, shared, rank)
    if rows is None:
        return free_only("it pairs rows with values that are not rows", call)
    results = tuple(
        at_front(rows, call.shape(at))
        if keeps and call.step.out[at] in call.shapes
        else Free(True, call.shape(at), uneven(call.shape(at)))
        for at, keeps in enumerate(kept)
        if at < len(call.step.out)
    )
    return results if len(results) > 1 else results[0]


def convolution(call: Call) -> Known | tuple[Known, ...]:
    """Every picture is convolved alone, by public or aggregate weights."""
    rank = len(call.flow("weight").shape)
    return layer(("input",), ("weight", "bias"), rank, (True,), call)


def convolution_backward(call: Call) -> Known | tuple[Known, ...]:
    """The gradient of the input keeps rows; those of weight and bias add up over the batch."""
    rank = len(call.flow("weight").shape)
    return layer(("grad_output", "input"), ("weight",), rank, (True, False, False), call)


def layer_norm(call: Call) -> Known | tuple[Known, ...]:
    """Normalises within each row; refused where the row axis is among the normalised ones."""
    flow = call.flow("input")
    if isinstance(flow, Rows) and -flow.axis <= len(call.integers("normalized_shape")):
        raise MixingError("it normalises over rows")
    return layer(("input",), ("weight", "bias"), None, (True, True, True), call)


def batch_norm(call: Call) -> Known | tuple[Known, ...]:
    """With given statistics it works on each row alone."""
    shared = ("weight", "bias", "running_mean", "running_var")
    rows = over_batch(call, ("input",), shared, None)
    if rows is None:
        return free_only("it pairs rows with values that are not rows", call)
    rest = tuple(free([], call.shape(at)) for at in range(1, len(call.step.out)))
    return (at_front(rows, call.shape()), *rest)


def _nll_rows(call: Call) -> Rows | None:
    rows = over_batch(call, ("self", "target"), ("weight",), None)
    if rows is not None and len(call.flow("self").shape) < 2:
        raise MixingError("its operand has no batch axis")
    return rows


def nll_loss(call: Call) -> Known | tuple[Known, ...]:
    """A mean or a sum over the batch, or one loss for each row."""
    rows = _nll_rows(call)
    if rows is None:
        return free_only("it pairs rows with values that are not rows", call)
    loss, weight = call.shape(0), call.shape(1)
    total = Free(True, weight, uneven(weight))
    if call.integer("reduction") == 0:
        return at_front(rows, loss), total
    return Free(True, loss, uneven(loss)), total


def nll_loss_backward(call: Call) -> Known | tuple[Known, ...]:
    """Each row gets its own gradient; its weight must be the same number for all."""
    rows = _nll_rows(call)
    parameters(call, "total_weight")
    if rows is None:
        return free_only("it pairs rows with values that are not rows", call)
    gradient = call.flow("grad_output")
    if call.integer("reduction") == 0:
        batch_rows(call, "grad_output", "self")
    elif isinstance(gradient, Rows) or len(gradient.shape) > 0:
        raise MixingError("its gradient is not a single number")
    return at_front(rows, call.shape())
