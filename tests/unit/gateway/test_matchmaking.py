"""Parties and providers under distinct owners."""

from collections import Counter
from itertools import combinations, product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridward.core.errors import NoMatchError
from gridward.gateway.matchmaking import Candidate, choose_roles
from tests.support.gateways import GatewayUnderTest, SigningNode

OWNERS = ("Ada", "Bo", "Cleo", "Dee")
Offers = tuple[str, bool, bool]
candidates = st.lists(st.tuples(st.sampled_from(OWNERS), st.booleans(), st.booleans()), max_size=7)


def nodes(offers: list[Offers]) -> list[Candidate]:
    return [Candidate(f"n{i}", *offer) for i, offer in enumerate(offers)]


def is_possible(pool: list[Candidate], host_owner: str, parties: int) -> bool:
    """Try every choice."""
    free = [node for node in pool if node.owner != host_owner]
    as_party = [node for node in free if node.offers_party]
    as_provider = [node for node in free if node.offers_provider]
    return any(
        len({node.owner for node in (*chosen, provider)}) == parties + 1
        for chosen, provider in product(combinations(as_party, parties), as_provider)
    )


@given(candidates, st.sampled_from(OWNERS), st.integers(2, 3), st.integers(0, 99))
def test_roles_are_found_exactly_when_some_choice_exists(
    offers: list[Offers], host_owner: str, parties: int, seed: int
) -> None:
    pool = nodes(offers)
    try:
        roles = choose_roles(pool, host_owner, parties, Random(seed))
    except NoMatchError:
        assert not is_possible(pool, host_owner, parties)
        return
    by_id = {node.id: node for node in pool}
    chosen = [by_id[node_id] for node_id in (*roles.parties, roles.crypto_provider)]
    owners = [node.owner for node in chosen]
    assert len(roles.parties) == parties
    assert len(set(owners)) == len(owners)
    assert host_owner not in owners
    assert all(node.offers_party for node in chosen[:-1])
    assert chosen[-1].offers_provider


def test_owners_are_the_same_whatever_their_case() -> None:
    pool = nodes([("Ada", True, False), ("ADA", True, False), ("bo", False, True)])
    with pytest.raises(NoMatchError, match="1 owners of live nodes offer to be a party"):
        choose_roles(pool, "Host", 2, Random(0))
    with pytest.raises(NoMatchError):
        choose_roles(
            nodes([("Ada", True, False), ("Bo", True, False), ("HOST", False, True)]), "host", 2, Random(0)
        )


def test_an_owner_gains_nothing_by_running_many_nodes() -> None:
    crowd = [("Ada", True, False)] * 50
    pool = nodes([*crowd, ("Bo", True, False), ("Cleo", True, False), ("Dee", False, True)])
    owner = {node.id: node.owner for node in pool}
    chance = Random(1)
    seen = Counter(
        owner[node_id] for _ in range(600) for node_id in choose_roles(pool, "Host", 2, chance).parties
    )
    assert all(330 < seen[name] < 470 for name in ("Ada", "Bo", "Cleo"))


@pytest.fixture
def offers(grid: GatewayUnderTest) -> dict[str, SigningNode]:
    made = {
        "hospital": grid.node("hospital", owner="Charity Hospital", offers_party=True),
        "ward": grid.node("ward", owner="charity  hospital", offers_party=True),
        "public": grid.node("public", owner="City", offers_party=True),
        "university": grid.node("university", owner="University", offers_provider=True),
        "company": grid.node("company", owner="Company", offers_party=True, offers_provider=True),
    }
    grid.node("stranger", member=False, offers_party=True, offers_provider=True)
    return made


def test_the_gateway_chooses_live_members_and_attests_them(
    grid: GatewayUnderTest, offers: dict[str, SigningNode]
) -> None:
    answer = grid.post("/v1/matchmaking", {"host": offers["company"].keys.id, "parties": 2})
    assert answer.status_code == 200, answer.text
    out = answer.json()
    assert out["crypto_provider"]["name"] == "university"
    assert {party["owner"] for party in out["parties"]} == {"Charity Hospital", "City"}
    assert all(
        role["attestation"] and role["state"] == "live" for role in (*out["parties"], out["crypto_provider"])
    )


def test_a_node_may_ask_by_itself_but_a_stranger_may_not(
    grid: GatewayUnderTest, offers: dict[str, SigningNode]
) -> None:
    body = {"host": offers["company"].keys.id, "parties": 2}
    assert offers["company"].send("POST", "/v1/matchmaking", body).status_code == 200
    waiting = grid.node("waiting", member=False)
    assert waiting.send("POST", "/v1/matchmaking", body).status_code == 401
    assert grid.client.post("/v1/matchmaking", json=body).status_code == 401


def test_without_a_live_provider_there_is_no_match(
    grid: GatewayUnderTest, offers: dict[str, SigningNode]
) -> None:
    grid.clock.forward(20)
    for name in ("hospital", "public", "company"):
        assert offers[name].beat().status_code == 200
    body = {"host": offers["company"].keys.id, "parties": 2}
    refused = grid.post("/v1/matchmaking", body)
    assert (refused.status_code, refused.json()["code"]) == (409, "no_match")
    assert offers["university"].beat().status_code == 200
    assert grid.post("/v1/matchmaking", body).status_code == 200


def test_the_host_must_be_a_member(grid: GatewayUnderTest, offers: dict[str, SigningNode]) -> None:
    waiting = grid.node("waiting", member=False)
    assert grid.post("/v1/matchmaking", {"host": waiting.keys.id}).status_code == 404
    assert grid.post("/v1/matchmaking", {"host": "a" * 26}).status_code == 404
