import operator
from collections.abc import Callable

import pytest
import torch

import gridward as gw
from gridward.client.secure_sum import choose_aggregators
from gridward.client.spread import SpreadRows
from gridward.core.schemas.gateway import DirectoryNode, NodeState
from tests.support.places import RecordingPlace

WEIGHT = {"weight": ("float64", [5])}


@pytest.fixture
def rows(hospital: RecordingPlace, clinic: RecordingPlace) -> SpreadRows:
    joined = gw.cat([hospital.dataset(), clinic.dataset()])
    assert isinstance(joined, SpreadRows)
    return joined


def test_a_total_names_its_nodes_and_sends_nothing(
    rows: SpreadRows, hospital: RecordingPlace, clinic: RecordingPlace
) -> None:
    assert repr(rows["weight"].mean()) == "<SecureTotal mean @clinic, hospital>"
    assert repr(rows.sum(dim=0)) == "<SecureTotal sum @clinic, hospital>"
    assert hospital.requests == clinic.requests == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda rows: rows.max(),
        lambda rows: rows.std(),
        lambda rows: rows.get(),
        lambda rows: rows.materialize(),
        lambda rows: rows.mean(dim=1),
        lambda rows: rows[0],
        lambda rows: rows + 1,
        lambda rows: 1 - rows,
        lambda rows: rows == rows,
        lambda rows: len(rows),
        lambda rows: list(rows),
        lambda rows: bool(rows),
        lambda rows: torch.Tensor.sum(rows.T),
        lambda rows: rows["weight"].mean() + 1,
        lambda rows: rows.mean().sqrt(),
    ],
)
def test_everything_else_says_what_there_is(rows: SpreadRows, ask: Callable[[SpreadRows], object]) -> None:
    with pytest.raises(gw.NotAvailableYetError, match="sum and mean"):
        ask(rows)


def test_what_no_tensor_has_rows_of_several_nodes_have_neither(rows: SpreadRows) -> None:
    with pytest.raises(AttributeError):
        operator.attrgetter("tolist")(rows)


@pytest.mark.parametrize(
    ("other", "refusal"),
    [
        ({"weight": ("float32", [5]), "height": ("float32", [5])}, gw.InvalidInputError),
        ({"height": ("float64", [5]), "weight": ("float64", [5])}, gw.InvalidInputError),
        ({"weight": ("float64", [5])}, gw.InvalidInputError),
        ({"images": ("float64", [5, 3]), "weight": ("float64", [5])}, TypeError),
    ],
)
def test_only_equal_columns_are_added(
    hospital: RecordingPlace,
    clinic: RecordingPlace,
    other: dict[str, tuple[str, list[int]]],
    refusal: type[Exception],
) -> None:
    joined = gw.cat([hospital.dataset(), clinic.dataset()])
    joined.mean()
    with pytest.raises(refusal):
        gw.cat([hospital.dataset(), clinic.dataset("other", **other)]).mean()


def test_columns_of_another_type_single_numbers_and_means_of_integers_are_refused(
    hospital: RecordingPlace, clinic: RecordingPlace
) -> None:
    whole = {"weight": ("int64", [5])}
    with pytest.raises(gw.InvalidInputError, match="does not fit"):
        gw.cat([hospital.dataset(**WEIGHT), clinic.dataset(**whole)]).sum()
    with pytest.raises(gw.InvalidInputError, match="single number"):
        gw.cat([hospital.dataset()["weight"].mean(), clinic.dataset()["weight"].mean()]).sum()
    with pytest.raises(TypeError, match="mean needs floating-point"):
        gw.cat([hospital.dataset(**whole), clinic.dataset(**whole)]).mean()
    with pytest.raises(gw.InvalidInputError, match="dim=0"):
        gw.cat([hospital.dataset(), clinic.dataset()], dim=1)
    with pytest.raises(gw.InvalidInputError, match="has no columns"):
        gw.cat([hospital.dataset()["weight"], clinic.dataset()["weight"]])["weight"]


def test_nodes_that_were_reached_without_a_gateway_are_refused(rows: SpreadRows) -> None:
    with pytest.raises(gw.InvalidInputError, match=r"gw\.network"):
        rows.mean().get()


def node(name: str, owner: str, *, offers: bool = True, state: NodeState = NodeState.LIVE) -> DirectoryNode:
    return DirectoryNode(
        id=name,
        name=name,
        url=f"http://{name}.test",
        owner=owner,
        state=state,
        sign_key="k",
        seal_key="k",
        offers_party=offers,
        offers_provider=False,
        last_seen_at=None,
        attestation="word",
    )


def chosen(contributors: list[DirectoryNode], *others: DirectoryNode) -> list[str]:
    return [one.name for one in choose_aggregators(contributors, [*contributors, *others])]


def test_contributors_add_up_themselves_where_they_offer_to() -> None:
    a, b, c = node("a", "A"), node("b", "B"), node("c", "C")
    assert chosen([a, b, c], node("d", "D")) == ["a", "b", "c"]
    assert chosen([a, node("a2", "a"), b]) == ["a", "b"]
    assert len(chosen([node(f"n{at}", f"owner {at}") for at in range(20)])) == 8


def test_others_step_in_and_nobody_who_is_away_or_unwilling() -> None:
    a, shy = node("a", "A"), node("b", "B", offers=False)
    d = node("d", "D")
    away = node("e", "E", state=NodeState.AWAY)
    assert chosen([a, shy], away, node("a2", "A"), d) == ["a", "d"]
    with pytest.raises(gw.NoMatchError, match="two live nodes"):
        chosen([a, shy], away)
