"""What a provider, or who claims to be one, may not say."""

import base64
from collections.abc import Callable

import pytest
from joserfc.jwk import RSAKey

from gridward.core.errors import BusyError
from tests.support.nodes import NodeUnderTest
from tests.support.oidc import (
    CLIENT,
    Claims,
    ProviderUnderTest,
    back,
    unsigned,
)
from tests.support.oidc_visits import (
    HTML,
    Made,
    away,
    came_back,
    linked,
)

pytestmark = pytest.mark.filterwarnings("ignore:get_jwt_config")  # the provider's, of its Authlib


def another_key(provider: ProviderUnderTest, claims: Claims) -> str:
    return ProviderUnderTest(key=RSAKey.generate_key(2048, {"kid": "one"})).signed(claims)


def public_key_as_a_secret(provider: ProviderUnderTest, claims: Claims) -> str:
    import hmac
    import json

    def encoded(part: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")

    signed = f"{encoded({'alg': 'HS256', 'kid': 'one'})}.{encoded(claims)}"
    code = hmac.digest(provider.key.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(code).decode().rstrip('=')}"


LIES: dict[str, Callable[[Claims], Claims]] = {
    "wrong nonce": lambda claims: claims | {"nonce": "n" * 43},
    "no nonce": lambda claims: {name: said for name, said in claims.items() if name != "nonce"},
    "another audience": lambda claims: claims | {"aud": "somebody else"},
    "several audiences without the party": lambda claims: claims | {"aud": [CLIENT, "somebody else"]},
    "another authorized party": lambda claims: claims | {"aud": [CLIENT, "b"], "azp": "b"},
    "expired": lambda claims: claims | {"exp": int(claims["iat"]) - 60},
    "from the future": lambda claims: claims | {"iat": int(claims["iat"]) + 3600},
    "without an end": lambda claims: {name: said for name, said in claims.items() if name != "exp"},
    "not a time": lambda claims: claims | {"exp": "tomorrow"},
    "another issuer": lambda claims: claims | {"iss": "https://evil.example"},
    "about nobody": lambda claims: claims | {"sub": ""},
    "about a list": lambda claims: claims | {"sub": ["ana-1"]},
}


def test_a_token_with_a_false_claim_lets_nobody_in(node_with: Made, provider: ProviderUnderTest) -> None:
    node = node_with(sign_in_attempts=100)
    linked(node, "ana-1")
    for name, lie in LIES.items():
        provider.lie = lie
        answer = came_back(node, provider, "ana-1")
        assert (answer.status_code, "location" in answer.headers) == (401, False), name
    provider.lie = lambda claims: claims
    assert came_back(node, provider, "ana-1").status_code == 303


def test_a_token_that_is_not_signed_by_the_providers_private_key_lets_nobody_in(
    node: NodeUnderTest, provider: ProviderUnderTest
) -> None:
    linked(node, "ana-1")
    for sign in (unsigned, another_key, public_key_as_a_secret):
        provider.sign = sign
        answer = came_back(node, provider, "ana-1")
        assert (answer.status_code, "location" in answer.headers) == (401, False)


def test_a_provider_may_change_its_keys(node: NodeUnderTest, provider: ProviderUnderTest) -> None:
    linked(node, "ana-1")
    assert came_back(node, provider, "ana-1").status_code == 303
    node.node.accounts.provider._keys_at -= 60  # type: ignore[union-attr]  # not just now
    provider.key = RSAKey.generate_key(2048, {"kid": "two"})
    provider.sign = lambda self, claims: self.signed(claims, kid="two")
    assert came_back(node, provider, "ana-1").status_code == 303


def test_an_answer_of_another_issuer_is_refused(node: NodeUnderTest, provider: ProviderUnderTest) -> None:
    location = provider.consent(away(node), "ana-1")
    answer = node.client.get(back(location, iss="https://evil.example"), headers=HTML)
    assert answer.status_code == 401


def test_a_provider_that_is_down_is_said_to_be_and_comes_back(
    node: NodeUnderTest, provider: ProviderUnderTest
) -> None:
    provider.down = True
    answer = node.client.get("/sign-in/oidc")
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    provider.down = False
    assert node.client.get("/sign-in/oidc").status_code == 503  # nobody waits for it again at once
    node.node.accounts.provider._failed_at -= 60  # type: ignore[union-attr]
    assert node.client.get("/sign-in/oidc").status_code == 303


def test_a_provider_with_another_name_than_the_settings_is_refused(
    node_with: Made, provider: ProviderUnderTest
) -> None:
    node = node_with(oidc_issuer=provider.issuer + "/")
    answer = node.client.get("/sign-in/oidc")
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")


def test_a_slow_or_talkative_provider_is_left(node: NodeUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridward.server.oidc.provider._MOST_BYTES", 10)
    with pytest.raises(BusyError, match="too much"):
        node.node.accounts.provider.metadata()  # type: ignore[union-attr]
