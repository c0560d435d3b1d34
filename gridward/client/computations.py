"""Send expressions to a node as one plan: to have the values, or to keep them there."""

import secrets
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch

from gridward.client import wire
from gridward.client.place import Place
from gridward.core.errors import GetNotPermittedError
from gridward.core.plans import codec, expression
from gridward.core.plans.expression import Expression
from gridward.core.plans.expression_value import Source
from gridward.core.plans.plan import Dim, DType, Size
from gridward.core.schemas import computations as wired
from gridward.core.schemas.computations import Answer, ComputationIn, ComputationOut, QuestionIn
from gridward.core.schemas.plan import PlanDocument
from gridward.core.schemas.tensor import TensorInfo

_COMPUTE_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Stored:
    """Which stored tensor feeds an expression: of a dataset, or an object. ``label`` is for people."""

    label: str
    dataset_id: str | None = None
    tensor: str | None = None
    object_id: str | None = None

    def feed(self, name: str) -> wired.Source:
        """Write it as it travels, for the plan input of that name."""
        return wired.Source(
            input=name, dataset_id=self.dataset_id, tensor=self.tensor, object_id=self.object_id
        )


def rows_of(location: Place, table: str) -> Dim:
    """Name the rows of a table: columns of one table fit each other, those of two do not."""
    return Dim(f"rows of {table} on {location.name}")


def stored(key: Stored, info: TensorInfo, rows: Dim | None) -> Expression:
    """Start an expression from a stored tensor; ``rows`` stands for its first dimension."""
    shape: tuple[Size, ...] = tuple(info.shape) if rows is None else (rows, *info.shape[1:])
    return Expression.of(Source(key, DType(info.dtype), shape))


def literal(values: torch.Tensor) -> Expression:
    """Start an expression from public values; they travel inside the plan."""
    plain = wire.travelling(values)
    array = plain.numpy()
    raw = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return Expression.literal(wire.dtype_of(plain.dtype), tuple(plain.shape), raw)


def labels(value: Expression) -> tuple[str, ...]:
    """Name the stored tensors behind an expression, for people."""
    keys = (source.key for source in expression.sources(value))
    return tuple(sorted({key.label for key in keys if isinstance(key, Stored)}))


def question(outputs: Mapping[str, Expression]) -> QuestionIn:
    """Write expressions as one plan with what feeds it."""
    plan, sources = expression.to_plan(outputs)
    return QuestionIn(
        plan=PlanDocument.model_validate(codec.to_dict(plan)),
        sources=[source.key.feed(name) for name, source in sources.items() if isinstance(source.key, Stored)],
    )


def send(location: Place, asked: QuestionIn, *, release: bool, attempt: str | None = None) -> ComputationOut:
    """Run on the node, for the values or to keep them there. One round trip, however long the expressions.

    A named attempt is repeated if the node is cut off: it counts once.
    """
    body = ComputationIn(
        plan=asked.plan, sources=asked.sources, values=asked.values, release=release, attempt=attempt
    )
    return location.transport.fetch(
        ComputationOut,
        "POST",
        "/v1/computations",
        body=body,
        timeout_s=_COMPUTE_S,
        repeatable=attempt is not None,
    )


def warn_of(location: Place, out: ComputationOut) -> None:
    """Tell the user what the node said of its answer."""
    for note in out.notes:
        warnings.warn(f"{location.name}: {note}", stacklevel=4)


def compute(location: Place, outputs: Mapping[str, Expression]) -> ComputationOut:
    """Run on the node and keep the values there."""
    return send(location, question(outputs), release=False)


def fetch(location: Place, outputs: Mapping[str, Expression]) -> dict[str, torch.Tensor]:
    """Compute and have the values, if the node's policy releases them; its refusal is raised.

    What the node says of the values, such as that counts are rounded, is a ``UserWarning``.
    """
    out = send(location, question(outputs), release=True, attempt=secrets.token_hex(16))
    if out.answer is not Answer.VALUE:
        raise GetNotPermittedError(f"{location.name!r} answered {out.answer.value!r} instead of a value")
    warn_of(location, out)
    return {value.name: wire.decode(value) for value in out.values}
