"""What letters about accounts say."""

from datetime import datetime

from gridward.server.accounts import Accounts
from gridward.server.outbox import Letter


def invitation(accounts: Accounts, username: str, token: str, expires_at: datetime) -> Letter:
    """The one-time token by which an account's password is set."""
    url = accounts.settings.url()
    return Letter(
        f"Your account at {url}",
        f"Set the password of your account '{username}' at {url} with this one-time token, until "
        f"{expires_at:%Y-%m-%d %H:%M} UTC:\n\n    {token}\n\n"
        f"Open {url}/accept in a browser, or at a command line:\n\n    gridward accept --url {url}\n\n"
        "If you do not know of this account, you need do nothing.\n",
    )


def reset(accounts: Accounts, username: str, token: str, expires_at: datetime) -> Letter:
    """The same, for somebody who lost the password and asked for it."""
    url = accounts.settings.url()
    return Letter(
        f"A new password at {url}",
        f"Somebody, most likely you, asked for a new password of '{username}' at {url}. Set it with this "
        f"one-time token, until {expires_at:%Y-%m-%d %H:%M} UTC:\n\n    {token}\n\n"
        f"Open {url}/accept in a browser, or at a command line:\n\n    gridward accept --url {url}\n\n"
        "If it was not you, do nothing: the password stays.\n",
    )


def confirmation(accounts: Accounts, username: str, code: str, expires_at: datetime) -> Letter:
    """The code by which an account's holder confirms that this is their address."""
    url = accounts.settings.url()
    return Letter(
        f"Confirm your e-mail address at {url}",
        f"The account '{username}' at {url} names this as its e-mail address. If that is your account, sign "
        f"in and enter this code, until {expires_at:%Y-%m-%d %H:%M} UTC:\n\n    {code}\n\n"
        f"Open {url}/account in a browser, or at a command line:\n\n"
        f"    gridward account confirm-mail --url {url}\n\n"
        "If it is not your account, do nothing: no other letter comes here.\n",
    )


def address_changed(accounts: Accounts, username: str) -> Letter:
    """To the address that an account had before."""
    url = accounts.settings.url()
    return Letter(
        f"Another e-mail address at {url}",
        f"The account '{username}' at {url} has another e-mail address now, or none. If you did not want "
        "that, tell an administrator there.\n",
    )
