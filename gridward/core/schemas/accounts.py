"""Accounts, roles and sessions, of a node or a gateway."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gridward.core.schemas.access import PRINCIPAL_PATTERN, USERNAME_PATTERN, RoleId

PROGRAMS: Final = "svc-"
"""What tokens of programs begin with; others are JSON Web Tokens."""
EMAIL_PATTERN: Final = (
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
    r"@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"
)
"""An address as HTML's `<input type=email>` takes it: no name beside it, no quotes, no line break."""
EmailAddress: TypeAlias = Annotated[str, Field(pattern=EMAIL_PATTERN, max_length=254)]
SHORTEST_PASSWORD: Final = 10
"""Characters."""
OwnPassword: TypeAlias = Annotated[
    SecretStr,
    Field(
        max_length=200,
        description="The account's. Empty for one without, which has to have signed in through its provider "
        "just now.",
    ),
]


class RoleName(StrEnum):
    """Roles that every server has; others are made, see `roles`. A gateway needs few of them."""

    OWNER = "owner"
    ADMIN = "admin"
    DATA_OFFICER = "data_officer"
    COMPLIANCE_OFFICER = "compliance_officer"
    DATA_SCIENTIST = "data_scientist"
    GUEST = "guest"


class MailChoice(StrEnum):
    """Which notices an account gets by e-mail. What it asked for itself comes in any case."""

    ALL = "all"
    NONE = "none"


class SetupIn(BaseModel):
    """The owner's first visit, with the one-time token that `gridward init` printed."""

    model_config = ConfigDict(extra="forbid")

    token: SecretStr = Field(max_length=200)
    username: str = Field(pattern=USERNAME_PATTERN)
    password: SecretStr = Field(min_length=SHORTEST_PASSWORD, max_length=200)


class SessionIn(BaseModel):
    """Sign in."""

    model_config = ConfigDict(extra="forbid")

    username: str = Field(max_length=64)
    password: SecretStr = Field(max_length=200)
    code: SecretStr | None = Field(
        default=None, max_length=40, description="Of the second factor, or a recovery code."
    )


class OidcIn(BaseModel):
    """What a program that waited for a browser has to show."""

    model_config = ConfigDict(extra="forbid")

    ticket: SecretStr = Field(max_length=8000, description="From the address that the browser came to.")
    verifier: SecretStr = Field(
        min_length=43, max_length=128, description="Whose S256 challenge began the sign-in (RFC 7636)."
    )


class OidcSessionIn(OidcIn):
    """Sign in with it."""

    code: SecretStr | None = Field(default=None, max_length=40, description="Of the account's second factor.")
    invitation: SecretStr | None = Field(
        default=None, max_length=200, description="One-time token that links the account it is for."
    )


class OidcLinkIn(OidcIn):
    """Link one's own account to the person who was at the provider."""

    password: SecretStr = Field(max_length=200, description="The account's.")


class SubjectIn(BaseModel):
    """Whom an account is linked to."""

    model_config = ConfigDict(extra="forbid")

    subject: str = Field(pattern=r"^[!-~]{1,255}$", description="The provider's `sub` of the person.")


class SignInWays(BaseModel):
    """How people may sign in here."""

    password: bool
    oidc: str | None = Field(description="What the provider is called; null: none.")


class RefreshIn(BaseModel):
    """Exchange a refresh token for a new pair; the old one is dead afterwards."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: SecretStr = Field(max_length=200)


class SessionOut(BaseModel):
    """Tokens of a session."""

    session_id: str
    access_token: str = Field(description="JWT for `Authorization: Bearer`.")
    refresh_token: str
    expires_in_s: int = Field(json_schema_extra={"format": "int32"})


class SessionInfo(BaseModel):
    """One of the caller's sessions."""

    session_id: str
    created_at: datetime
    last_seen_at: datetime
    current: bool


class SessionsOut(BaseModel):
    """The caller's living sessions, newest first."""

    items: list[SessionInfo]


class SecondFactorIn(BaseModel):
    """Begin to set the second factor up."""

    model_config = ConfigDict(extra="forbid")

    password: OwnPassword = SecretStr("")


class SecondFactorOut(BaseModel):
    """What the authenticator app needs; shown only now."""

    address: str = Field(description="`otpauth://totp/…`, also the content of the QR code.")


class CodeIn(BaseModel):
    """A code of the authenticator app."""

    model_config = ConfigDict(extra="forbid")

    code: SecretStr = Field(max_length=40)


class RecoveryOut(BaseModel):
    """Codes for when the device is lost; each works once, and they are shown only now."""

    codes: list[str]


class SecondFactorRemoval(BaseModel):
    """Take one's own second factor away."""

    model_config = ConfigDict(extra="forbid")

    password: OwnPassword = SecretStr("")
    code: SecretStr = Field(max_length=40)


class InvitationOut(BaseModel):
    """A one-time token by which the account's password is set; shown only now. It goes to that person."""

    token: str
    expires_at: datetime
    mailed: bool = Field(description="A letter to the account's e-mail address holds one, too.")


class InvitationAcceptance(BaseModel):
    """Set the password of one's account."""

    model_config = ConfigDict(extra="forbid")

    token: SecretStr = Field(max_length=200)
    password: SecretStr = Field(min_length=SHORTEST_PASSWORD, max_length=200)


class ResetIn(BaseModel):
    """Ask for a one-time token at the account's e-mail address."""

    model_config = ConfigDict(extra="forbid")

    username: str = Field(max_length=64)


class MailIn(BaseModel):
    """One's own e-mail address and what comes there."""

    model_config = ConfigDict(extra="forbid")

    email: EmailAddress | None = Field(default=None, description="Null: no address.")
    mails: MailChoice = MailChoice.ALL
    password: SecretStr | None = Field(
        default=None, max_length=200, description="The account's; needed where the address changes."
    )


class MailCodeIn(BaseModel):
    """The code that was mailed to one's own address."""

    model_config = ConfigDict(extra="forbid")

    code: SecretStr = Field(min_length=1, max_length=200)


class ServiceTokenIn(BaseModel):
    """A new token for a program of one's own."""

    model_config = ConfigDict(extra="forbid")

    password: OwnPassword = SecretStr("")
    name: str = Field(min_length=1, max_length=64, description="What it is for.")
    scopes: list[str] = Field(
        min_length=1,
        max_length=32,
        description="Capabilities that the account has.",
    )
    lifetime_s: int = Field(
        ge=60, le=366 * 86_400, description="Seconds.", json_schema_extra={"format": "int32"}
    )


class ServiceTokenOut(BaseModel):
    """What is known of a token; never the token."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime


class ServiceTokenMade(ServiceTokenOut):
    """A new token, shown only now."""

    token: str = Field(description="For `Authorization: Bearer`.")


class ServiceTokensOut(BaseModel):
    """The caller's tokens that have not expired."""

    items: list[ServiceTokenOut]


class UserIn(BaseModel):
    """A new account with a password, or one that waits for its invitation to be accepted.

    Without both: a gateway identity (`dana@grid`) that is admitted with this role.
    """

    model_config = ConfigDict(extra="forbid")

    username: str = Field(pattern=PRINCIPAL_PATTERN)
    role: RoleId = RoleName.DATA_SCIENTIST.value
    password: SecretStr | None = Field(default=None, min_length=10, max_length=200)
    invited: bool = Field(default=False, description="The person sets the password: see `invitation`.")
    email: EmailAddress | None = None


class UserPatch(BaseModel):
    """Change an account; absent fields stay."""

    model_config = ConfigDict(extra="forbid")

    role: RoleId | None = None
    disabled: bool | None = None
    email: EmailAddress | Literal[""] | None = Field(default=None, description="Empty: no address.")


class PasswordIn(BaseModel):
    """Change one's own password; every other session of the account ends."""

    model_config = ConfigDict(extra="forbid")

    old_password: SecretStr = Field(max_length=200)
    new_password: SecretStr = Field(min_length=SHORTEST_PASSWORD, max_length=200)


class UserOut(BaseModel):
    """An account as administrators and the user see it."""

    username: str
    role: str
    capabilities: list[str]
    disabled: bool
    second_factor: bool
    oidc: bool = Field(description="It signs in through the provider.")
    email: str | None
    email_confirmed: bool = Field(description="Letters go there: the account's holder got the code.")
    mails: MailChoice
    created_at: datetime


class UsersOut(BaseModel):
    """Accounts of this server."""

    items: list[UserOut]
    total: int = Field(json_schema_extra={"format": "int32"})
