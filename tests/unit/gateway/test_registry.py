"""Joining, the owner's word, heartbeats, the directory."""

import pytest
from httpx2 import Response
from sqlmodel import select

from gridward.core.errors import Code
from gridward.gateway.tables import AuditEntry, Node
from gridward.server import tokens
from tests.support.gateways import GRID, GatewayUnderTest, SigningNode, entry


def refusal(answer: Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def state_of(grid: GatewayUnderTest, name: str) -> str:
    return str(grid.get(f"/v1/nodes/{name}", "olga").json()["state"])


class TestJoining:
    def test_a_node_that_asks_waits_for_the_owner(self, grid: GatewayUnderTest) -> None:
        node = SigningNode(grid, "hospital")
        answer = node.join()
        assert answer.status_code == 202
        assert answer.json()["state"] == "pending"
        assert answer.json()["gateway"]["id"] == grid.gateway.keys.id
        assert answer.json()["gateway"]["name"] == GRID
        assert grid.get("/v1/nodes").json()["items"] == []
        assert grid.get("/v1/nodes/hospital").status_code == 404
        assert state_of(grid, "hospital") == "pending"

    def test_asking_again_with_the_same_key_changes_nothing(self, grid: GatewayUnderTest) -> None:
        node = grid.node("hospital", member=False)
        assert node.join().json()["state"] == "pending"
        assert grid.approve(node, "Charity").status_code == 200
        assert node.join().json()["state"] == "live"
        with grid.gateway.database.read() as db:
            assert len(db.exec(select(Node)).all()) == 1

    def test_only_the_key_makes_the_id(self, grid: GatewayUnderTest) -> None:
        hospital = grid.node("hospital")
        thief = SigningNode(grid, "thief")
        assert thief.join(sign_key=hospital.keys.sign_key_text).status_code == 401
        assert thief.send("POST", "/v1/nodes", {"id": hospital.keys.id}).status_code == 422

    def test_asking_reserves_no_name_so_nobody_squats_one(self, grid: GatewayUnderTest) -> None:
        grid.node("hospital", member=False)
        genuine = grid.node("hospital", member=False)
        assert refusal(grid.get("/v1/nodes/hospital", "olga")) == (409, Code.CONFLICT)
        assert grid.approve(genuine, "Charity").json()["name"] == "hospital"
        assert grid.get("/v1/nodes/hospital").json()["id"] == genuine.keys.id

    def test_another_key_cannot_take_a_members_name(self, grid: GatewayUnderTest) -> None:
        squatter = grid.node("hospital", member=False)
        genuine = grid.node("hospital")
        assert refusal(SigningNode(grid, "hospital").join()) == (409, Code.ALREADY_EXISTS)
        assert refusal(grid.approve(squatter, "Mallory")) == (409, Code.ALREADY_EXISTS)
        assert refusal(squatter.join()) == (409, Code.ALREADY_EXISTS)
        assert grid.get("/v1/nodes/hospital").json()["id"] == genuine.keys.id

    def test_a_member_does_not_rename_itself(self, grid: GatewayUnderTest) -> None:
        node = grid.node("hospital")
        assert refusal(node.join(name="university")) == (409, Code.CONFLICT)
        assert state_of(grid, "hospital") == "live"

    def test_a_name_that_looks_like_an_id_is_refused(self, grid: GatewayUnderTest) -> None:
        victim = grid.node("hospital")
        assert refusal(SigningNode(grid, victim.keys.id).join()) == (422, Code.INVALID_INPUT)

    @pytest.mark.parametrize("key", ["sign_key", "seal_key"])
    def test_a_key_that_is_no_key_is_refused(self, grid: GatewayUnderTest, key: str) -> None:
        assert SigningNode(grid, "hospital").join(**{key: "_" * 43}).status_code == 422

    def test_an_unsigned_request_is_refused(self, grid: GatewayUnderTest) -> None:
        assert grid.client.post("/v1/nodes", json={}).status_code == 401

    def test_one_address_does_not_flood_the_owner(self, grid: GatewayUnderTest) -> None:
        first = grid.node("n0", member=False)
        for i in range(1, 12):
            grid.node(f"n{i}")
        assert refusal(SigningNode(grid, "late").join()) == (429, Code.TOO_MANY_ATTEMPTS)
        assert first.join().status_code == 202

    def test_waiting_nodes_are_bounded_and_silent_ones_make_room(self, grid: GatewayUnderTest) -> None:
        waiting = [grid.node(f"n{i}", member=False) for i in range(5)]
        assert refusal(SigningNode(grid, "late").join()) == (503, Code.BUSY)
        grid.clock.forward(90_000)
        for node in waiting[1:]:
            assert node.beat().status_code == 200
        grid.node("late", member=False)
        assert refusal(waiting[0].beat()) == (404, Code.OBJECT_NOT_FOUND)
        assert refusal(SigningNode(grid, "later").join()) == (503, Code.BUSY)

    def test_refused_nodes_make_room_first(self, grid: GatewayUnderTest) -> None:
        waiting = [grid.node(f"n{i}", member=False) for i in range(5)]
        assert grid.approve(waiting[2], "Mallory", approved=False).json()["state"] == "refused"
        grid.node("late", member=False)
        assert waiting[2].beat().status_code == 404


class TestTheOwnersWord:
    @pytest.mark.parametrize(("role", "status"), [("admin", 200), ("data_scientist", 403), ("guest", 403)])
    def test_only_stewards_approve(self, grid: GatewayUnderTest, role: str, status: int) -> None:
        node = grid.node("hospital", member=False)
        grid.as_("sam", role)
        assert grid.approve(node, "Charity", user="sam").status_code == status

    def test_nobody_is_approved_without_signing_in(self, grid: GatewayUnderTest) -> None:
        node = grid.node("hospital", member=False)
        path = f"/v1/nodes/{node.keys.id}/approval"
        assert grid.client.post(path, json={"owner": "me"}).status_code == 401
        assert node.send("POST", path, {"owner": "me"}).status_code == 401

    def test_one_owner_is_spelled_one_way(self, grid: GatewayUnderTest) -> None:
        grid.node("ward", owner=" Charity  Hospital ")
        second = grid.node("lab", member=False)
        assert grid.approve(second, "CHARITY HOSPITAL").json()["owner"] == "Charity Hospital"

    @pytest.mark.parametrize("owner", ["  ", "Charity\x1b[31m", "A\x00B"])
    def test_an_owner_has_a_printable_name(self, grid: GatewayUnderTest, owner: str) -> None:
        node = grid.node("hospital", member=False)
        assert refusal(grid.approve(node, owner)) == (422, Code.INVALID_INPUT)

    def test_a_refused_member_leaves_at_once_and_may_return(self, grid: GatewayUnderTest) -> None:
        node = grid.node("hospital")
        node.publish(entry("births"))
        assert grid.search() == ["births"]
        assert grid.approve(node, "Charity", approved=False).json()["attestation"] is None
        assert grid.search() == []
        assert node.beat().json() | {"next_s": 0} == {
            "state": "refused",
            "next_s": 0,
            "catalogue_wanted": False,
            "attestation": None,
            "witnessed": None,
        }
        assert refusal(node.push(entry("births"))) == (403, Code.NOT_AUTHORIZED)
        assert node.join().json()["state"] == "refused"
        assert grid.approve(node, "Charity").json()["name"] == "hospital"
        assert grid.search() == []
        assert node.beat().json()["catalogue_wanted"] is True

    def test_who_decided_what_is_logged(self, grid: GatewayUnderTest) -> None:
        node = grid.node("hospital", owner="Charity")
        grid.approve(node, "Charity", approved=False)
        with grid.gateway.database.read() as db:
            rows = db.exec(select(AuditEntry).where(AuditEntry.subject == node.keys.id)).all()
        acts = [(row.actor, row.action) for row in sorted(rows, key=lambda row: row.id or 0)]
        assert acts == [("", "ask_to_join"), ("olga", "approve_node"), ("olga", "refuse_node")]

    def test_an_unknown_node_is_not_approved(self, grid: GatewayUnderTest) -> None:
        assert refusal(grid.approve(SigningNode(grid, "ghost"), "Charity")) == (404, Code.OBJECT_NOT_FOUND)


class TestHeartbeats:
    def test_the_answer_attests_who_the_node_is(self, grid: GatewayUnderTest) -> None:
        node = grid.node("hospital", owner="Charity Hospital")
        answer = node.beat(url="https://hospital.test").json()
        gateway = grid.gateway
        claims = tokens.read(
            tokens.Kind.ATTESTATION,
            answer["attestation"],
            gateway.keys.sign_key.public_key(),
            issuer=gateway.keys.id,
            audience=gateway.keys.id,
            now=grid.clock(),
        )
        assert claims["sub"] == node.keys.id
        assert {key: claims[key] for key in ("name", "url", "owner", "sign_key", "seal_key")} == {
            "name": "hospital",
            "url": "https://hospital.test",
            "owner": "Charity Hospital",
            "sign_key": node.keys.sign_key_text,
            "seal_key": node.keys.seal_key_text,
        }
        assert claims["exp"] - claims["iat"] == gateway.settings.attestation_s
        assert answer["next_s"] == gateway.settings.heartbeat_s

    def test_a_waiting_node_is_attested_nothing(self, grid: GatewayUnderTest) -> None:
        node = grid.node("hospital", member=False)
        answer = node.beat().json()
        assert (answer["state"], answer["attestation"], answer["catalogue_wanted"]) == (
            "pending",
            None,
            False,
        )

    def test_a_silent_node_is_away_at_once_and_returns_by_itself(self, grid: GatewayUnderTest) -> None:
        node = grid.node("hospital")
        node.publish(entry("births"))
        grid.clock.forward(grid.gateway.settings.away_after_s - 0.1)
        assert (state_of(grid, "hospital"), grid.search()) == ("live", ["births"])
        grid.clock.forward(0.1)
        assert (state_of(grid, "hospital"), grid.search()) == ("away", [])
        assert node.beat().json()["state"] == "live"
        assert (state_of(grid, "hospital"), grid.search()) == ("live", ["births"])

    def test_a_new_address_is_shown_and_logged(self, grid: GatewayUnderTest) -> None:
        node = grid.node("hospital")
        node.beat(url="http://moved.test", offers_party=True)
        seen = grid.get("/v1/nodes/hospital").json()
        assert (seen["url"], seen["offers_party"]) == ("http://moved.test", True)
        with grid.gateway.database.read() as db:
            moves = db.exec(select(AuditEntry).where(AuditEntry.action == "move_node")).all()
        assert [move.reason for move in moves] == ["http://hospital.test:5001 to http://moved.test"]

    def test_heartbeats_are_paced(self, grid: GatewayUnderTest) -> None:
        node = grid.node("hospital")
        answers = {node.beat().status_code for _ in range(60)}
        assert answers == {200, 429}

    @pytest.mark.parametrize(
        "url", ["javascript:alert(1)", "http://u:p@host", "file:///etc/passwd", "http://a b"]
    )
    def test_an_address_that_is_none_is_refused(self, grid: GatewayUnderTest, url: str) -> None:
        assert grid.node("hospital").beat(url=url).status_code == 422


class TestTheDirectory:
    def test_members_and_users_see_members_only(self, grid: GatewayUnderTest) -> None:
        hospital = grid.node("hospital", owner="Charity")
        waiting = grid.node("waiting", member=False)
        for answer in (grid.get("/v1/nodes"), hospital.send("GET", "/v1/nodes")):
            assert [(node["name"], node["owner"]) for node in answer.json()["items"]] == [
                ("hospital", "Charity")
            ]
            assert answer.json()["total"] == 1
        assert [node["name"] for node in grid.get("/v1/nodes", "olga").json()["items"]] == [
            "hospital",
            "waiting",
        ]
        assert hospital.send("GET", "/v1/nodes/hospital").json()["id"] == hospital.keys.id
        assert waiting.send("GET", "/v1/nodes/hospital").status_code == 401
        assert grid.client.get("/v1/nodes").status_code == 401
        assert grid.get(f"/v1/nodes/{waiting.keys.id}").status_code == 404

    def test_it_is_paged_and_filtered_by_state(self, grid: GatewayUnderTest) -> None:
        for name in ("c", "a", "b"):
            grid.node(name)
        grid.node("w", member=False)
        grid.clock.forward(20)
        awake = grid.node("d")
        assert awake.beat().status_code == 200

        def names(user: str = "olga", **params: object) -> list[str]:
            return [node["name"] for node in grid.get("/v1/nodes", user, **params).json()["items"]]

        assert names(offset=1, limit=2) == ["b", "c"]
        assert names(state="live") == ["d"]
        assert names(state="away") == ["a", "b", "c"]
        assert names(state="pending") == ["w"]
        assert names("dana", state="pending") == []

    def test_a_node_is_found_by_name_and_by_id(self, grid: GatewayUnderTest) -> None:
        node = grid.node("hospital")
        by_name, by_id = (grid.get(f"/v1/nodes/{key}").json() for key in ("hospital", node.keys.id))
        assert by_name["id"] == by_id["id"] == node.keys.id
        assert grid.get("/v1/nodes/hosp%25").status_code == 422


def test_anyone_may_see_who_the_gateway_is_but_no_secret(grid: GatewayUnderTest) -> None:
    answer = grid.client.get("/v1/gateway")
    assert set(answer.json()) == {"id", "name", "version", "sign_key", "owned"}
    assert answer.json()["owned"] is True


def test_the_first_caller_does_not_own_the_gateway(fresh: GatewayUnderTest) -> None:
    body = {"token": "guess", "username": "mallory", "password": "long enough indeed"}
    assert refusal(fresh.client.post("/v1/setup", json=body)) == (403, Code.SETUP_REFUSED)
    assert fresh.client.get("/v1/gateway").json()["owned"] is False


def test_sign_up_is_not_open(grid: GatewayUnderTest) -> None:
    body = {"username": "mallory", "role": "admin", "password": "long enough indeed"}
    assert grid.client.post("/v1/users", json=body).status_code == 401
    assert grid.post("/v1/users", body, "dana").status_code == 403
