import pytest

import gridward as gw
from gridward.client.rules import dataset_access


def test_without_a_word_nobody_but_the_owner_sees_anything() -> None:
    assert dataset_access(None, None).to_schema().model_dump() == {
        "discover": [],
        "describe": None,
        "compute": [],
        "raw": [],
        "train": [],
        "export_model": [],
        "approve": [],
    }


def test_allowed_users_may_have_the_values_and_everyone_signed_in_may_find_and_compute() -> None:
    assert dataset_access(["bob", "ana"], None).to_schema().model_dump() == {
        "discover": ["@signed-in"],
        "describe": None,
        "compute": ["@signed-in"],
        "raw": ["bob", "ana"],
        "train": [],
        "export_model": [],
        "approve": [],
    }


def test_a_single_name_is_one_name_and_not_its_letters() -> None:
    assert gw.Access(raw="bob", train="dana@grid").to_schema().raw == ["bob"]
    assert dataset_access("bob", None).to_schema().raw == ["bob"]
    assert gw.ModelAccess(infer="bob").to_schema().infer == ["bob"]


def test_the_two_ways_to_say_it_are_not_mixed() -> None:
    with pytest.raises(gw.InvalidInputError, match="not both"):
        dataset_access(["bob"], gw.Access())


def test_a_name_that_cannot_be_one_is_refused_here() -> None:
    with pytest.raises(gw.InvalidInputError, match=r"raw\.0"):
        gw.Access(raw=["Robert'); DROP TABLE"]).to_schema()


def test_a_threshold_that_is_left_out_travels_as_left_out() -> None:
    sent = gw.Disclosure(residual_degrees=None, parameter_share=None).to_schema()
    written = sent.model_dump_json(by_alias=True, exclude_none=True)
    assert gw.Disclosure(**type(sent).model_validate_json(written).model_dump()) == gw.Disclosure(
        residual_degrees=None, parameter_share=None
    )
