"""A real SMTP server on loopback, with a certificate of its own and one account."""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

USER: Final = "node@example.org"
SECRET: Final = "stamps and glue"


@dataclass
class PostOffice:
    """What came, and what is to be refused: address -> reply."""

    folder: Path
    port: int = 0
    letters: list[EmailMessage] = field(default_factory=list)
    receivers: list[str] = field(default_factory=list)
    protected: list[bool] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _o: Any) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:
        letter = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        self.receivers += envelope.rcpt_tos
        self.protected.append(session.ssl is not None)
        return "250 OK"

    def settings(self, **changed: object) -> dict[str, Any]:
        """Settings of a server whose mail goes here."""
        password = self.folder / "mail-password"
        password.write_text(SECRET + "\n")
        return {
            "mail_host": "localhost",
            "mail_port": self.port,
            "mail_security": "starttls",
            "mail_ca_file": self.folder / "post.pem",
            "mail_user": USER,
            "mail_password_file": password,
            "mail_from": USER,
            "mail_timeout_s": 5,
            **changed,
        }

    @contextmanager
    def open(self, *, tls: bool = True) -> Iterator[None]:
        """Take letters until the block ends, on the same port each time."""
        self.port = self.port or _free_port()
        controller = Controller(
            self,
            hostname="localhost",
            port=self.port,
            tls_context=self._context() if tls else None,
            require_starttls=tls,
            auth_required=tls,
            auth_require_tls=tls,
            authenticator=_authenticate,
        )
        controller.start()
        try:
            yield
        finally:
            _await_goodbyes(controller)
            controller.stop()

    def _context(self) -> ssl.SSLContext:
        certificate, key = self.folder / "post.pem", self.folder / "post.key"
        if not certificate.exists():
            make_certificate(certificate, key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context


def _await_goodbyes(controller: Controller) -> None:
    """Wait for those who are still connected to leave: stopping would leave their sockets open."""
    deadline = time.monotonic() + 10
    while asyncio.all_tasks(controller.loop) and time.monotonic() < deadline:
        time.sleep(0.01)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def make_certificate(certificate: Path, key: Path) -> None:
    """Write a certificate for localhost that signs itself."""
    own = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(own, SHA256())
    )
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    key.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, said: Any) -> AuthResult:
    assert isinstance(said, LoginPassword)
    return AuthResult(success=(said.login, said.password) == (USER.encode(), SECRET.encode()))
