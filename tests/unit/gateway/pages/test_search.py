"""The catalogue's page finds what REST finds, for those for whom REST finds it."""

import pytest

from tests.support.gateways import GatewayUnderTest, entry
from tests.support.visitors import BROWSER, Visitor
from tests.unit.gateway.test_search import BIRTHS, DIAGNOSIS, DIGITS

CANARY = "<script>alert('canary')</script><img src=x>"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["birth-records", "diagnosis", "digits"]),
        ("?q=%23birth-records+risk", ["diagnosis"]),
        ("?q=weight&type=dataset", ["birth-records"]),
        ("?q=weight&type=model", ["diagnosis"]),
        ("?q=100%25", ["digits"]),
        ("?q=nothing", []),
    ],
)
def test_words_tags_and_kinds_find_what_rest_finds(
    grid: GatewayUnderTest, query: str, names: list[str]
) -> None:
    grid.node("hospital").publish(BIRTHS, DIGITS, DIAGNOSIS)
    grid.as_("dana")
    page = Visitor(grid.client, "dana").shows(f"/search{query}")
    known = ("birth-records", "diagnosis", "digits")
    assert [name for name in known if f"<strong>{name}</strong>" in page] == names


def test_what_is_for_another_is_not_found(grid: GatewayUnderTest) -> None:
    grid.node("hospital").publish(entry("for-eve", discover=["eve@grid"]))
    grid.as_("eve")
    grid.as_("dana")
    assert "for-eve" in Visitor(grid.client, "eve").shows("/search")
    for name in ("dana", "olga"):
        assert "for-eve" not in Visitor(grid.client, name).shows("/search")


@pytest.mark.parametrize("path", ["/search", "/nodes", "/nodes/hospital", "/"])
def test_strangers_are_led_to_the_sign_in(grid: GatewayUnderTest, path: str) -> None:
    grid.node("hospital").publish(BIRTHS)
    answer = grid.client.get(path, headers=BROWSER)
    assert answer.url.path == "/sign-in"
    assert "birth-records" not in answer.text


def test_what_nodes_say_is_text_and_never_markup(grid: GatewayUnderTest) -> None:
    tensor = {"name": CANARY[:60], "dtype": "float64", "shape": [5]}
    said = {"name": CANARY[:60], "description": CANARY, "tensors": [tensor]}
    grid.node("hospital").publish(entry("x") | said)
    page = Visitor(grid.client, "olga").shows("/search")
    assert "canary" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page
