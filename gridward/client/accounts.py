"""Accounts of a node or gateway: one's own, and others' for those who administer them."""

import builtins
import json
from collections.abc import Callable, Sequence

from gridward.client.browser_sign_in import fetch_ticket, open_browser
from gridward.client.paging import collected
from gridward.client.transport import Transport
from gridward.core.schemas.accounts import (
    InvitationOut,
    MailChoice,
    MailIn,
    RecoveryOut,
    SecondFactorOut,
    ServiceTokenMade,
    ServiceTokenOut,
    ServiceTokensOut,
    SessionInfo,
    SessionsOut,
    UserOut,
    UsersOut,
)


class Accounts:
    """``node.users`` and ``grid.users``. Nobody grants a role that holds more capabilities than their own."""

    def __init__(self, server: Transport) -> None:
        self._server = server

    def list(self) -> list[UserOut]:
        """All accounts."""
        return collected(lambda page: self._server.fetch(UsersOut, "GET", "/v1/users", params=page))

    def get(self, username: str) -> UserOut:
        """One account."""
        return self._server.fetch(UserOut, "GET", f"/v1/users/{username}")

    def add(self, username: str, password: str, role: str = "data_scientist") -> UserOut:
        """Make an account with a password of at least 10 characters."""
        body = {"username": username, "password": password, "role": role}
        return self._server.fetch(UserOut, "POST", "/v1/users", body=body)

    def admit(self, identity: str, role: str = "data_scientist") -> UserOut:
        """Give an identity of a gateway (``"dana@grid"``) a role here; it signs in at the gateway."""
        body = {"username": identity, "role": role}
        return self._server.fetch(UserOut, "POST", "/v1/users", body=body)

    def invite(
        self, username: str, role: str = "data_scientist", *, email: str | None = None
    ) -> InvitationOut:
        """Make an account whose password the person sets, with ``gw.accept_invitation`` and this token.

        With an ``email`` address the token goes there too, from a server that sends mail.
        """
        body: dict[str, str | bool] = {"username": username, "role": role, "invited": True}
        if email is not None:
            body["email"] = email
        self._server.fetch(UserOut, "POST", "/v1/users", body=body)
        return self.reset(username)

    def reset(self, username: str) -> InvitationOut:
        """Make a one-time token by which a person who lost the password sets another."""
        return self._server.fetch(InvitationOut, "POST", f"/v1/users/{username}/invitation")

    def sessions(self, username: str) -> "builtins.list[SessionInfo]":
        """Where somebody is signed in."""
        return self._server.fetch(SessionsOut, "GET", f"/v1/users/{username}/sessions").items

    def end_sessions(self, username: str) -> None:
        """Sign somebody out everywhere."""
        self._server.send("DELETE", f"/v1/users/{username}/sessions")

    def remove_second_factor(self, username: str) -> None:
        """Help somebody who lost the device; the account's sessions end."""
        self._server.send("DELETE", f"/v1/users/{username}/second-factor")

    def set_role(self, username: str, role: str) -> UserOut:
        """Change a role."""
        return self._server.fetch(UserOut, "PATCH", f"/v1/users/{username}", body={"role": role})

    def set_email(self, username: str, email: str | None) -> UserOut:
        """Change somebody's e-mail address, or take it away; one's own: ``account.set_mail``."""
        return self._server.fetch(UserOut, "PATCH", f"/v1/users/{username}", body={"email": email or ""})

    def link_sign_in(self, username: str, subject: str) -> None:
        """Let a person at the server's sign-in provider, named by ``sub``, into an account."""
        self._server.send("PUT", f"/v1/users/{username}/sign-in", body={"subject": subject})

    def unlink_sign_in(self, username: str) -> None:
        """Undo that; the account's sessions end."""
        self._server.send("DELETE", f"/v1/users/{username}/sign-in")

    def disable(self, username: str) -> UserOut:
        """Lock an account; its sessions end at once."""
        return self._server.fetch(UserOut, "PATCH", f"/v1/users/{username}", body={"disabled": True})

    def enable(self, username: str) -> UserOut:
        """Unlock an account."""
        return self._server.fetch(UserOut, "PATCH", f"/v1/users/{username}", body={"disabled": False})


class OwnAccount:
    """``node.account`` and ``grid.account``: one's own second factor, tokens for programs, sessions."""

    def __init__(self, server: Transport) -> None:
        self._server = server

    def set_mail(self, email: str | None, password: str | None = None, *, mails: str = "all") -> UserOut:
        """Set one's e-mail address and which notices come there, ``"all"`` or ``"none"``.

        A code is mailed to another address: letters go there after `confirm_mail`.
        ``password``: the account's, needed where the address changes.
        """
        body = MailIn(email=email, mails=MailChoice(mails)).model_dump(mode="json")
        sent = json.dumps(body | ({} if password is None else {"password": password}))
        return self._server.fetch(
            UserOut,
            "PUT",
            "/v1/users/me/mail",
            content=sent.encode(),
            headers={"content-type": "application/json"},
        )

    def confirm_mail(self, code: str) -> UserOut:
        """Confirm one's e-mail address with the code that was mailed there."""
        return self._server.fetch(UserOut, "POST", "/v1/users/me/mail/confirmation", body={"code": code})

    def send_mail_code(self) -> None:
        """Have another code mailed to one's address."""
        self._server.send("POST", "/v1/users/me/mail/code")

    def link_sign_in(self, password: str, show: Callable[[str], object] = open_browser) -> None:
        """Link the account to a person at the server's sign-in provider, in a browser."""
        brought = fetch_ticket(self._server, show)
        body = {"ticket": brought.ticket, "verifier": brought.verifier, "password": password}
        self._server.send("PUT", "/v1/users/me/sign-in", body=body)

    def begin_second_factor(self, password: str) -> str:
        """Give the ``otpauth://`` address for an authenticator app; then ``confirm_second_factor``."""
        path = "/v1/users/me/second-factor"
        return self._server.fetch(SecondFactorOut, "POST", path, body={"password": password}).address

    def confirm_second_factor(self, code: str) -> list[str]:
        """Switch it on with a first code; gives recovery codes, each for one sign-in without it."""
        return self._server.fetch(RecoveryOut, "PUT", "/v1/users/me/second-factor", body={"code": code}).codes

    def remove_second_factor(self, password: str, code: str) -> None:
        """Switch it off."""
        self._server.send(
            "POST", "/v1/users/me/second-factor/removal", body={"password": password, "code": code}
        )

    def create_token(
        self, password: str, name: str, scopes: Sequence[str], lifetime_s: int = 90 * 86_400
    ) -> ServiceTokenMade:
        """Make a token for a program: ``gw.connect(url, token=made.token)``. It is shown only now."""
        body = {"password": password, "name": name, "scopes": list(scopes), "lifetime_s": lifetime_s}
        return self._server.fetch(
            ServiceTokenMade,
            "POST",
            "/v1/service-tokens",
            content=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )

    def tokens(self) -> list[ServiceTokenOut]:
        """One's tokens that have not expired."""
        return self._server.fetch(ServiceTokensOut, "GET", "/v1/service-tokens").items

    def revoke_token(self, token_id: str) -> None:
        """End a token at once."""
        self._server.send("DELETE", f"/v1/service-tokens/{token_id}")


def set_up(server: Transport, token: str, username: str, password: str) -> UserOut:
    """Become the server's owner with the one-time token; raises ``SetupRefusedError``."""
    body = {"token": token.strip(), "username": username, "password": password}
    return server.fetch(UserOut, "POST", "/v1/setup", body=body)


def accept(server: Transport, token: str, password: str) -> UserOut:
    """Set the password of one's account with a one-time token; raises ``NotSignedInError``."""
    body = {"token": token.strip(), "password": password}
    return server.fetch(UserOut, "POST", "/v1/invitations", body=body)


def ask_reset(server: Transport, username: str) -> None:
    """Ask for a one-time token by e-mail; the server answers the same for every name."""
    server.send("POST", "/v1/password-resets", body={"username": username})
