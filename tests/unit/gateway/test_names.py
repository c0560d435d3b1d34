"""No node passes for another by its name: not in writing, and not after that one left."""

import re
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from httpx2 import Response

from gridward.core.errors import Code
from gridward.core.schemas.node import NODE_NAME_PATTERN
from gridward.gateway.names import give, likeness
from gridward.gateway.tables import Node, Standing
from tests.support.gateways import GatewayUnderTest, SigningNode
from tests.unit.gateway.test_registry import refusal

ALIKE = ("clinic-l", "clinic.1", "clinic1", "c1inic_1")
BAD = (
    "Clinic-1",
    "CLINIC-1",
    "clinic\u2010" + "1",
    "cl\u0456nic-1",
    "clinic-\uff11",
    "clinic-1\u200b",
    "clinic-1\n",
    " clinic-1",
    "clinic-1\x00",
    "-clinic-1",
    "c" * 33,
    "",
)


@pytest.mark.parametrize("name", BAD)
def test_a_name_has_small_plain_letters_and_no_more_than_32(grid: GatewayUnderTest, name: str) -> None:
    assert refusal(SigningNode(grid, "clinic-1").join(name=name)) == (422, Code.INVALID_INPUT)


def take_over(grid: GatewayUnderTest, node: SigningNode) -> Response:
    said = {"owner": "Charity", "takes_over": True}
    return grid.post(f"/v1/nodes/{node.keys.id}/approval", said, "olga")


def test_a_name_that_looks_like_a_members_is_refused_when_it_is_asked_for_and_when_it_is_approved(
    grid: GatewayUnderTest,
) -> None:
    early = grid.node(ALIKE[0], member=False)
    genuine = grid.node("clinic-1")
    assert refusal(grid.approve(early, "Mallory")) == (409, Code.ALREADY_EXISTS)
    for name in ALIKE:
        assert re.fullmatch(NODE_NAME_PATTERN, name)
        assert refusal(SigningNode(grid, name).join()) == (409, Code.ALREADY_EXISTS)
    assert grid.get("/v1/nodes/clinic-1").json()["id"] == genuine.keys.id
    assert genuine.join().status_code == 202


def test_the_name_of_a_node_that_left_stays_its_own_until_the_owner_says_who_takes_its_place(
    grid: GatewayUnderTest,
) -> None:
    former = grid.node("hospital")
    assert grid.approve(former, "Charity", approved=False).status_code == 200
    newcomers = [grid.node(name, member=False) for name in ("hospital", "h0spital")]
    for newcomer in newcomers:
        assert refusal(grid.approve(newcomer, "Charity")) == (409, Code.CONFLICT)
    assert grid.approve(former, "Charity").status_code == 200
    assert grid.approve(former, "Charity", approved=False).status_code == 200
    assert take_over(grid, newcomers[0]).status_code == 200
    assert refusal(grid.approve(former, "Charity")) == (409, Code.ALREADY_EXISTS)
    assert grid.get("/v1/nodes/hospital").json()["id"] == newcomers[0].keys.id


def test_a_name_is_kept_for_a_node_whose_row_made_room_for_others(grid: GatewayUnderTest) -> None:
    former = grid.node("hospital")
    assert grid.approve(former, "Charity", approved=False).status_code == 200
    waiting = [grid.node(f"other{letter}", member=False) for letter in "abcde"]
    assert grid.get(f"/v1/nodes/{former.keys.id}", "olga").status_code == 404
    assert grid.approve(waiting[0], "Somebody").status_code == 200
    assert refusal(grid.approve(grid.node("hospital", member=False), "Mallory")) == (409, Code.CONFLICT)


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("inter-net", "internet"),
        ("inter-net", "intemet"),
        ("inter.n_et", "inter-net"),
        ("ar-n", "am"),
        ("v.v-lab", "wlab"),
        ("v_v", "vv"),
        ("c-l-0", "c1o"),
    ],
)
def test_separators_part_nothing_that_looks_alike_without_them(name: str, like: str) -> None:
    assert likeness(name) == likeness(like)


def test_two_approvals_at_once_give_a_name_that_is_taken_over_to_one_node(grid: GatewayUnderTest) -> None:
    former = grid.node("hospital")
    assert grid.approve(former, "Charity", approved=False).status_code == 200
    heirs = [grid.node("hospital", member=False) for _ in range(2)]
    with ThreadPoolExecutor(1) as pool:
        with grid.gateway.database.write() as db:
            first = db.get_one(Node, heirs[0].keys.id, with_for_update=True)
            give(db, first, takes_over=True)
            first.owner, first.standing = "Charity", Standing.APPROVED.value
            db.flush()
            second = pool.submit(take_over, grid, heirs[1])
            wait([second], 0.3)  # it is judged by now, or waits to be
        assert refusal(second.result()) == (409, Code.ALREADY_EXISTS)
    assert grid.get("/v1/nodes/hospital").json()["id"] == heirs[0].keys.id


def test_names_that_are_read_apart_are_held_apart() -> None:
    names = ("hospital", "hospice", "clinic-2", "clinic-3", "node-0", "node-1", "node-10", "mary", "marx")
    assert len({likeness(name) for name in names}) == len(names)
