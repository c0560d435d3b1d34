import json

import pytest

from gridward.core.errors import InvalidInputError
from gridward.core.schemas import secure_aggregations, secure_sums
from gridward.core.schemas.examples_secure_sums import SECURE_SUM_EXAMPLES
from gridward.core.schemas.secure_sums import ContributionIn, SumDocument, SumOutput


@pytest.mark.parametrize("name", sorted(SECURE_SUM_EXAMPLES))
def test_every_example_is_what_it_is_an_example_of(name: str) -> None:
    module = secure_aggregations if name.startswith("Update") else secure_sums
    getattr(module, name).model_validate_json(json.dumps(SECURE_SUM_EXAMPLES[name]))


def document() -> SumDocument:
    return ContributionIn.model_validate(SECURE_SUM_EXAMPLES["ContributionIn"]).document


def test_the_digest_covers_everything_and_outlives_the_wire() -> None:
    base = document()
    assert SumDocument.model_validate_json(base.model_dump_json()).digest() == base.digest()
    others = [
        base.model_copy(update=change)
        for change in (
            {"id": "f" * 32},
            {"fraction_bits": 16},
            {"contributors": base.contributors[::-1]},
            {"aggregators": base.aggregators[::-1]},
            {"asker_key": "B" * 42 + "E"},
            {"outputs": [SumOutput(name="output", dtype="int64", shape=[])]},
        )
    ]
    assert len({one.digest() for one in [base, *others]}) == 7


@pytest.mark.parametrize("shape", [[0], [1 << 17], [1 << 40, 1 << 40]])
def test_sums_of_nothing_or_of_too_much_are_refused(shape: list[int]) -> None:
    huge = document().model_copy(update={"outputs": [SumOutput(name="x", dtype="float64", shape=shape)]})
    with pytest.raises(InvalidInputError, match="secure sum holds"):
        huge.words()
