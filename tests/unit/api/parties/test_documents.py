from datetime import timedelta
from pathlib import Path

import pytest

from gridward.api.parties.documents import compile_document
from gridward.client.encrypted import compiled
from gridward.core.errors import DeploymentRefusedError, InvalidInputError
from gridward.core.plans import codec
from gridward.core.plans.ops import Op
from gridward.core.plans.plan import Ref
from gridward.core.schemas.deployments import DeploymentDocument, LineWidth
from gridward.core.schemas.plan import PlanDocument
from gridward.core.smpc.compile import compile_plan
from gridward.core.smpc.lowering import MaxForm
from gridward.core.smpc.program import StepWidth
from tests.support.cast import NAMES, NOW, Cast
from tests.support.parties import BATCH, plan_of, step

LARGEST = plan_of([step(Op.AMAX, Ref("x"), (1,), False, out="y")], (BATCH, 3), {}, "y")


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


def of_largest(cast: Cast, **changes: object) -> DeploymentDocument:
    plan = PlanDocument.model_validate(codec.to_dict(LARGEST))
    return cast.document().model_copy(update={"plan": plan} | changes)


def test_ranges_widths_guard_and_maxima_of_a_document_are_in_everyones_program(cast: Cast) -> None:
    document = of_largest(
        cast,
        input_range=(-2.0, 2.0),
        widths=[LineWidth(line="step 0 aten.amax.default", bits=20, proved=False)],
        guard=True,
        maxima="tree",
    )
    wanted = compile_plan(
        LARGEST,
        batch=3,
        parties=2,
        maxima=MaxForm.TREE,
        input_range=(-2.0, 2.0),
        widths=[StepWidth("step 0 aten.amax.default", 20, proved=False)],
        guard=True,
    )
    assert wanted.guarded
    assert compile_document(document, 3).digest == compiled(document, 3).digest == wanted.digest
    assert compile_document(of_largest(cast), 3).digest == compile_plan(LARGEST, batch=3, parties=2).digest


def test_widths_that_do_not_fit_the_plan_are_invalid_input(cast: Cast) -> None:
    strange = of_largest(cast, widths=[LineWidth(line="step 7 aten.relu.default", bits=20, proved=True)])
    with pytest.raises(InvalidInputError, match="which this plan has not"):
        compile_document(strange, 1)
