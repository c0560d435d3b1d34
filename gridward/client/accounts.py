"""Accounts of a node or gateway, for those who administer them."""

from gridward.client.paging import collected
from gridward.client.transport import Transport
from gridward.core.errors import InvalidInputError
from gridward.core.schemas.accounts import RoleName, UserOut, UsersOut


class Accounts:
    """``node.users`` and ``grid.users``. Nobody grants a role that holds more capabilities than their own."""

    def __init__(self, server: Transport) -> None:
        self._server = server

    def list(self) -> list[UserOut]:
        """All accounts."""
        return collected(lambda page: self._server.fetch(UsersOut, "GET", "/v1/users", params=page))

    def add(self, username: str, password: str, role: str = "data_scientist") -> UserOut:
        """Make an account with a password of at least 10 characters."""
        body = {"username": username, "password": password, "role": _role(role)}
        return self._server.fetch(UserOut, "POST", "/v1/users", body=body)

    def admit(self, identity: str, role: str = "data_scientist") -> UserOut:
        """Give an identity of a gateway (``"dana@grid"``) a role here; it signs in at the gateway."""
        body = {"username": identity, "role": _role(role)}
        return self._server.fetch(UserOut, "POST", "/v1/users", body=body)

    def set_role(self, username: str, role: str) -> UserOut:
        """Change a role."""
        return self._server.fetch(UserOut, "PATCH", f"/v1/users/{username}", body={"role": _role(role)})

    def disable(self, username: str) -> UserOut:
        """Lock an account; its sessions end at once."""
        return self._server.fetch(UserOut, "PATCH", f"/v1/users/{username}", body={"disabled": True})

    def enable(self, username: str) -> UserOut:
        """Unlock an account."""
        return self._server.fetch(UserOut, "PATCH", f"/v1/users/{username}", body={"disabled": False})


def _role(name: str) -> str:
    if name not in list(RoleName):
        raise InvalidInputError(f"there is no role {name!r}; the roles are {', '.join(RoleName)}")
    return name


def set_up(server: Transport, token: str, username: str, password: str) -> UserOut:
    """Become the server's owner with the one-time token; raises ``SetupRefusedError``."""
    body = {"token": token.strip(), "username": username, "password": password}
    return server.fetch(UserOut, "POST", "/v1/setup", body=body)
