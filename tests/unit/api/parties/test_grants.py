from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gridward.api.parties import grants
from gridward.api.parties.grants import Grant, Purpose
from gridward.core.errors import NotSignedInError
from gridward.server import keys, tokens
from gridward.server.keys import Keys

NOW = datetime(2026, 5, 1, tzinfo=UTC)
GRANT = Grant("d" * 32, Purpose.QUERY, "dana@grid", "e" * 32, 3, 17, "A" * 43)


@pytest.fixture
def host(tmp_path: Path) -> Keys:
    keys.make(tmp_path / "host")
    return keys.load(tmp_path / "host")


def read(token: str, host: Keys, party: str = "party", now: datetime = NOW) -> Grant:
    return grants.read(token, host.id, host.sign_key.public_key(), party, now)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_grant_is_read_as_it_was_signed(host: Keys, purpose: Purpose) -> None:
    grant = replace(GRANT, purpose=purpose)
    assert read(grants.sign(grant, host, "party", NOW), host) == grant


def test_a_grant_for_another_party_is_refused(host: Keys) -> None:
    with pytest.raises(NotSignedInError):
        read(grants.sign(GRANT, host, "another", NOW), host)


def test_a_grant_ends(host: Keys) -> None:
    token = grants.sign(GRANT, host, "party", NOW)
    with pytest.raises(NotSignedInError, match="expired"):
        read(token, host, now=NOW + timedelta(seconds=grants.LIFETIME_S + tokens.LEEWAY_S + 1))


def test_a_grant_that_another_node_signed_is_refused(host: Keys, tmp_path: Path) -> None:
    keys.make(tmp_path / "other")
    other = keys.load(tmp_path / "other")
    with pytest.raises(NotSignedInError):
        read(grants.sign(GRANT, other, "party", NOW), host)


def test_no_other_token_of_the_host_passes_for_a_grant(host: Keys) -> None:
    token = tokens.issue(
        tokens.Kind.REQUEST,
        host.sign_key,
        issuer=host.id,
        subject="dana@grid",
        audience="party",
        now=NOW,
        lifetime_s=60,
        extra={"deployment": "d", "purpose": "query", "query": "q", "batch": 1, "serial": 0, "seal_key": ""},
    )
    with pytest.raises(NotSignedInError, match="another kind"):
        read(token, host)
