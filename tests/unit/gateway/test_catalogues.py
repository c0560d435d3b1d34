"""What nodes push: replaced as a whole, bounded, and stored only as far as search needs it."""

import hashlib
import json

import pytest
from sqlmodel import col, func, select

from gridward.core.schemas.gateway import CatalogueIn
from gridward.gateway.catalogues import index, mark_of
from gridward.gateway.tables import CatalogueEntry, CatalogueReader, CatalogueTerm
from tests.support.gateways import GRID, GatewayUnderTest, SigningNode, entry


@pytest.fixture
def hospital(grid: GatewayUnderTest) -> SigningNode:
    return grid.node("hospital")


def counts(grid: GatewayUnderTest) -> tuple[int, ...]:
    with grid.gateway.database.read() as db:
        tables = (CatalogueEntry, CatalogueTerm, CatalogueReader)
        return tuple(db.exec(select(func.count()).select_from(table)).one() for table in tables)


def test_a_push_replaces_the_whole_catalogue(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    hospital.publish(entry("births", tags=["#ward"]), entry("deaths"))
    hospital.publish(entry("births", tags=["#lab"]), entry("staff"))
    assert grid.search() == ["births", "staff"]
    assert grid.search(tag="#ward") == []
    assert grid.search(tag="#lab") == ["births"]
    hospital.publish()
    assert grid.search() == []
    assert counts(grid) == (0, 0, 0)


def test_another_nodes_entries_stay(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    other = grid.node("other")
    other.publish(entry("births"))
    hospital.publish(entry("births"))
    hospital.publish()
    assert grid.search() == ["births"]


def test_unchanged_entries_are_not_written_again(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    def keys() -> dict[str, int | None]:
        with grid.gateway.database.read() as db:
            return {row.ref: row.key for row in db.exec(select(CatalogueEntry))}

    hospital.publish(entry("same"), entry("changed"))
    before = keys()
    hospital.publish(entry("same"), entry("changed", description="new"), entry("more"))
    after = keys()
    assert after["same"] == before["same"]
    assert set(after) == {"same", "changed", "more"}
    assert grid.search(q="new") == ["changed"]


def test_a_change_of_the_discover_list_alone_is_seen(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    hospital.publish(entry("births"))
    hospital.publish(entry("births", discover=["eve@grid"]))
    assert grid.search("dana") == []
    assert grid.search("eve") == ["births"]


def test_the_gateway_says_when_its_copy_is_stale(hospital: SigningNode) -> None:
    body = json.dumps({"entries": [entry("births")]}).encode()
    digest = hashlib.sha256(body).hexdigest()
    assert hospital.beat(digest).json()["catalogue_wanted"] is True
    hospital.publish(entry("births"))
    assert hospital.beat(digest).json()["catalogue_wanted"] is False
    assert hospital.beat("f" * 64).json()["catalogue_wanted"] is True


def test_a_renamed_gateway_asks_for_catalogues_anew() -> None:
    assert mark_of("grid", "0" * 64) != mark_of("grid2", "0" * 64)
    entries = CatalogueIn.model_validate({"entries": [entry("births")]})
    assert (
        index(entries, "grid")["dataset", "births"].digest
        != index(entries, "other")["dataset", "births"].digest
    )


def test_what_nobody_here_may_discover_is_not_kept(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    secret = ["bob", "role:data_scientist", "dana@othergrid", "dana@grid2"]
    hospital.publish(entry("hidden", discover=secret), entry("shared", discover=[*secret, "dana@grid"]))
    with grid.gateway.database.read() as db:
        assert [row.name for row in db.exec(select(CatalogueEntry))] == ["shared"]
        assert db.exec(select(CatalogueReader.reader)).all() == ["dana@grid"]


def test_a_list_that_names_everyone_is_one_row(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    hospital.publish(entry("births", discover=["@signed-in", *(f"user{i}@{GRID}" for i in range(500))]))
    with grid.gateway.database.read() as db:
        assert db.exec(select(CatalogueReader.reader)).all() == ["@signed-in"]


MALFORMED: list[dict[str, object]] = [
    {"id": ""},
    {"id": "a\x00"},
    {"name": "births\x1b[2J"},
    {"name": "births\u202eexe"},
    {"description": "x" * 4001},
    {"rows": 10**30},
    {"rows": -1},
    {"kind": "person"},
    {"tags": ["no sign"]},
    {"tags": ["#a b"]},
    {"discover": ["Robert'); DROP TABLE nodes;--"]},
    {"values": [1, 2, 3]},
    {"tensors": [{"name": "w", "dtype": "object", "shape": [5]}]},
]


def test_a_malformed_entry_refuses_the_push_and_leaves_the_old_catalogue(
    grid: GatewayUnderTest, hospital: SigningNode
) -> None:
    hospital.publish(entry("births"))
    for bad in MALFORMED:
        grid.clock.forward(10)
        answer = hospital.push(entry("fresh"), entry("births") | bad)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), bad
    assert hospital.beat().status_code == 200
    assert grid.search() == ["births"]


def test_odd_signs_in_a_description_do_not_keep_a_catalogue_out(
    grid: GatewayUnderTest, hospital: SigningNode
) -> None:
    written = "Zeile\r\nzwei\x00\x1b[2J \u202eexe\u202c نمی\u200cدوم 👩\u200d⚕️"
    tensor = {"name": "odd\x00\n", "dtype": "float64", "shape": [5]}
    hospital.publish(entry("births", description=written, tensors=[tensor]))
    (hit,) = grid.get("/v1/search", q="zeile zwei").json()["items"]
    assert hit["description"] == "Zeile\nzwei[2J exe نمی\u200cدوم 👩\u200d⚕️"
    assert hit["tensors"] == [tensor]


def test_a_refusal_names_the_field_and_not_the_value(hospital: SigningNode) -> None:
    answer = hospital.push(entry("births", rows="forty-two thousand"))
    assert "entries.0.rows" in answer.json()["detail"]
    assert "forty-two" not in answer.text


def test_an_entry_is_listed_once(hospital: SigningNode) -> None:
    assert hospital.push(entry("births"), entry("births")).status_code == 422
    assert hospital.push(entry("births"), entry("births", kind="model")).status_code == 204


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff", b'{"entries": null}', b'{"entries": [' + b"[" * 5000]
)
def test_bytes_that_are_no_catalogue_are_refused(hospital: SigningNode, content: bytes) -> None:
    path = f"/v1/nodes/{hospital.keys.id}/catalogue"
    answer = hospital.raw("PUT", path, content, hospital.sign("PUT", path, content))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


def test_a_catalogue_is_bounded_in_bytes(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    answer = hospital.push(*(entry(f"e{i}", description="x" * 3900) for i in range(60)))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert counts(grid) == (0, 0, 0)


def test_a_catalogue_is_bounded_in_index_rows(grid: GatewayUnderTest, hospital: SigningNode) -> None:
    flood = [entry(f"e{i}", description=" ".join(f"w{i}x{j}" for j in range(500))) for i in range(5)]
    answer = hospital.push(*flood)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert counts(grid) == (0, 0, 0)


def test_pushes_of_one_node_are_paced_and_others_are_not_held_up(
    grid: GatewayUnderTest, hospital: SigningNode
) -> None:
    other = grid.node("other")
    answers = [hospital.push(entry(f"births{i}")).status_code for i in range(10)]
    assert answers == [204] * 8 + [429] * 2
    other.publish(entry("other"))
    grid.clock.forward(60)
    hospital.publish(entry("births"))
    assert hospital.beat().status_code == other.beat().status_code == 200
    assert grid.search() == ["births", "other"]


def test_a_catalogue_of_many_entries_keeps_its_order_and_terms(
    grid: GatewayUnderTest, hospital: SigningNode
) -> None:
    hospital.publish(*(entry(f"e{i:04}") for i in range(900)))
    with grid.gateway.database.read() as db:
        pairs = db.exec(
            select(CatalogueEntry.name, CatalogueTerm.term).join(
                CatalogueTerm, col(CatalogueTerm.entry_key) == col(CatalogueEntry.key)
            )
        ).all()
    assert len(pairs) == 900
    assert all(name == term for name, term in pairs)


def test_a_node_that_waits_pushes_nothing(grid: GatewayUnderTest) -> None:
    waiting = grid.node("waiting", member=False)
    assert waiting.push(entry("births")).status_code == 403
    assert counts(grid) == (0, 0, 0)
