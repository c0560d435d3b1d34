from pathlib import Path

import pytest
from pydantic import ValidationError

from gridward.server import settings_page
from gridward.server.settings import GatewaySettings, NodeSettings

ROOT = Path(__file__).parents[3]


def test_every_setting_says_what_it_is_and_is_an_environment_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for kind in (NodeSettings, GatewaySettings):
        assert all(field.description for field in kind.model_fields.values())
    monkeypatch.setenv("GRIDWARD_NAME", "hospital")
    monkeypatch.setenv("GRIDWARD_OFFER_PARTY", "true")
    monkeypatch.setenv("GRIDWARD_DATA_DIR", "/srv/grid")
    settings = NodeSettings()
    assert (settings.name, settings.offer_party) == ("hospital", True)
    assert settings.url_of_database() == "sqlite:////srv/grid/gridward.db"


def test_no_setting_is_a_secret() -> None:
    names = {name for kind in (NodeSettings, GatewaySettings) for name in kind.model_fields}
    secret = {name for name in names for word in ("secret", "key", "mail_password") if word in name}
    assert {name for name in secret if not name.endswith("_file")} == set()


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"mail_host": "mail.example"}, "mail_from"),
        ({"mail_host": "mail.example", "mail_from": "a@b.c", "mail_security": "none"}, "mail_security"),
        ({"mail_host": "mail.example", "mail_from": "a@b.c", "mail_user": "a"}, "mail_user"),
        ({"oidc_issuer": "https://id.example"}, "oidc_client_id"),
        ({"oidc_issuer": "http://id.example", "oidc_client_id": "a"}, "without TLS"),
        ({"oidc_issuer": "https://id.example", "oidc_client_id": "a", "oidc_new_accounts": "owner"}, "owner"),
    ],
)
def test_half_a_setting_is_refused_by_name(given: dict[str, str], missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        NodeSettings(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "Not a name"},
        {"port": 70_000},
        {"public_url": "ftp://x"},
        {"forwarded_allow_ips": "10.0.0.1, proxy"},
    ],
)
def test_a_setting_out_of_its_range_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NodeSettings(**bad)  # type: ignore[arg-type]


def test_the_url_is_the_public_one_or_made_of_host_and_port() -> None:
    assert NodeSettings(host="127.0.0.1", port=7).url() == "http://127.0.0.1:7"
    assert GatewaySettings(public_url="https://grid.example").url() == "https://grid.example"


def test_the_page_of_settings_is_what_the_code_says() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == settings_page.render()
