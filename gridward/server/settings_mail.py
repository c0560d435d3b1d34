"""Settings of outgoing mail, a part of `settings`."""

from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from gridward.core.schemas.accounts import EMAIL_PATTERN

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class MailSettings(BaseSettings):
    """Through which SMTP server letters leave."""

    mail_host: str | None = Field(
        default=None,
        max_length=253,
        description="SMTP server that takes this server's mail. Unset: none is sent.",
    )
    mail_port: int = Field(default=587, ge=1, le=65_535, description="Its TCP port.")
    mail_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="How the way there is protected; `none` is for a server on this machine only.",
    )
    mail_ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authority that signed the SMTP server's certificate. "
        "Unset: the system's.",
    )
    mail_user: str | None = Field(
        default=None, pattern=r"^[\x21-\x7e]{1,200}$", description="User name there. Unset: no sign-in."
    )
    mail_password_file: Path | None = Field(
        default=None, description="File that holds the password of `mail_user`, read at each connection."
    )
    mail_from: str | None = Field(
        default=None, pattern=EMAIL_PATTERN, max_length=254, description="Address that mail comes from."
    )
    mail_timeout_s: float = Field(
        default=15, gt=0, le=300, description="Longest wait for an answer of the SMTP server, seconds."
    )
    mail_retry_s: float = Field(
        default=15, gt=0, description="First pause after mail did not leave, seconds; doubles up to an hour."
    )
    mail_expiry_s: float = Field(
        default=3 * 86_400, gt=0, description="Mail that could not leave for so long is given up, seconds."
    )
    mail_resets: bool = Field(
        default=True,
        description="Who lost the password may get a one-time token at the account's e-mail address.",
    )
    reset_s: float = Field(
        default=3600, gt=0, description="Lifetime of a one-time token that was asked for so, seconds."
    )

    mail_confirm_s: float = Field(
        default=3 * 86_400, gt=0, description="Lifetime of a code that confirms an e-mail address, seconds."
    )

    @model_validator(mode="after")
    def _mail_is_whole(self) -> Self:
        if self.mail_host is None:
            return self
        if self.mail_from is None:
            raise ValueError("mail_from: mail needs an address that it comes from")
        if self.mail_security == "none" and self.mail_host not in LOOPBACK:
            raise ValueError("mail_security: only a server on this machine may get mail unprotected")
        if (self.mail_user is None) != (self.mail_password_file is None):
            raise ValueError("mail_user: it goes with mail_password_file")
        return self
