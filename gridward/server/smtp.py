"""Handing letters to the SMTP server that the settings name. Standard library; call from a thread."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final
from urllib.parse import urlsplit

from gridward.server.accounts import OutboxFields
from gridward.server.outbox import Letter
from gridward.server.settings import ServerSettings

_REFUSED: Final = 500
_LINE: Final = 900
"""RFC 5321 takes 998 characters; a folded line would break a command that is to be copied."""


class UndeliverableError(Exception):
    """The server takes this letter never: it said so with a code of 500 or more."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


class NotNowError(Exception):
    """The server takes this letter later, and perhaps others now: it said so with a code below 500."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


@contextmanager
def connected(settings: ServerSettings) -> Iterator[smtplib.SMTP]:
    """Connect and sign in. Raises `OSError`, which `smtplib`'s errors are.

    A server without STARTTLS or with another's certificate gets neither password nor letter.
    """
    host, port = settings.mail_host or "", settings.mail_port
    own = urlsplit(settings.url()).hostname or "localhost"
    wait_s = settings.mail_timeout_s
    if settings.mail_security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, own, timeout=wait_s, context=_context(settings))
    else:
        server = smtplib.SMTP(host, port, own, timeout=wait_s)
    try:
        if settings.mail_security == "starttls":
            server.starttls(context=_context(settings))
        if settings.mail_user is not None and settings.mail_password_file is not None:
            server.login(settings.mail_user, settings.mail_password_file.read_text().strip())
        yield server
        server.quit()
    finally:
        server.close()


def send(server: smtplib.SMTP, settings: ServerSettings, row: OutboxFields, letter: Letter) -> None:
    """Hand one letter over. Raises `UndeliverableError`, `NotNowError`, `OSError` for what concerns all."""
    sender = settings.mail_from or ""
    try:
        server.send_message(message(settings, row, letter), sender, [row.address])
    except smtplib.SMTPRecipientsRefused as why:
        raise _refusal(int(why.recipients[row.address][0])) from why
    except smtplib.SMTPDataError as why:
        raise _refusal(why.smtp_code) from why


def message(settings: ServerSettings, row: OutboxFields, letter: Letter) -> EmailMessage:
    """Write a letter out. One that is sent twice has the same Message-ID; no header can hold a line break."""
    sender = settings.mail_from or ""
    made = EmailMessage(policy.SMTP.clone(max_line_length=_LINE))
    made["From"] = sender
    made["To"] = row.address
    made["Subject"] = letter.subject
    made["Date"] = format_datetime(row.created_at)
    made["Message-ID"] = f"<{row.id}@{sender.partition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(letter.text)
    return made


def _refusal(code: int) -> UndeliverableError | NotNowError:
    return UndeliverableError(code) if code >= _REFUSED else NotNowError(code)


def _context(settings: ServerSettings) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=settings.mail_ca_file)
