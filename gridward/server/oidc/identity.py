"""Who an ID token is about, once all of it was checked (OpenID Connect Core 1.0, 3.1.3.7)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError

from gridward.core.errors import NotSignedInError
from gridward.server.oidc.provider import Provider
from gridward.server.settings import ServerSettings

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a private key only: no `none`, and no HMAC, whose key a public one could be taken for."""
LEEWAY_S: Final = 30
_LONGEST: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """A person at the provider. `email` is a verified one; `strong`: a second factor was seen there.

    `name` is empty where the provider gave none.
    `groups` are those that the settings give a role, in their order.
    """

    issuer: str
    subject: str
    name: str
    email: str | None
    groups: tuple[str, ...]
    strong: bool

    @property
    def key(self) -> str:
        """What an account is linked by: never a name or an address, which others may get later."""
        return f"{self.issuer} {self.subject}"


def check(settings: ServerSettings, provider: Provider, token: str, nonce: str, now: datetime) -> Identity:
    """Return whom a token is about whose signature, issuer, audience, time and nonce are right.

    Raises `NotSignedInError` for any other.
    """
    if len(token) > _LONGEST:
        raise NotSignedInError("the sign-in provider's token is too long")
    try:
        found = _verified(provider, token)
        claims = CodeIDToken(
            found.claims,
            found.header,
            options={
                "iss": {"essential": True, "value": settings.oidc_issuer},
                "aud": {"essential": True, "value": settings.oidc_client_id},
                "sub": {"essential": True},
                "nonce": {"essential": True, "value": nonce},
            },
            params={"nonce": nonce, "client_id": settings.oidc_client_id},
        )
        claims.validate(now=int(now.timestamp()), leeway=LEEWAY_S)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as why:
        raise NotSignedInError("the sign-in provider's token is not valid here; begin again") from why
    return _identity(settings, dict(claims))


def _verified(provider: Provider, token: str) -> jwt.Token:
    try:
        return jwt.decode(token, provider.keys(), algorithms=list(ALGORITHMS))
    except InvalidKeyIdError:
        # The provider may have new keys since.
        return jwt.decode(token, provider.keys(fresh=True), algorithms=list(ALGORITHMS))


def _identity(settings: ServerSettings, claims: dict[str, Any]) -> Identity:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isascii():
        raise NotSignedInError("the sign-in provider names nobody")
    email = claims.get("email")
    verified = isinstance(email, str) and claims.get("email_verified") is True
    name = claims.get(settings.oidc_name_claim)
    groups = claims.get(settings.oidc_groups_claim)
    seen = claims.get("amr"), [claims.get("acr")]
    factors = {one for part in seen if isinstance(part, list) for one in part if isinstance(one, str)}
    return Identity(
        issuer=settings.oidc_issuer or "",
        subject=subject,
        name=name.lower() if isinstance(name, str) else "",
        email=str(email) if verified else None,
        groups=tuple(one for one in settings.oidc_roles if isinstance(groups, list) and one in groups),
        strong=not factors.isdisjoint(settings.oidc_second_factor),
    )
