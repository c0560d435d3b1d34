from datetime import timedelta
from pathlib import Path

import pytest

from gridward.core.errors import DeploymentRefusedError
from tests.support.cast import NAMES, NOW, Cast


@pytest.fixture
def cast(tmp_path: Path) -> Cast:
    return Cast(tmp_path)


def test_four_attested_owners_are_accepted(cast: Cast) -> None:
    cast.check(cast.document())


@pytest.mark.parametrize("name", NAMES)
def test_an_attestation_that_the_gateway_did_not_sign_is_refused(cast: Cast, name: str) -> None:
    forged = cast.holder(name, signer=cast.nodes["company"])
    with pytest.raises(DeploymentRefusedError, match=name):
        cast.check(cast.document(**{name: forged}))


@pytest.mark.parametrize("field", ["name", "url", "owner", "sign_key", "seal_key", "sub"])
def test_an_attestation_about_something_else_is_refused(cast: Cast, field: str) -> None:
    other = cast.nodes["company"].sign_key_text
    holder = cast.holder("hospital", claim={field: other})
    with pytest.raises(DeploymentRefusedError, match="hospital"):
        cast.check(cast.document(hospital=holder))


def test_an_expired_attestation_gives_no_role(cast: Cast) -> None:
    with pytest.raises(DeploymentRefusedError):
        cast.check(cast.document(), NOW + timedelta(days=2))


@pytest.mark.parametrize("one", NAMES)
@pytest.mark.parametrize("other", NAMES)
def test_no_owner_fills_two_roles_however_the_name_is_written(cast: Cast, one: str, other: str) -> None:
    if one == other:
        return
    document = cast.document(
        **{one: cast.holder(one, "St. Mary"), other: cast.holder(other, "ST. MARY")},
    )
    with pytest.raises(DeploymentRefusedError, match="no owner may fill two roles"):
        cast.check(document)


def test_no_node_fills_two_roles(cast: Cast) -> None:
    document = cast.document(public=cast.holder("hospital"))
    with pytest.raises(DeploymentRefusedError, match="cannot be both"):
        cast.check(document)
