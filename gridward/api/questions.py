"""The name of a question by its content: what is asked of which version of which data, with which values.

Two digests name it. The one over everything is what an approval binds; the one without versions is what a
standing rule binds. Kept results are no sources of a question: whoever decides could not read what made them.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gridward.core import tensors
from gridward.core.plans import canonical
from gridward.core.schemas.computations import QuestionIn
from gridward.core.schemas.requests import ExportQuestion
from gridward.core.schemas.tensor import Tensor


def names_of(question: "Question | None") -> frozenset[str]:
    """Digests by which a rule may mean what is asked; none where a source is a kept result.

    The plan's own is not among them: it says nothing of what feeds the plan.
    """
    return frozenset() if question is None else frozenset((question.digest, question.standing))


def fingerprint(body: QuestionIn, plan_digest: str, versions: Iterable[tuple[str, int]]) -> str:
    """Name what is asked of these versions, kept results included; for attempts at the same answer."""
    fed = sorted((source.model_dump() for source in body.sources), key=lambda source: str(source["input"]))
    named = {"plan": plan_digest, "values": [_value(value) for value in _by_name(body)], "fed": fed}
    return _digest(named | {"versions": [list(one) for one in sorted(versions)]})


@dataclass(frozen=True, slots=True)
class Question:
    """A question's digests: SHA-256 in 64 hex digits."""

    digest: str
    standing: str


def name(body: QuestionIn, plan_digest: str, versions: Mapping[str, int]) -> Question | None:
    """Name what is asked of these versions of datasets; None where a source is a kept result."""
    if any(source.dataset_id is None for source in body.sources):
        return None
    sources = [
        {"input": source.input, "dataset_id": source.dataset_id, "tensor": source.tensor}
        for source in sorted(body.sources, key=lambda source: source.input)
    ]
    pinned = [source | {"version": versions[str(source["dataset_id"])]} for source in sources]
    rest: dict[str, object] = {"plan": plan_digest, "values": [_value(value) for value in _by_name(body)]}
    return Question(_digest(rest | {"sources": pinned}), _digest(rest | {"sources": sources}))


def exported(body: ExportQuestion, plan_digest: str) -> Question:
    """Name the parameters of a model: of this content, under this id. No standing rule speaks of them."""
    digest = _digest({"plan": plan_digest, "model": body.model_id, "parameters": body.parameters})
    return Question(digest, digest)


def _by_name(body: QuestionIn) -> list[Tensor]:
    return sorted(body.values, key=lambda value: value.name)


def _value(value: Tensor) -> dict[str, object]:
    # Of the bytes, not of their base64: one value has one name however it was written.
    raw = tensors.decode(value).contiguous().numpy().tobytes()
    return {
        "name": value.name,
        "dtype": value.dtype,
        "shape": value.shape,
        "sha256": hashlib.sha256(raw).hexdigest(),
    }


def _digest(document: dict[str, object]) -> str:
    return hashlib.sha256(canonical.dumps(document)).hexdigest()
