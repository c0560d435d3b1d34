from typing import Any

import pytest
import torch

from gridward.core import tensors
from gridward.core.errors import DeploymentRefusedError, InvalidInputError
from gridward.core.schemas.examples import EXAMPLES
from gridward.core.schemas.examples_secure_sums import SECURE_SUM_EXAMPLES
from gridward.core.schemas.secure_aggregations import (
    AggregationDocument,
    UpdateContributionIn,
    lesson_digest,
)
from gridward.core.schemas.tensor import TensorInfo
from gridward.core.schemas.trainings import TrainingIn


def document(**changes: Any) -> AggregationDocument:
    example = UpdateContributionIn.model_validate(SECURE_SUM_EXAMPLES["UpdateContributionIn"]).document
    return AggregationDocument.model_validate(example.model_dump() | changes)


def test_the_digest_covers_everything_and_outlives_the_wire() -> None:
    base = document()
    assert AggregationDocument.model_validate_json(base.model_dump_json()).digest() == base.digest()
    others = [
        document(**change)
        for change in (
            {"id": "f" * 32},
            {"run": "0" * 32},
            {"round": 1},
            {"asker_key": "B" * 42 + "E"},
            {"lesson": "0" * 64},
            {"parameters": [TensorInfo(name="weight", dtype="float32", shape=[784, 10])]},
            {"clip": 99.0},
            {"most_rows": 4999},
            {"fraction_bits": 9},
            {"quorum": 3},
            {"contributors": base.contributors[::-1]},
            {"aggregators": base.aggregators[::-1]},
        )
    ]
    assert len({one.digest() for one in [base, *others]}) == 13


def test_pieces_cover_all_words_once_and_fit_into_one_message() -> None:
    many = document(parameters=[TensorInfo(name="w", dtype="float32", shape=[20_000_000])])
    pieces = many.pieces()
    assert [number for piece in pieces for number in (piece.start, piece.stop)] == [
        0, *(stop for piece in pieces[:-1] for stop in (piece.stop, piece.stop)), many.words()
    ]  # fmt: skip
    assert max(map(len, pieces)) * len(many.contributors) <= 1 << 24
    with pytest.raises(InvalidInputError, match="pieces"):
        many.piece(len(pieces))
    with pytest.raises(InvalidInputError, match="at most"):
        document(parameters=[TensorInfo(name="w", dtype="float32", shape=[1 << 33])]).pieces()


def test_a_quorum_is_no_more_than_all() -> None:
    with pytest.raises(DeploymentRefusedError, match="quorum"):
        document(quorum=4).require_fair()


def test_a_lesson_is_the_same_for_all_datasets_and_another_for_anything_else() -> None:
    body = TrainingIn.model_validate(EXAMPLES["TrainingIn"])
    start = tensors.digest({"w": torch.ones(2), "b": torch.zeros(())})
    known = lesson_digest(body, start)
    assert tensors.digest({"b": torch.zeros(()), "w": torch.ones(2)}) == start
    elsewhere = {"dataset_id": "dat-other", "secure": True, "parameters": [], "parameters_upload": "up"}
    assert lesson_digest(body.model_copy(update=elsewhere), start) == known
    for change in ({"seed": 9}, {"batch_size": 9}, {"epochs": 9}, {"hyper": []}):
        other = body.model_copy(update=change)
        assert other == body or lesson_digest(other, start) != known
    assert lesson_digest(TrainingIn.model_validate_json(body.model_dump_json(by_alias=True)), start) == known
    for changed in ({"w": torch.ones(2)}, {"w": torch.ones(2, 1), "b": torch.zeros(())}):
        assert lesson_digest(body, tensors.digest(changed)) != known
