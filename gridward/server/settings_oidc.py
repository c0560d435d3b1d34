"""Settings of sign-in through an OpenID Connect provider, a part of `settings`."""

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from gridward.core.schemas.accounts import RoleName
from gridward.server.settings_mail import LOOPBACK


class OidcSettings(BaseSettings):
    """Which provider people may sign in through, and whom it lets in."""

    oidc_issuer: str | None = Field(
        default=None,
        pattern=r"^https?://[!-~]{1,300}$",
        description="Issuer of an OpenID Connect provider, exactly as its tokens name it. Unset: none.",
    )
    oidc_client_id: str | None = Field(
        default=None, pattern=r"^[ -~]{1,300}$", description="Name of this server at the provider."
    )
    oidc_client_secret_file: Path | None = Field(
        default=None,
        description="File that holds this server's secret at the provider. Unset: a public client.",
    )
    oidc_label: str = Field(
        default="your organisation", max_length=60, description="What the sign-in page calls the provider."
    )
    oidc_scopes: str = Field(
        default="openid email profile",
        pattern=r"^openid( [!-~]+)*$",
        description="Scopes that are asked for.",
    )
    oidc_name_claim: str = Field(
        default="preferred_username", description="Claim that becomes the user name of a new account."
    )
    oidc_email_domains: frozenset[str] = Field(
        default=frozenset(),
        description="Only people with a verified e-mail address in one of these domains, as JSON. "
        "Empty: everybody of the provider.",
    )
    oidc_new_accounts: RoleName | None = Field(
        default=None,
        description="Role of an account that is made for whoever comes the first time. Unset: only people "
        "whose account was linked may come.",
    )
    oidc_groups_claim: str = Field(default="groups", description="Claim that lists groups.")
    oidc_roles: dict[str, RoleName] = Field(
        default={},
        description="Roles of new accounts by group, as JSON; the first group counts that a person is in.",
    )
    oidc_second_factor: frozenset[str] = Field(
        default=frozenset(),
        description="Values of the claims `amr` and `acr` that say that the provider saw a second factor, as "
        "JSON. Empty: the account's own counts, nothing else.",
    )
    oidc_ca_file: Path | None = Field(
        default=None, description="PEM file of the authority that signed the provider's certificate."
    )
    oidc_timeout_s: float = Field(
        default=5, gt=0, le=60, description="Longest wait for an answer of the provider, seconds."
    )

    @model_validator(mode="after")
    def _oidc_is_whole(self) -> Self:
        if self.oidc_issuer is None:
            return self
        if self.oidc_client_id is None:
            raise ValueError("oidc_client_id: the provider knows this server by a name")
        place = urlsplit(self.oidc_issuer)
        if place.scheme != "https" and place.hostname not in LOOPBACK:
            raise ValueError("oidc_issuer: only a provider on this machine may be spoken to without TLS")
        if RoleName.OWNER in (self.oidc_new_accounts, *self.oidc_roles.values()):
            raise ValueError("oidc_roles: nobody becomes an owner by what a provider says")
        return self
