"""Finding things: every term must fit, and what is hidden leaves no trace."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridward.gateway.search import terms_of
from tests.support.gateways import GatewayUnderTest, SigningNode, entry

BIRTHS = entry(
    "birth-records",
    description="Monthly birth records of the pediatric ward: weight (kg), height (cm)",
    tags=["#birth-records", "#February"],
    rows=5,
    tensors=[{"name": "weight", "dtype": "float64", "shape": [5]}],
)
DIGITS = entry("digits", description="Handwritten digits, 100% real", tags=["#mnist"])
DIAGNOSIS = entry("diagnosis", kind="model", description="Weight and height to risk", tags=["#birth-records"])


@pytest.fixture
def hospital(grid: GatewayUnderTest) -> SigningNode:
    node = grid.node("hospital")
    node.publish(BIRTHS, DIGITS, DIAGNOSIS)
    return node


@pytest.mark.usefixtures("hospital")
class TestTerms:
    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ({}, ["birth-records", "diagnosis", "digits"]),
            ({"tag": ["#birth-records", "#february"]}, ["birth-records"]),
            ({"tag": ["BIRTH-RECORDS"]}, ["birth-records", "diagnosis"]),
            ({"tag": ["#birth-records"], "type": "model"}, ["diagnosis"]),
            ({"tag": ["#birth"]}, []),
            ({"tag": ["#mnist", "#february"]}, []),
            ({"q": "WEIGHT height"}, ["birth-records", "diagnosis"]),
            ({"q": "weight ward"}, ["birth-records"]),
            ({"q": "birth-records"}, ["birth-records"]),
            ({"q": "weig"}, []),
            ({"q": "weight", "type": "dataset"}, ["birth-records"]),
            ({"q": "#birth-records risk"}, ["diagnosis"]),
            ({"q": "  "}, ["birth-records", "diagnosis", "digits"]),
        ],
    )
    def test_every_term_must_fit(
        self, grid: GatewayUnderTest, query: dict[str, object], names: list[str]
    ) -> None:
        assert grid.search(**query) == names

    def test_a_query_of_signs_only_finds_nothing(self, grid: GatewayUnderTest) -> None:
        for text in ("%", "_", "*", "'", "\\", "?", "% %", "\x00", "…", "--", "()"):
            assert grid.search(q=text) == [], text

    def test_patterns_and_sql_are_words_like_any_other(self, grid: GatewayUnderTest) -> None:
        for text in (
            "wei%",
            "w_ight",
            "' OR '1'='1",
            "weight') OR 1=1 --",
            "weight; DROP TABLE catalogue_entries",
            "weight UNION SELECT password_hash FROM users",
        ):
            assert grid.search(q=text) == [], text
        assert len(grid.search()) == 3

    def test_a_percent_sign_is_no_wildcard_and_no_obstacle(self, grid: GatewayUnderTest) -> None:
        assert grid.search(q="100%") == ["digits"]

    def test_a_malformed_query_is_refused(self, grid: GatewayUnderTest) -> None:
        malformed: list[dict[str, object]] = [
            {"tag": "#a%"},
            {"tag": "#a' OR 1=1"},
            {"tag": ""},
            {"tag": ["#a"] * 17},
            {"q": "x" * 201},
            {"type": "person"},
            {"limit": 0},
            {"limit": 101},
            {"offset": -1},
            {"offset": 2**31},
        ]
        for query in malformed:
            answer = grid.get("/v1/search", **query)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), query


@given(st.lists(st.from_regex(r"#?[A-Za-z0-9]{1,9}", fullmatch=True), max_size=4), st.text(max_size=200))
def test_terms_are_bounded_and_never_empty_by_accident(tags: list[str], text: str) -> None:
    terms = terms_of(tags, text)
    if terms is None:
        assert text.strip()
        assert not tags
    else:
        assert bool(terms) == bool(tags or text.split())
        assert all(0 < len(term) <= 65 for term in terms)


@given(st.text(max_size=200))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_breaks_the_search(grid: GatewayUnderTest, text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    assert grid.get("/v1/search", q=text).status_code == 200


def test_a_hit_says_what_it_is_and_whom_to_ask(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    (hit,) = grid.get("/v1/search", q="ward").json()["items"]
    assert hit == {
        "kind": "dataset",
        "id": "birth-records",
        "name": "birth-records",
        "description": BIRTHS["description"],
        "tags": ["#birth-records", "#February"],
        "rows": 5,
        "tensors": [{"name": "weight", "dtype": "float64", "shape": [5]}],
        "node_id": hospital.keys.id,
        "node_name": "hospital",
        "node_url": "http://hospital.test:5001",
    }


def test_nobody_searches_without_signing_in(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    assert grid.client.get("/v1/search").status_code == 401
    assert grid.client.get("/v1/models/diagnosis").status_code == 401


class TestDiscovery:
    @pytest.mark.parametrize(
        ("discover", "dana", "owner"),
        [
            (["@signed-in"], True, True),
            (["dana@grid"], True, False),
            (["dana@other", "adana@grid", "dan@grid"], False, False),
            (["dana", "olga"], False, False),
            (["role:data_scientist", "role:owner"], False, False),
            (["dana@grid", "bob"], True, False),
            ([], False, False),
        ],
    )
    def test_discover_lists_speak_of_gateway_identities(
        self, grid: GatewayUnderTest, discover: list[str], dana: bool, owner: bool
    ) -> None:
        node = grid.node("hospital")
        node.publish(entry("births", discover=discover), entry("m", kind="model", discover=discover))
        for user, sees in (("dana", dana), ("olga", owner)):
            assert bool(grid.search(user)) is sees
            assert grid.get("/v1/models/m", user).status_code == (200 if sees else 404)

    def test_hidden_entries_leave_no_gap_in_pages_and_no_trace_in_totals(
        self, grid: GatewayUnderTest
    ) -> None:
        node = grid.node("hospital")
        rows = [
            entry(f"e{i:02}", tags=["#t"], discover=["@signed-in"] if i % 3 == 0 else ["eve@grid"])
            for i in range(30)
        ]
        node.publish(*rows)
        wanted = [f"e{i:02}" for i in range(0, 30, 3)]
        assert grid.search("dana", tag="#t") == wanted
        paged: list[str] = []
        for offset in range(0, 12, 4):
            page = grid.get("/v1/search", tag="#t", offset=offset, limit=4).json()
            assert (page["total"], page["offset"], page["limit"]) == (10, offset, 4)
            paged += [hit["name"] for hit in page["items"]]
        assert paged == wanted
        assert len(grid.search("eve", tag="#t")) == 30

    def test_a_hidden_model_and_none_are_refused_alike(self, grid: GatewayUnderTest) -> None:
        grid.node("hospital").publish(entry("secret", kind="model", discover=["eve@grid"]))
        hidden, missing = (grid.get(f"/v1/models/{name}").json() for name in ("secret", "absent"))
        assert hidden["detail"].replace("secret", "absent") == missing["detail"]
        assert hidden["code"] == missing["code"] == "object_not_found"

    def test_a_disabled_user_searches_no_more(self, grid: GatewayUnderTest, hospital: SigningNode) -> None:
        assert grid.search("dana")
        headers = grid.as_("olga")
        assert (
            grid.client.patch("/v1/users/dana", json={"disabled": True}, headers=headers).status_code == 200
        )
        assert grid.get("/v1/search").status_code == 401


class TestModels:
    def test_the_host_of_a_model_is_named(self, grid: GatewayUnderTest, hospital: SigningNode) -> None:
        found = grid.get("/v1/models/diagnosis").json()
        assert (found["model_id"], found["node"]["name"]) == ("diagnosis", "hospital")
        assert grid.get("/v1/models/birth-records").status_code == 404

    def test_a_later_node_cannot_draw_a_models_queries_to_itself(
        self, grid: GatewayUnderTest, hospital: SigningNode
    ) -> None:
        grid.clock.forward(1)
        thief = grid.node("a-thief")
        thief.publish(entry("diagnosis", kind="model"))
        hospital.publish(entry("diagnosis", kind="model", description="changed later"))
        assert grid.get("/v1/models/diagnosis").json()["node"]["name"] == "hospital"
        assert grid.get("/v1/models/diagnosis", node="a-thief").json()["node"]["name"] == "a-thief"
        grid.clock.forward(60)
        thief.beat()
        away = grid.get("/v1/models/diagnosis").json()["node"]
        assert (away["name"], away["state"]) == ("hospital", "away")

    def test_whoever_may_see_only_the_later_one_gets_that(
        self, grid: GatewayUnderTest, hospital: SigningNode
    ) -> None:
        hospital.publish(entry("diagnosis", kind="model", discover=["eve@grid"]))
        grid.clock.forward(1)
        grid.node("lab").publish(entry("diagnosis", kind="model"))
        assert grid.get("/v1/models/diagnosis", "dana").json()["node"]["name"] == "lab"
        assert grid.get("/v1/models/diagnosis", "eve").json()["node"]["name"] == "hospital"
        assert grid.get("/v1/models/diagnosis", "dana", node="hospital").status_code == 404
