import pytest

from gridward.core.errors import AuthorizationError
from gridward.core.schemas.accounts import RoleName
from gridward.server.principals import CAPABILITIES, Capability, Principal

VERBS = ("discover", "describe", "compute", "raw", "train", "export_model", "approve")


def principal(name: str, role: RoleName = RoleName.DATA_SCIENTIST, *, admitted: bool = True) -> Principal:
    return Principal(name, role, "usr-1" if admitted else None, "ses-1")


def test_every_role_has_its_capabilities_and_only_the_owner_has_all() -> None:
    assert set(CAPABILITIES) == set(RoleName)
    assert [role for role in RoleName if CAPABILITIES[role] == set(Capability)] == [RoleName.OWNER]


def test_who_administers_people_does_not_see_all_data() -> None:
    assert Capability.MANAGE_USERS in CAPABILITIES[RoleName.ADMIN]
    assert not principal("eve", RoleName.ADMIN).owner


@pytest.mark.parametrize("verb", VERBS)
def test_an_account_is_meant_by_its_name_its_role_and_all_who_signed_in(verb: str) -> None:
    assert principal("ana").entries(verb) == {"ana", "@signed-in", "role:data_scientist"}


@pytest.mark.parametrize("verb", VERBS)
def test_an_identity_is_never_meant_by_the_plain_name(verb: str) -> None:
    assert "ana" not in principal("ana@grid").entries(verb)
    assert "ana@grid" not in principal("ana").entries(verb)


def test_an_identity_that_nobody_admitted_may_be_told_of_things_and_nothing_else() -> None:
    stranger = principal("ana@grid", RoleName.OWNER, admitted=False)
    assert stranger.entries("discover") == {"ana@grid", "@signed-in"}
    assert {entry for verb in VERBS[1:] for entry in stranger.entries(verb)} == set()
    assert not stranger.capabilities
    assert not stranger.owner


def test_a_missing_capability_is_refused_by_name() -> None:
    principal("ana").require(Capability.COMPUTE)
    with pytest.raises(AuthorizationError, match="'ana' may not manage users"):
        principal("ana").require(Capability.MANAGE_USERS)
