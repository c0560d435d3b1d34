"""Pages of data, models, trainings, health, and of a gateway, over a grid of real processes."""

from collections.abc import Iterator

import pytest
import torch
from playwright.sync_api import Browser, expect
from torch import nn
from torch.nn import functional

import gridward as gw
from tests.support.browsers import Watched, opened
from tests.support.grids import OWNERS, PASSWORD, Grid, eventually

pytestmark = pytest.mark.e2e
LOOKS = [("desk", "light"), ("phone", "dark")]
_ROWS = 300
_MOST_BYTES = 100_000
_SENT = """["navigation", "resource"].flatMap(kind => performance.getEntriesByType(kind))
    .reduce((sum, one) => sum + one.encodedBodySize, 0)"""
"""What a first visit to the page as it is transfers, bytes: kept assets are counted too."""


@pytest.fixture(scope="module")
def busy(grid: Grid) -> Iterator[Grid]:
    """A grid where something was published, trained over two nodes, and deployed encrypted."""
    torch.manual_seed(1)
    labels = torch.arange(_ROWS) % 3
    points = torch.randn(_ROWS, 4) * 0.3 + functional.one_hot(labels, 4) * 2.0
    access = gw.Access(
        discover=gw.SIGNED_IN, compute=gw.SIGNED_IN, train="dana@grid", export_model="dana@grid"
    )
    for name in ("hospital", "public", "company"):
        with grid.owner(name) as owner:
            owner.admit("dana@grid")
            if name != "company":
                owner.publish(
                    "points",
                    {"points": points, "labels": labels},
                    rows_are_entities=True,
                    tags=["#points"],
                    access=access,
                    description="Three clouds of points, and the cloud of each",
                )
    with grid.owner("hospital") as bob:
        bob.publish(
            "births",
            {"mother": [f"m{at}" for at in range(40)], "weight": [3 + at % 10 / 10 for at in range(40)]},
            entity="mother",
            bounds={"weight": (0.5, 6)},
            tags=["#births", "#february"],
            description="Births of the ward: weight (kg)",
            access=gw.Access(discover=gw.SIGNED_IN, compute="dana@grid", raw="dana@grid"),
        )
    with grid.user("dana") as dana:
        found = eventually(lambda: _both(dana), "both datasets to be found")
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        dana.train(
            model,
            loss=functional.cross_entropy,
            optimizer=gw.SGD(lr=0.3),
            data=found,
            inputs="points",
            targets="labels",
            rounds=4,
            epochs=3,
            batch_size=20,
        )
    with grid.owner("company") as carl:
        carl.serve_model(
            nn.Linear(2, 1),
            "diagnosis",
            torch.zeros(1, 2),
            mpc=True,
            parties=["hospital", "public"],
            crypto_provider="university",
            allow_remote_inference=True,
            tags=["#diagnosis"],
            description="Weight and height to risk",
        )
    with grid.user("dana") as dana:
        dana.query_model("diagnosis", torch.ones(1, 2), mpc=True)
    yield grid


def _both(dana: gw.GatewayClient) -> gw.SearchResult | None:
    found = dana.search("#points")
    return found if len(found) == 2 else None


def check(window: Watched, path: str, picture: str = "") -> None:
    """Open a page; it is for everyone, fits its window, and is small."""
    window.go(path)
    assert window.faults() == [], path
    assert not window.is_wider_than_its_window(), path
    assert 0 < window.page.evaluate(_SENT) < _MOST_BYTES, path
    if picture:
        window.shoot(picture)


def path_of(window: Watched, listed: str, name: str) -> str:
    """Find a page in a list of such pages."""
    window.go(listed)
    found = window.page.get_by_role("main").get_by_role("link", name=name).first.get_attribute("href")
    assert found
    return found


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_a_nodes_owner_sees_data_trainings_and_health(
    browser: Browser, busy: Grid, size: str, scheme: str
) -> None:
    kept = size == "desk"
    with opened(browser, busy.nodes["hospital"].url, size, "dark" if scheme == "dark" else "light") as window:
        window.sign_in("bob", PASSWORD)
        check(window, "/datasets?q=%23births")
        dataset = path_of(window, "/datasets", "births")
        check(window, dataset, "dataset" if kept else "")
        check(window, f"{dataset}/edit")
        check(window, "/datasets/new")
        check(window, "/trainings")
        check(window, path_of(window, "/trainings", "2"), "training" if kept else "training-phone-dark")
        expect(window.page.get_by_role("img", name="loss").first).to_be_visible()
        check(window, "/models")
        check(window, "/status", "health" if kept else "")
        expect(window.page.get_by_role("main")).to_contain_text("joined")
        expect(window.page.get_by_role("main")).to_contain_text("Held as a party")
        assert window.strangers() == []
        assert window.complaints == []


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_a_models_host_sees_who_holds_what(browser: Browser, busy: Grid, size: str, scheme: str) -> None:
    url = busy.nodes["company"].url
    with opened(browser, url, size, "dark" if scheme == "dark" else "light") as window:
        window.sign_in(OWNERS["company"], PASSWORD)
        check(window, "/models/diagnosis", "model" if size == "desk" else "")
        main = window.page.get_by_role("main")
        for holder in ("Bob of hospital", "Paula of public", "Uma of university", "Carl of company"):
            expect(main).to_contain_text(holder)
        expect(main).to_contain_text("Memory of a party")


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_a_gateways_users_find_nodes_and_data(browser: Browser, busy: Grid, size: str, scheme: str) -> None:
    kept = size == "desk"
    with opened(browser, busy.gateway.url, size, "dark" if scheme == "dark" else "light") as window:
        window.sign_in("olga", PASSWORD)
        check(window, "/")
        check(window, "/nodes")
        check(window, "/nodes/hospital")
        expect(window.page.get_by_role("main")).to_contain_text("Bob of hospital")
        check(window, "/search?q=weight", "gateway-search" if kept else "")
        expect(window.page.get_by_role("main")).to_contain_text("births")
        assert window.strangers() == []


def test_a_keyboard_alone_finds_data(browser: Browser, busy: Grid) -> None:
    with opened(browser, busy.gateway.url) as window:
        window.sign_in("dana", PASSWORD)
        keyboard = window.page.keyboard
        keyboard.press("Tab")
        keyboard.press("Enter")
        keyboard.press("Tab")
        keyboard.type("#births")
        keyboard.press("Enter")
        window.page.wait_for_url("**/search?q=*")
        expect(window.page.get_by_role("main")).to_contain_text("Births of the ward")


def test_a_host_withdraws_a_deployment(browser: Browser, busy: Grid) -> None:
    with opened(browser, busy.nodes["company"].url) as window:
        window.sign_in(OWNERS["company"], PASSWORD)
        window.go("/models/diagnosis")
        window.page.get_by_role("link", name="How many queries are left").click()
        for party in ("hospital", "public"):
            expect(window.page.get_by_role("row", name=party)).not_to_contain_text("does not answer")
        window.go("/models/diagnosis")
        window.page.get_by_text("Withdraw the encrypted deployment").click()
        window.page.get_by_role("button", name="Withdraw").click()
        expect(window.page.get_by_text("Ended.")).to_be_visible()
        expect(window.page.get_by_role("main")).not_to_contain_text("Who holds what")


def test_an_owner_replaces_and_deletes_a_dataset(browser: Browser, busy: Grid) -> None:
    with opened(browser, busy.nodes["hospital"].url) as window:
        window.sign_in("bob", PASSWORD)
        window.go(path_of(window, "/datasets", "births"))
        page = window.page
        page.get_by_text("Put a new version in its place").click()
        next_file = {"name": "births.csv", "mimeType": "text/csv", "buffer": b"mother,weight\nx,3\ny,4\n"}
        page.get_by_label("File with the same columns").set_input_files(next_file)  # type: ignore[arg-type]
        page.get_by_role("button", name="Replace").click()
        expect(page.get_by_text("Saved.")).to_be_visible()
        expect(page.locator("#versions + ol li")).to_have_count(2)
        page.get_by_text("Delete births").click()
        page.get_by_role("button", name="Delete for good").click()
        expect(page.get_by_text("Deleted.")).to_be_visible()
        expect(page.get_by_role("main")).not_to_contain_text("births")
